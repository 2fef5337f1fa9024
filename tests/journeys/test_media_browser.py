"""A browser records, draws, sends and shows, under the product's content policy: what it makes is taken and plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.browser import CHROMIUM, chromium
from tests.journeys.conftest import Server
from tests.journeys.world import PASSWORD, World

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: the browser tests did not run"),
]

SEND = """
async function send(content, name) {
    const form = new FormData();
    form.append("file", content, name);
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const headers = {"X-CSRF-Token": token};
    const answer = await fetch("/v1/uploads", {method: "POST", body: form, headers});
    return {status: answer.status, card: await answer.json()};
}
"""
RECORD = (
    "async (kind) => {"
    + SEND
    + """
    const stream = await navigator.mediaDevices.getUserMedia({audio: true});
    const recorder = new MediaRecorder(stream, {mimeType: kind}), parts = [];
    const enough = new Promise(done => recorder.addEventListener("dataavailable", e => {
        parts.push(e.data);
        if (e.data.size) done();
    }));
    const stopped = new Promise(done => recorder.addEventListener("stop", done));
    recorder.start(200);
    await enough;
    recorder.stop();
    await stopped;
    stream.getTracks().forEach(track => track.stop());
    const {status, card} = await send(new Blob(parts), "note");
    const player = document.createElement("audio");
    const ready = new Promise((done, fail) => {
        player.addEventListener("loadedmetadata", () => done(true));
        player.addEventListener("error", () => fail(player.error.message));
    });
    player.src = card.url;
    document.body.append(player);
    return {status, card, plays: await ready};
}"""
)
DRAW = (
    "async () => {"
    + SEND
    + """
    const canvas = document.createElement("canvas");
    canvas.width = 900;
    canvas.height = 600;
    canvas.getContext("2d").fillRect(100, 100, 300, 200);
    const {status, card} = await send(await new Promise(done => canvas.toBlob(done)), "drawing.png");
    const widths = [];
    for (const src of [card.blur, ...card.variants.map(v => v.url), card.url]) {
        const image = new Image();
        image.src = src;
        await image.decode();
        widths.push(image.naturalWidth);
    }
    return {status, card, widths};
}"""
)


@pytest.fixture
async def tab(server: Server) -> AsyncIterator[Any]:
    """A page of somebody who is signed in, in a browser whose microphone is made up."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        ada = await World(client).person("Ada")
    complaints: list[str] = []
    async with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as browser:
        tab = await (await browser.new_context(base_url=server.url)).new_page()
        tab.on("console", lambda m: complaints.append(m.text) if "Policy" in m.text else None)
        await tab.goto("/sign-in?next=/account")
        await tab.fill('[name="email"]', ada.email)
        await tab.fill('[name="password"]', PASSWORD)
        async with tab.expect_navigation():
            await tab.press('[name="password"]', "Enter")
        yield tab
    assert complaints == []


async def test_what_a_browser_records_is_taken_and_plays(tab: Any) -> None:
    for kind in ("audio/webm;codecs=opus", "audio/mp4"):
        got = await tab.evaluate(RECORD, kind)
        assert (got["status"], got["card"]["type"]) == (201, kind.split(";")[0]), got
        assert got["plays"]


async def test_what_a_browser_draws_is_shown_in_every_width(tab: Any) -> None:
    got = await tab.evaluate(DRAW)
    assert (got["status"], got["card"]["type"]) == (201, "image/png"), got
    assert got["widths"] == [16, 320, 800, 900]
