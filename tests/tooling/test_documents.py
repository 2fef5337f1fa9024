"""What the documents name exists: files that they link to, codes and paths of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forecourt import survey
from forecourt.kernel.errors import Problem
from forecourt.kernel.http.operation import Api

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "clients").glob("*/README.md")),
]
GUIDE = (ROOT / "docs" / "api" / "guide.md").read_text()

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_PATH = re.compile(r"/v1/[\w/{}-]*[\w}]")


def dead_links(document: Path, text: str) -> list[str]:
    return [to for to in _LINK.findall(text) if not (document.parent / to).exists()]


def everything_under(base: type) -> list[type]:
    return [cls for sub in base.__subclasses__() for cls in (sub, *everything_under(sub))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    # The template shows how a link is written.
    wanted = document.read_text().replace("(NNNN-name.md)", "")
    assert dead_links(document, wanted) == []


def test_a_dead_link_would_be_found() -> None:
    assert dead_links(ROOT / "README.md", "[a](docs/adr/) [b](docs/nowhere.md) [c](https://example.org/x)") == ["docs/nowhere.md"]


def test_the_guide_names_codes_that_the_program_can_answer() -> None:
    survey.load()
    codes = {getattr(problem, "code", "") for problem in everything_under(Problem)}
    named = set(re.findall(r"40[19]\s+`(\w+)`|422 `(\w+)`|\| 4\d\d \| .*?`(\w+)`", GUIDE))
    found = {code for match in named for code in match if code and code != "errors"}
    assert {"token_reused", "slot_taken", "version_stale", "idempotency_mismatch", "idempotency_in_flight"} <= found
    assert found - codes == set()


def test_the_guide_names_paths_that_the_program_has() -> None:
    survey.load()
    declared = {d.path for api in everything_under(Api) if issubclass(api, Api) for _, d in api.declared()}
    shapes = {re.sub(r"\{\w+\}", "{}", path) for path in declared}
    named = {re.sub(r"\{\w+\}", "{}", path) for path in _PATH.findall(GUIDE.replace("$ORG", "{org_id}"))}
    assert len(named) > 5
    assert named - shapes == set()


def existing_tests() -> set[str]:
    """Every test function of the suite, by name."""
    return {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def named_tests(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


def test_every_proof_that_the_threat_model_names_is_a_test() -> None:
    named = named_tests((ROOT / "docs" / "security.md").read_text())
    assert len(named) > 40
    assert named - existing_tests() == set()


def test_a_proof_that_is_none_would_be_noticed() -> None:
    assert named_tests("| a threat | a defence | `test_that_was_renamed`, `tests/x.py` |") - existing_tests() == {
        "test_that_was_renamed"
    }
