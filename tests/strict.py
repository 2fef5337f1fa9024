"""With `NO_SKIPS=true` nothing is left out: a test that would be skipped fails, so that a run which proves less is not green.

The workflow sets it, on a machine that can do everything. Elsewhere a missing right (root, network hosts, mounts) skips the tests
that need it, and the summary names them.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("NO_SKIPS") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"{reason}\nEvery test is to run: give this machine what is missing."
    return report
