"""A small world for the web ground: one person, one organisation, one evening."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from forecourt.kernel.web.assets import Assets
from forecourt.kernel.web.render import OrgNav, PageContext, Pages, Person

NOW = datetime(2026, 11, 19, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def assets() -> Assets:
    return Assets()


@pytest.fixture(scope="session")
def pages(assets: Assets) -> Pages:
    return Pages(assets)


@pytest.fixture
def page() -> PageContext:
    return PageContext(
        now=NOW,
        csrf="token-1",
        path="/dev/ui",
        person=Person("p0", "Mahnoor Tariq", "MT", "mahnoor@example.org", 2),
        org=OrgNav("o1", "Baradari Padel", "padel", "", 252, 0.125, "Clifton"),
        counts={"chat": 3},
    )
