"""The sums of docs/scale.md are those of the program that makes them."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from forecourt.layout import ROOT
from forecourt.split import REALTIME, WORKER
from forecourt.wiring import MODULES

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
    assert scale.asked_table() in text
    assert scale.needed_table() in text


def test_ten_times_the_people_need_ten_times_as_much_and_a_dearer_page_more(scale: Any) -> None:
    small, large = scale.sums(10_000), scale.sums(100_000)
    assert large.app_cores == pytest.approx(10 * small.app_cores)
    assert large.sockets == 10 * small.sockets
    # 1,000 people who come twice as often as on another day, each reading 40 times, a fifth of it in one hour.
    assert small.rates["read"] == pytest.approx(10_000 * 0.1 * 2 * 40 * 0.2 / 3600)
    assert scale.number(0.04) == "< 0.1"
    assert [scale.number(v) for v in (0.25, 4.44, 44.4, 4444, 299_999)] == ["0.2", "4.4", "44", "4,400", "300,000"]


def test_every_kind_of_request_is_counted_once_and_costs_parts_that_there_are(scale: Any) -> None:
    assert sum(asked.of_100 for asked in scale.ASKED) == pytest.approx(100, abs=0.5)
    names = [part.name for part in scale.PARTS]
    assert len(set(names)) == len(names) and set(scale.ENGINES) <= set(names)
    assert {part for asked in scale.ASKED for part in asked.us} <= set(names)
    assert {*MODULES, REALTIME, WORKER, *scale.ENGINES} == set(names), "the divided house, whole"


def test_what_is_needed_follows_the_requests_and_the_sockets(scale: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "PARTS", (scale.Part("booking", 10.0, 100.0, 0.0), scale.Part("realtime", 0.0, 80.0, 16.0)))
    monkeypatch.setattr(scale, "ASKED", (scale.Asked("read", 75, {"booking": 1000}), scale.Asked("write", 25, {"booking": 5000})))
    monkeypatch.setattr(scale, "PER_MINUTE", 60_000)
    monkeypatch.setattr(scale, "PEOPLE", 1_024)
    booking, realtime = scale.needed()
    # 1,000 a second at 2 ms are two cores; half full they are four processes, each of which stands at a hundredth of a core.
    assert (booking.us, booking.processes, booking.mib) == (2000, 4, 400)
    assert booking.cores == pytest.approx((2 + 4 * 0.01) / 0.5)
    assert (realtime.us, realtime.processes, realtime.cores, realtime.mib) == (0, 1, 0, 80 + 16)
    monkeypatch.setattr(scale, "PER_MINUTE", 120_000)
    monkeypatch.setattr(scale, "PEOPLE", 2_048)
    assert [(n.processes, n.mib) for n in scale.needed()] == [(8, 800), (1, 80 + 32)]
    monkeypatch.setattr(scale, "ENGINES", ("booking",))
    assert scale.needed()[0].processes == 1, "an engine is one, however many cores it takes"
