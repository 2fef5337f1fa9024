"""What the gateway itself refuses, in the words of the house."""

from __future__ import annotations

import msgspec

from forecourt.kernel.errors import Problem


class NoAnswer(Problem):
    """A service took a request and ended without an answer. Whether it acted is not known: repeat with the same key."""

    status, code, title = 502, "no_answer", "This part of the house did not answer"
    passes_in_s = 1


def body_of(problem: Problem, trace: str = "") -> str:
    """The problem document as JSON. `trace` stands for the trace id, and may be what a proxy puts in later."""
    return msgspec.json.encode(problem.document(trace)).decode()
