"""In CI nothing is left out: a test that would be skipped fails there, so that a run which proves less is not green.

Elsewhere a missing right or program (root, network hosts, Chromium) skips the tests that need it, and the summary names them.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"{reason}\nCI runs every test: give this machine what is missing."
    return report
