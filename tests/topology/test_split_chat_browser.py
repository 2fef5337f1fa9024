"""The journeys of tests/journeys/test_chat_browser.py in the split house: sockets, files and a death behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.journeys.conftest import Server
from tests.journeys.test_chat_browser import *  # noqa: F403 - the tests themselves
from tests.topology.conftest import Entrance, SplitHouse, entrance_to

# What is lost there is lost between one process and Valkey: nothing of it is split.
del test_a_message_whose_announcement_was_lost_comes_by_itself  # noqa: F821
# What becomes a voice note is the browser's; files of every kind go up and come down in test_split_media_browser.py.
del test_a_voice_note_is_recorded_sent_and_heard_by_the_other  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy, pytest.mark.browser]


class Beside:
    """A second process of the modules that talk, with sockets of its own, behind another entrance; the other processes are the
    same."""

    def __init__(self, process: Server, entrance: Entrance) -> None:
        self._process = process
        self.url = entrance.url
        self.kill = process.kill
        self.start = process.start


@pytest.fixture
async def other(split_house: SplitHouse, tmp_path: Path) -> AsyncIterator[Beside]:
    *_, rest = split_house.groups
    process = Server(dict(split_house.servers[-1].environ), tmp_path / "beside.log")
    await asyncio.to_thread(process.start, "serve")
    try:
        homes = split_house.homes | dict.fromkeys(rest, process.url)
        async with entrance_to(split_house, homes, tmp_path, sockets="chat") as entrance:
            yield Beside(process, entrance)
    finally:
        await asyncio.to_thread(process.stop)
