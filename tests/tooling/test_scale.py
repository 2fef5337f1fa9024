"""The sums of docs/scale.md are those of the program that makes them."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from forecourt.layout import ROOT

CHECKOUT = ROOT.parents[1]


@pytest.fixture(scope="module")
def scale() -> Any:
    spec = importlib.util.spec_from_file_location("scale_of_the_house", CHECKOUT / "tools" / "scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_document_says_what_the_sums_come_to(scale: Any) -> None:
    text = (CHECKOUT / "docs" / "scale.md").read_text()
    assert scale.costs() in text
    assert scale.table() in text


def test_ten_times_the_people_need_ten_times_as_much_and_a_dearer_page_more(scale: Any) -> None:
    small, large = scale.sums(10_000), scale.sums(100_000)
    assert large.app_cores == pytest.approx(10 * small.app_cores)
    assert large.sockets == 10 * small.sockets
    # 1,000 people who come twice as often as on another day, each reading 40 times, a fifth of it in one hour.
    assert small.rates["read"] == pytest.approx(10_000 * 0.1 * 2 * 40 * 0.2 / 3600)
    assert scale.number(0.04) == "< 0.1"
    assert [scale.number(v) for v in (0.25, 4.44, 44.4, 4444, 299_999)] == ["0.2", "4.4", "44", "4,400", "300,000"]
