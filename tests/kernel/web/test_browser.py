"""The gallery in a real Chromium, under the product's content policy. Requests are answered from memory, none leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

import msgspec
import pytest
from tests.browser import CHROMIUM

from forecourt.kernel.http.front import policy
from forecourt.kernel.web.assets import PREFIX, Assets
from forecourt.kernel.web.gallery import gallery
from forecourt.kernel.web.render import PageContext, Pages, Toast, page_direction

SITE = "http://forecourt.test"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: the browser tests did not run"),
]


class Site:
    """Answers a browser's requests: pages by path, assets, and what a test adds. Remembers complaints and posts."""

    def __init__(self, browser: Any, assets: Assets, pages: Pages) -> None:
        self.browser, self.assets, self.pages = browser, assets, pages
        self.html: dict[str, str] = {}
        self.complaints: list[str] = []
        self.posts: list[dict[str, list[str]]] = []
        self.streams: dict[str, str] = {}
        self.policy = POLICY
        self.elsewhere: set[str] = set()
        """Other addresses that keep static files."""
        self.asked: set[str] = set()
        self.answer: dict[str, Any] = {"status": 200, "content_type": "text/html", "body": ""}

    async def open(self, path: str, *, width: int = 1440, scheme: str = "light", scripts: bool = True) -> Any:
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        tab = await context.new_page()
        tab.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: self.complaints.append(str(e)))
        await tab.route("**/*", self._serve)
        await tab.route_web_socket("**/v1/socket", lambda _: None)  # the bell's: it is heard, and nothing happens
        await tab.goto(SITE + path)
        await tab.wait_for_load_state("networkidle")
        return tab

    async def _serve(self, route: Any) -> None:
        url = urlparse(route.request.url)
        at = f"{url.scheme}://{url.netloc}"
        self.asked.add(f"{at}{url.path}")
        if at in self.elsewhere and (asset := self.assets.lookup(url.path.removeprefix("/shop"))) is not None:
            await route.fulfill(body=asset.body, content_type=asset.content_type)
        elif at != SITE:
            self.complaints.append(f"asked elsewhere: {route.request.url}")
            await route.abort()
        elif route.request.method == "POST":
            self.posts.append(parse_qs(route.request.post_data or ""))
            await route.fulfill(**self.answer)
        elif url.path.startswith(PREFIX):
            asset = self.assets.lookup(url.path)
            if asset is None:
                self.complaints.append(f"no such asset: {url.path}")
                await route.fulfill(status=404)
            else:
                await route.fulfill(body=asset.body, content_type=asset.content_type)
        elif url.path == "/notifications/bell":
            await route.fulfill(body="<span data-bell-count></span>", content_type="text/html; charset=utf-8")
        elif url.path in self.streams:
            await route.fulfill(body=self.streams[url.path], content_type="text/event-stream")
        elif url.path in self.html:
            headers = {"Content-Security-Policy": self.policy}
            await route.fulfill(body=self.html[url.path], content_type="text/html; charset=utf-8", headers=headers)
        else:
            await route.fulfill(status=404, content_type="text/plain", body="")


@pytest.fixture
async def site(browser: Any, assets: Assets, pages: Pages, page: PageContext) -> AsyncIterator[Site]:
    site = Site(browser, assets, pages)
    for language in ("en", "ur"):
        spoken = msgspec.structs.replace(page, locale=language, direction=page_direction(language))
        site.html[f"/dev/ui/{language}"] = pages.render("dev/ui.html", spoken, **gallery(page.now))
    site.html["/dev/ui"] = site.html["/dev/ui/en"]
    yield site
    for context in browser.contexts:
        await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["en", "ur"])
async def test_the_gallery_opens_without_a_complaint_and_without_sideways_scrolling(
    site: Site, width: int, scheme: str, language: str
) -> None:
    tab = await site.open(f"/dev/ui/{language}", width=width, scheme=scheme)
    assert site.complaints == []
    assert await tab.evaluate("document.documentElement.scrollWidth") == width
    assert await tab.evaluate("document.fonts.check('16px \"Instrument Sans\"')")


@pytest.mark.parametrize("allowed", [True, False])
async def test_static_files_may_come_from_another_address_that_the_policy_names(
    site: Site, pages: Pages, page: PageContext, allowed: bool
) -> None:
    cdn = "http://cdn.forecourt.test"
    elsewhere = Pages(Assets(address=f"{cdn}/shop"), catalogue=pages.catalogue)
    site.policy = policy(f"{cdn}/shop" if allowed else "").decode()
    site.elsewhere.add(cdn)
    site.html["/far"] = elsewhere.render("dev/ui.html", page, **gallery(page.now))
    tab = await site.open("/far")
    assert (site.complaints == []) is allowed, site.complaints
    at_home = {url.rpartition("/")[2] for url in site.asked if url.startswith(SITE + PREFIX)}
    assert at_home - {"forecourt.webmanifest"} == {"icons.svg"}, "what browsers take from nowhere else"
    asked = {url.rpartition("/")[2] for url in site.asked if url.startswith(f"{cdn}/shop{PREFIX}")}
    assert {"app.js", "forecourt.css", "instrument-sans-latin.woff2"} <= asked if allowed else "forecourt.css" not in asked
    assert await tab.evaluate("getComputedStyle(document.body).fontFamily.includes('Instrument Sans')") is allowed


async def test_a_complaint_would_be_heard(site: Site) -> None:
    site.html["/bad"] = '<!doctype html><html><body><p style="color:red">x</p><script>alert(1)</script></body></html>'
    await site.open("/bad")
    assert len(site.complaints) >= 2


async def test_a_narrow_phone_with_large_letters_loses_nothing(site: Site) -> None:
    tab = await site.open("/dev/ui", width=320)
    assert await tab.evaluate("document.documentElement.scrollWidth") <= 320


async def test_every_control_a_guest_presses_is_large_enough_on_a_phone(site: Site) -> None:
    tab = await site.open("/dev/ui", width=390)
    small = await tab.evaluate(
        """[...document.querySelectorAll('[data-theme="light"] :is(.btn:not(.btn--s), .input, .chip, .option, .times__one)')]
           .filter(e => e.checkVisibility()).map(e => [e.className, e.getBoundingClientRect().height]).filter(x => x[1] < 40)"""
    )
    assert small == []


async def test_the_page_finds_and_books_without_scripts(site: Site) -> None:
    tab = await site.open("/dev/ui", width=390, scripts=False)
    assert await tab.locator("button.js-only").first.is_visible() is False
    first = tab.locator(".both [data-theme=light] .times__one").first
    assert (await first.get_attribute("href") or "").startswith("?court=")
    assert await tab.locator("#avail a.slot").first.get_attribute("href")


async def test_arrows_walk_free_times_and_only_one_of_them_is_a_tab_stop(site: Site) -> None:
    tab = await site.open("/dev/ui")
    grid = tab.locator("#avail").first
    await grid.locator(".slot--mine").focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    assert (await tab.evaluate(focused)).startswith("Court 3, 19:30")
    await tab.keyboard.press("ArrowRight")
    assert (await tab.evaluate(focused)).startswith("Court 3, 21:00")
    await tab.keyboard.press("ArrowDown")
    assert (await tab.evaluate(focused)).startswith("Court 5, 21:00"), "the same time on another court comes first"
    await tab.keyboard.press("Home")
    assert (await tab.evaluate(focused)).startswith("Court 5, 16:00")
    assert await grid.evaluate("g => [...g.querySelectorAll('a.slot')].filter(a => a.tabIndex === 0).length") == 1


async def test_names_of_places_stay_in_sight_when_a_phone_scrolls_to_the_end(site: Site) -> None:
    tab = await site.open("/dev/ui", width=390)
    for name, box, wide in (("#avail .avail__court bdi", "#avail", 600), (".day__hours span", ".dayframe__scroll", 700)):
        far = await tab.evaluate("s => { const e = document.querySelector(s); e.scrollLeft = 9999; return e.scrollLeft; }", box)
        assert far > wide - 390
        inside = await tab.evaluate(
            """([name, box]) => document.querySelector(name).getBoundingClientRect().x
                - document.querySelector(box).getBoundingClientRect().x""",
            [name, box],
        )
        assert inside >= 0, name


async def test_arrows_follow_the_eye_from_the_other_side_too(site: Site) -> None:
    tab = await site.open("/dev/ui/ur")
    mine = tab.locator("#avail .slot--mine").first
    await mine.focus()
    before = await tab.evaluate("document.activeElement.getBoundingClientRect().x")
    await tab.keyboard.press("ArrowLeft")
    assert await tab.evaluate("document.activeElement.getBoundingClientRect().x") < before
    assert "21:00" in await tab.evaluate("document.activeElement.getAttribute('aria-label')")


async def test_a_block_is_moved_with_the_keyboard_and_the_server_hears_where(site: Site) -> None:
    tab = await site.open("/dev/ui")
    await tab.locator('.bk[value="b15"]').focus()
    await tab.keyboard.press("m")
    assert await tab.locator(".bk--lift[value=b15]").count() == 1
    await tab.keyboard.press("ArrowLeft")  # Court 4, where 20:00 is free until 20:30: refused
    assert await tab.locator(".day__drop[data-bad]").count() == 1
    assert (await tab.locator(".bk__when").inner_text()) == "Court 4, 20:00", "the venue's clock, not ours"
    await tab.keyboard.press("ArrowLeft")  # Court 3: taken by the choice
    for _ in range(8):
        await tab.keyboard.press("ArrowDown")
    assert await tab.locator(".day__drop[data-bad]").count() == 0
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector(".bk[data-saving]", state="detached")
    assert len(site.posts) == 1
    sent = site.posts[0]
    assert (sent["booking_id"], sent["resource_id"]) == (["b15"], ["c3"])
    assert sent["start"] == ["2026-11-19T17:00:00.000Z"]
    assert await tab.locator("#day-c3 .bk[value='b15']").count() == 1


async def test_escape_puts_a_lifted_block_back_and_nothing_is_sent(site: Site) -> None:
    tab = await site.open("/dev/ui")
    await tab.locator('.bk[value="b15"]').focus()
    for key in ("m", "ArrowDown", "ArrowDown", "Escape"):
        await tab.keyboard.press(key)
    assert site.posts == []
    assert await tab.locator("#day-c5 .bk[value='b15'][data-at='24']").count() == 1
    assert await tab.locator(".day__drop").count() == 0


async def test_a_refused_move_puts_the_block_back_and_says_why(site: Site) -> None:
    site.answer = {
        "status": 409,
        "content_type": "application/problem+json",
        "body": '{"detail": "Court 5 at 21:00 was just taken.", "code": "slot_taken"}',
    }
    tab = await site.open("/dev/ui")
    await tab.locator('.bk[value="b15"]').focus()
    for key in ("m", "ArrowDown", "ArrowDown", "Enter"):
        await tab.keyboard.press(key)
    await tab.wait_for_selector("text=Court 5 at 21:00 was just taken.")
    assert await tab.locator("#day-c5 .bk[value='b15'][data-at='24']").count() == 1


async def test_a_block_is_dragged_with_the_mouse(site: Site) -> None:
    tab = await site.open("/dev/ui")
    await tab.locator(".bk[value='b16']").scroll_into_view_if_needed()
    box = await tab.locator(".bk[value='b15']").bounding_box()
    step = await tab.evaluate("document.querySelector('.day__col').getBoundingClientRect().height / 40")
    x, y = box["x"] + 40, box["y"] + 8
    await tab.mouse.move(x, y)
    await tab.mouse.down()
    await tab.mouse.move(x, y + step, steps=3)
    await tab.mouse.move(x, y + 2 * step, steps=3)
    await tab.mouse.up()
    await tab.wait_for_selector(".day__drop", state="detached")
    await tab.wait_for_selector(".bk[data-saving]", state="detached")
    assert site.posts[0]["start"] == ["2026-11-19T15:30:00.000Z"]
    assert tab.url == SITE + "/dev/ui", "the drop is not a press"


async def test_the_hold_runs_down_speaks_and_ends_with_a_way_back(site: Site, pages: Pages, page: PageContext) -> None:
    bar = pages.macro("ui.html", "hold_bar", "en", "Court 3", page.now + timedelta(seconds=122), page.now, 600, "/again")
    shell = pages.render("errors/problem.html", page, status=404, title="", detail="", code="", trace_id="", actions=())
    site.html["/pay"] = shell.replace("<main", f"{bar}<main", 1)
    tab = await site.open("/pay")
    clock = tab.locator("[data-countdown]")
    assert (await clock.inner_text()).startswith("2:0")
    await tab.wait_for_selector("#say:text-is('2 minutes left to pay')", state="attached")
    await clock.evaluate("e => { const b = e.cloneNode(); b.dataset.countdown = '2026-11-19T14:12:01Z'; e.replaceWith(b); }")
    await tab.evaluate(
        "import(document.querySelector('script[type=module]').src.replace('app.js', 'countdown.js')).then(m => m.start(document))"
    )
    await tab.wait_for_selector("text=The time to pay is over")
    assert await tab.locator("a[href='/again']").is_visible()
    assert await tab.locator(".holdbar").is_visible() is False
    assert site.complaints == []


async def test_the_theme_switches_and_is_remembered_for_the_server(site: Site) -> None:
    tab = await site.open("/dev/ui")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await tab.evaluate(ground)
    await tab.locator(".site > [data-do=theme]").click()
    assert await tab.evaluate(ground) != light
    assert "theme=dark" in await tab.evaluate("document.cookie")


async def test_a_dialog_opens_takes_the_focus_and_gives_it_back(site: Site) -> None:
    tab = await site.open("/dev/ui")
    opener = tab.locator("[data-dialog=cancel-l]")
    await opener.click()
    assert await tab.locator("#cancel-l[open]").count() == 1
    assert await tab.evaluate("document.activeElement.closest('dialog') !== null")
    await tab.keyboard.press("Escape")
    assert await tab.evaluate("document.activeElement.dataset.dialog") == "cancel-l"


async def test_keys_are_listed_with_a_question_mark_but_not_while_typing(site: Site) -> None:
    tab = await site.open("/dev/ui")
    await tab.locator("#f-promo-l").focus()
    await tab.keyboard.press("?")
    assert await tab.locator("#keys-dialog[open]").count() == 0
    await tab.locator(".site .logo").focus()
    await tab.keyboard.press("?")
    assert await tab.locator("#keys-dialog[open]").count() == 1


async def test_a_live_patch_replaces_by_id_keeps_the_focus_and_spares_a_form_in_use(site: Site) -> None:
    tab = await site.open("/dev/ui")
    patch = "html => import(document.querySelector('script[type=module]').src.replace('app', 'patch')).then(m => m.patch(html))"
    await tab.locator('.bk[value="b15"]').focus()
    html = await tab.evaluate("document.querySelector('.bk[value=b15]').closest('.day__col').outerHTML")
    await tab.evaluate(patch, html.replace("Bilal Qureshi", "Bilal Q."))
    assert await tab.evaluate("document.activeElement.querySelector('bdi').textContent") == "Bilal Q."
    await tab.evaluate("document.querySelector('.form').id = 'form-1'")
    await tab.locator("#f-name-l").fill("half a na")
    await tab.evaluate(patch, '<form id="form-1"><input id="f-name-l" value="other"></form>')
    assert await tab.locator("#f-name-l").input_value() == "half a na"


async def test_the_map_zooms_and_its_labels_keep_their_size(site: Site) -> None:
    tab = await site.open("/dev/ui")
    pin = tab.locator("#map .pin rect").first
    await tab.locator("#map").scroll_into_view_if_needed()
    before = await pin.bounding_box()
    await tab.locator("#map [data-zoom=in]").click()
    after = await pin.bounding_box()
    assert (await tab.locator("#map svg.map").get_attribute("viewBox") or "").split()[2] == "528"
    assert after["width"] == pytest.approx(before["width"], abs=1.5)


async def test_a_live_message_patches_the_page_fetches_what_it_is_told_and_speaks(site: Site, page: PageContext) -> None:
    streamed = msgspec.structs.replace(page, live="/live")
    body = site.pages.render("errors/problem.html", streamed, status=404, title="", detail="", code="", trace_id="", actions=())
    site.html["/live-page"] = body.replace("<main", '<p id="a">old a</p><p id="b">old b</p><main', 1)
    site.html["/b"] = '<p id="b">new b</p>'
    message = {"topic": "t", "html": '<p id="a">new a</p>', "reload": "/b", "say": "Court 2 was just taken"}
    site.streams["/live"] = f"retry: 60000\ndata: {json.dumps(message)}\n\n"
    tab = await site.open("/live-page")
    await tab.wait_for_selector("#a:text-is('new a')")
    await tab.wait_for_selector("#b:text-is('new b')")
    await tab.wait_for_selector("#say:text-is('Court 2 was just taken')", state="attached")
    assert site.complaints == []


async def test_a_stream_that_ends_is_opened_again(site: Site, page: PageContext) -> None:
    streamed = msgspec.structs.replace(page, live="/live")
    problem = {"status": 404, "title": "", "detail": "", "code": "", "trace_id": "", "actions": ()}
    site.html["/live-page"] = site.pages.render("errors/problem.html", streamed, **problem)
    site.streams["/live"] = "data: {}\n\n"
    tab = await site.open("/live-page")
    async with tab.expect_request("**/live", timeout=15_000):
        pass


async def test_what_just_happened_is_shown_with_a_way_back(site: Site, page: PageContext) -> None:
    told = msgspec.structs.replace(page, toasts=(Toast("Moved to Court 4, 20:30", "/undo/1"),))
    problem = {"status": 404, "title": "", "detail": "", "code": "", "trace_id": "", "actions": ()}
    site.html["/told"] = site.pages.render("errors/problem.html", told, **problem)
    site.answer = {"status": 200, "content_type": "text/html", "body": "<p>undone</p>"}
    tab = await site.open("/told")
    await tab.locator(".problem").press("z")
    await tab.wait_for_selector("text=undone")
    assert site.posts == [{"csrf_token": ["token-1"]}]


async def test_the_summary_on_a_phone_is_one_line_until_it_is_opened(site: Site) -> None:
    tab = await site.open("/dev/ui", width=390)
    full = tab.locator("#summary .summary__full")
    assert await full.is_visible() is False
    await tab.locator("#summary .summary__peek button").click()
    assert await full.is_visible()


async def test_a_password_is_shown_and_hidden_by_keys_and_leaves_hidden(site: Site) -> None:
    tab = await site.open("/dev/ui", width=390)
    field = tab.locator("#f-password-l")
    await field.fill("several words together")
    button = tab.get_by_role("button", name="Show: Password").first
    await field.press("Tab")
    assert await button.evaluate("b => b === document.activeElement"), "it follows its field"
    box = await button.bounding_box()
    assert box["width"] >= 44 and box["height"] >= 44
    await tab.keyboard.press("Space")
    assert await field.get_attribute("type") == "text"
    await tab.get_by_role("button", name="Hide: Password").first.press("Enter")
    assert await field.get_attribute("type") == "password" and await field.input_value() == "several words together"
    await button.click()
    await tab.evaluate("document.querySelector('#f-password-l').form.dispatchEvent(new Event('submit', {bubbles: true}))")
    assert await field.get_attribute("type") == "password", "no browser keeps it in the clear"
    assert site.complaints == []


async def test_without_scripts_nothing_offers_to_show_a_password(site: Site) -> None:
    tab = await site.open("/dev/ui", scripts=False)
    assert await tab.locator("#f-password-l").is_visible()
    assert not await tab.locator(".reveal__b").first.is_visible()


async def test_what_was_done_is_said_where_it_covers_no_button(site: Site, page: PageContext) -> None:
    quiet = {"status": 404, "title": "", "detail": "", "code": "not_found", "trace_id": "", "actions": ()}
    site.html["/quiet"] = site.pages.render("errors/problem.html", page, **quiet)
    tab = await site.open("/quiet", width=390)
    say = """async (wanted) => {
        const app = await import(document.querySelector('script[type="module"]').src);
        document.getElementById("toasts").replaceChildren();
        if (wanted) {
            const save = Object.assign(document.createElement("button"), {id: "save", textContent: "Save", className: "btn"});
            Object.assign(save.style, {position: "fixed", inset: "auto 1rem 4.5rem 1rem"});
            document.querySelector("main").append(save);
        }
        app.toast("Saved");
        const box = (what) => { const r = document.querySelector(what)?.getBoundingClientRect(); return r && [r.top, r.bottom]; };
        return [box(".toast"), box("#save"), innerHeight];
    }"""
    toast, nothing, height = await tab.evaluate(say, False)
    assert nothing is None and toast[0] > height / 2, "a control: at the foot where nothing is in the way"
    toast, save, _ = await tab.evaluate(say, True)
    assert toast[1] <= save[0] and toast[0] > 0
    assert site.complaints == []
