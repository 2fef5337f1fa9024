"""The browser of the tests goes on without what Playwright turns off."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from tests.browser import ARGUMENTS, OF_PLAYWRIGHT


def test_what_playwright_turns_off_stays_off() -> None:
    spec = find_spec("playwright")
    assert spec and spec.origin
    source = (Path(spec.origin).parent / "driver/package/lib/server/electron/loader.js").read_text()
    found = re.search(r"disabledFeatures = \[(.*?)\]", source, re.DOTALL)
    assert found, "Playwright keeps its list elsewhere"
    listed = set(re.findall(r'^\s*"(\w+)"', found[1], re.MULTILINE))
    assert len(listed) >= 10
    assert listed == set(OF_PLAYWRIGHT)
    assert sum(argument.startswith("--disable-features=") for argument in ARGUMENTS) == 1
