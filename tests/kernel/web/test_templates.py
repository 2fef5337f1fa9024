from __future__ import annotations

import gzip
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from uuid import uuid4

import msgspec
import pytest
from jinja2 import TemplateNotFound, UndefinedError

from forecourt.kernel.money import Money
from forecourt.kernel.web import render, views
from forecourt.kernel.web.assets import Assets
from forecourt.kernel.web.catalogue import Catalogue
from forecourt.kernel.web.gallery import HOSTILE, gallery
from forecourt.kernel.web.nav import STANDARD
from forecourt.kernel.web.render import Language, OrgNav, PageContext, Pages

TEMPLATES = render.OWN_TEMPLATES
INLINE = re.compile(
    r"""\sstyle\s*=|<style\b|\son[a-z]+\s*=\s*["'{]|\bhref\s*=\s*["']javascript:|<script(?![^>]*\ssrc=)""", re.IGNORECASE
)
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Tree(HTMLParser):
    """Collects tags, attributes and ids, and checks that elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.stack[-3:]} at {self.getpos()}")
            return
        self.stack.pop()


def parse(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    return tree


def shown(pages: Pages, page: PageContext) -> str:
    return pages.render("dev/ui.html", page, **gallery(page.now))


@pytest.mark.parametrize("language", ["en", "pt", "ur"])
def test_the_gallery_renders_in_every_language_and_its_elements_close(pages: Pages, page: PageContext, language: str) -> None:
    spoken = msgspec.structs.replace(page, locale=language, direction=render.page_direction(language))  # pyright: ignore
    tree = parse(shown(pages, spoken))
    assert tree.faults == []
    assert tree.stack == []
    html = next(attrs for tag, attrs in tree.tags if tag == "html")
    assert html["lang"] == language
    assert html["dir"] == ("rtl" if language == "ur" else "ltr")


def test_every_macro_there_is_stands_in_the_gallery(pages: Pages) -> None:
    source = (TEMPLATES / "dev/ui.html").read_text() + "".join(f.read_text() for f in (TEMPLATES / "ui").glob("*.html"))
    source += (TEMPLATES / "layouts/base.html").read_text() + (TEMPLATES / "layouts/site.html").read_text()
    public = re.findall(r"{% set (\w+) = \w+_ %}", (TEMPLATES / "ui.html").read_text())
    assert len(public) > 50
    unused = [m for m in public if len(re.findall(rf"\b{m}\(", source)) < 2]  # once where it is defined
    assert unused == []


def test_macros_at_their_edges(pages: Pages) -> None:
    from markupsafe import Markup

    assert "<path" in pages.macro("ui.html", "qr", "en", Markup("<svg><path/></svg>"), "Check-in code")
    assert "&lt;svg" in pages.macro("ui.html", "qr", "en", "<svg></svg>", "Check-in code")
    assert "£22" in pages.macro("ui.html", "time_button", "en", "18:00", Money(2200, "GBP"), "/book")
    assert pages.macro("ui.html", "bar_chart", "en", "Nothing", ()).count("<rect") == 0


@pytest.mark.parametrize("macro", ["field", "area", "select"])
def test_a_form_opens_at_a_field_with_a_fault_and_at_no_other(pages: Pages, macro: str) -> None:
    extra: tuple[object, ...] = ((),) if macro == "select" else ()
    assert "autofocus" not in pages.macro("ui.html", macro, "en", "city", "City", *extra)
    wrong = pages.macro("ui.html", macro, "en", "city", "City", *extra, error="Is needed.")
    assert wrong.count("autofocus") == 1


def test_a_field_that_has_the_focus_anyway_is_told_once(pages: Pages) -> None:
    wrong = pages.macro("ui.html", "field", "en", "city", "City", error="Is needed.", attrs={"autofocus": ""})
    assert wrong.count("autofocus") == 1


@pytest.mark.parametrize(
    ("language", "show", "hide"), [("en", "Show", "Hide"), ("pt", "Mostrar", "Esconder"), ("ur", "دکھائیں", "چھپائیں")]
)
def test_a_password_can_be_shown_by_a_button_that_says_of_which_field(
    pages: Pages, language: Language, show: str, hide: str
) -> None:
    html = pages.macro("ui.html", "field", language, "pw", "Password", type="password")
    button = re.search(r"(?s)<button.*?</button>", html)
    assert button is not None and 'type="button"' in button[0] and 'aria-controls="f-pw"' in button[0]
    assert f"{show}: Password" in button[0] and f"{hide}: Password" in button[0]
    assert "js-only" in button[0], "without scripts there is none"
    assert "<button" not in pages.macro("ui.html", "field", language, "pw", "City")


def test_no_template_carries_an_inline_style_script_or_handler() -> None:
    templates = sorted(TEMPLATES.rglob("*.html"))
    assert len(templates) > 10
    found = {f.name: INLINE.findall(re.sub(r"{#.*?#}", "", f.read_text(), flags=re.DOTALL)) for f in templates}
    assert {name: hits for name, hits in found.items() if hits} == {}


@pytest.mark.parametrize(
    "planted",
    [
        '<p style="color:red">',
        "<p onclick='x()'>",
        '<a href="javascript:x">',
        "<script>alert(1)</script>",
        "<style>p{}</style>",
    ],
)
def test_the_scan_finds_what_it_looks_for(planted: str) -> None:
    assert INLINE.search(planted)


def test_no_drawing_or_script_breaks_the_content_policy(assets: Assets) -> None:
    for path in assets.paths():
        asset = assets.lookup(path)
        assert asset is not None
        if path.endswith(".svg"):
            assert INLINE.search(asset.body.decode()) is None, path
        if path.startswith("js/"):
            text = asset.body.decode()
            assert re.search(r"\beval\(|new Function|innerHTML|https?://", text) is None, path


def test_nothing_on_a_page_comes_from_another_site(pages: Pages, page: PageContext) -> None:
    for _, attrs in parse(shown(pages, page)).tags:
        for name in ("src", "href", "action", "hx-get", "hx-post"):
            assert not re.match(r"(?:https?:)?//", attrs.get(name) or "/ok"), attrs


def test_hostile_names_stay_text(pages: Pages, page: PageContext) -> None:
    html = shown(pages, page)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<img src=x" not in html
    assert HOSTILE[2].name in html, "or nothing is proved about direction marks"
    for found in re.finditer(re.escape(HOSTILE[2].name), html):
        before = html[max(0, found.start() - 200) : found.start()]
        isolated = before.rfind("<bdi") > before.rfind("</bdi>") or 'title="' in before[-8:] or before.endswith('">')
        isolated = isolated or "aria-label" in before
        assert isolated, before[-60:]


def test_an_attribute_cannot_be_broken_out_of(pages: Pages) -> None:
    name = '" autofocus onfocus="x'
    html = pages.macro("ui.html", "field", "en", "n", "Name", name)
    tree = parse(html)
    inputs = [attrs for tag, attrs in tree.tags if tag == "input"]
    assert inputs[0]["value"] == name
    assert "onfocus" not in inputs[0]


def test_a_macro_refuses_handlers_and_styles_given_as_attributes(pages: Pages) -> None:
    html = pages.macro("ui.html", "button", "en", "Go", attrs={"onclick": "x()", "style": "color:red", "hx-post": "/x"})
    assert "onclick" not in html
    assert "style" not in html
    assert 'hx-post="/x"' in html


def test_every_input_has_a_label_and_every_button_a_name(pages: Pages, page: PageContext) -> None:
    html = shown(pages, page)
    tree = parse(html)
    labelled = {attrs.get("for") for tag, attrs in tree.tags if tag == "label"}
    for tag, attrs in tree.tags:
        if tag in ("input", "select", "textarea") and attrs.get("type") not in ("hidden", "radio", "checkbox"):
            assert attrs.get("id") in labelled or attrs.get("aria-label"), attrs
    buttons = re.findall(r"<button([^>]*)>(.*?)</button>", html, flags=re.DOTALL)
    assert len(buttons) > 20
    for attributes, inside in buttons:
        assert "aria-label=" in attributes or re.sub(r"<[^>]+>", "", inside).strip(), attributes


def test_a_value_that_was_not_given_is_an_error_not_a_blank(pages: Pages, page: PageContext) -> None:
    with pytest.raises(UndefinedError):
        pages.render("errors/problem.html", page, status=404)
    with pytest.raises(TemplateNotFound):
        pages.render("errors/nothing.html", page)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 418, 429, 500, 503])
def test_every_problem_has_a_page_that_says_what_to_do(pages: Pages, page: PageContext, status: int) -> None:
    html = pages.render("errors/problem.html", page, status=status, title="", detail="", code="x", trace_id="abc123", actions=())
    assert "abc123" in html
    assert parse(html).faults == []
    assert re.search(r"Oops|invalid|went wrong|!<", html) is None
    assert 'href="/"' in html


def test_a_problems_own_words_win_and_are_escaped(pages: Pages, page: PageContext) -> None:
    html = pages.render(
        "errors/problem.html",
        page,
        status=409,
        title="Court 2 was just taken",
        detail="Free nearby: <18:30>",
        code="slot_taken",
        trace_id="",
        actions=(views.Link("See 18:30", "/venues/1?at=18:30"),),
    )
    assert "Court 2 was just taken" in html
    assert "&lt;18:30&gt;" in html
    assert 'href="/venues/1?at=18:30"' in html


def shell(pages: Pages, page: PageContext, tmp_path: Path) -> str:
    (tmp_path / "t").mkdir(exist_ok=True)
    (tmp_path / "t" / "day.html").write_text('{% extends "layouts/shell.html" %}{% block main %}<h1>Day</h1>{% endblock %}')
    return Pages(pages.assets, [tmp_path]).render("t/day.html", page)


def test_staff_see_the_organisations_bars_and_guests_their_own(pages: Pages, page: PageContext, tmp_path: Path) -> None:
    guest = shell(pages, page, tmp_path)
    assert "/orgs/o1/day" not in guest
    assert "/bookings" in guest
    org = OrgNav("o1", "Baradari", "padel", "manager", permissions=frozenset({"booking.read_any"}))
    staff = msgspec.structs.replace(page, org=org, path="/orgs/o1/day")
    html = shell(pages, staff, tmp_path)
    assert "/orgs/o1/keys" not in html, "what somebody may not open is not offered"
    assert 'href="/orgs/o1/day" aria-current="page"' in html
    assert "{org}" not in html
    assert parse(html).faults == []


def test_a_bar_marks_only_the_page_it_leads_to(pages: Pages, page: PageContext, tmp_path: Path) -> None:
    html = shell(pages, msgspec.structs.replace(page, path="/bookings/42"), tmp_path)
    side = html[html.index("side__nav") : html.index("side__foot")]
    assert side.count('aria-current="page"') == 1
    assert 'href="/bookings" aria-current="page"' in side


def test_the_theme_and_the_brand_are_attributes_never_styles(pages: Pages, page: PageContext) -> None:
    html = pages.render("errors/problem.html", msgspec.structs.replace(page, theme="dark"), **_problem())
    assert re.search(r'<html lang="en" dir="ltr" data-theme="dark" data-hue="252" data-chroma="125">', html)
    plain = pages.render("errors/problem.html", msgspec.structs.replace(page, org=None), **_problem())
    assert "data-theme" not in plain.split(">")[1]
    assert "data-hue" not in plain


def _problem() -> dict[str, object]:
    return {"status": 404, "title": "", "detail": "", "code": "", "trace_id": "", "actions": ()}


def test_every_label_of_the_bars_is_in_the_catalogue_and_every_icon_in_the_sprite(assets: Assets) -> None:
    catalogue = Catalogue()
    sprite = assets.lookup("icons.svg")
    assert sprite is not None
    icons = set(re.findall(r'id="([\w-]+)"', sprite.body.decode()))
    items = [*STANDARD.site, *STANDARD.person_tabs, *STANDARD.staff_tabs]
    items += [item for section in (*STANDARD.person, *STANDARD.staff) for item in section.items]
    for item in items:
        assert catalogue.has(item.label), item.label
        assert item.icon in icons, item.icon
    used = {m for f in TEMPLATES.rglob("*.html") for m in re.findall(r'icon\("([\w-]+)"', f.read_text())}
    assert used <= icons


def test_a_modules_template_cannot_replace_one_of_the_house(pages: Pages, page: PageContext, tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "problem.html").write_text("mine")
    assert Pages(pages.assets, [tmp_path]).render("errors/problem.html", page, **_problem()) != "mine"


def test_the_grid_by_time_first_holds_the_same_places_cheapest_first() -> None:
    grid = gallery(datetime(2026, 11, 19, 14, 12, tzinfo=UTC))["grid"]
    assert isinstance(grid, views.GridView)
    starts = grid.starts()
    free = [c for row in grid.rows for c in row.cells if c.state in (views.SlotState.FREE, views.SlotState.MINE)]
    assert sum(len(s.places) for s in starts) == len(free)
    assert [s.start for s in starts] == sorted({c.start for c in free})
    for start in starts:
        amounts = [p.price.amount for p in start.places]
        assert amounts == sorted(amounts)
        assert start.cheapest == start.places[0].price
    assert [s.start for s in starts if s.mine] == ["19:30"]


@pytest.mark.parametrize(
    ("language", "currency", "shown"), [("en", "PKR", "Rs 10,500"), ("en", "GBP", "£105"), ("pt", "GBP", "£ 105")]
)
def test_a_price_in_the_grid_says_in_which_money_it_is(
    pages: Pages, page: PageContext, language: Language, currency: str, shown: str
) -> None:
    cell = views.GridCell(
        at=0,
        start="19:30",
        end="21:00",
        state=views.SlotState.FREE,
        price=Money(1050000 if currency == "PKR" else 10500, currency),
    )
    grid = msgspec.structs.replace(gallery(page.now)["grid"], rows=(views.GridRow("r", "Court 1", "", (cell,)),))  # type: ignore[arg-type]
    assert f"<bdi>{shown}</bdi></a>" in pages.macro("ui.html", "availability", language, grid)


def test_cells_say_the_place_the_time_the_price_and_whether_it_is_free(pages: Pages, page: PageContext) -> None:
    html = pages.macro("ui.html", "availability", "en", gallery(page.now)["grid"])
    assert 'aria-label="Court 3, 19:30 to 21:00, Rs\u00a010,500, your choice"' in html
    assert 'aria-label="Court 1, 17:30 to 19:00, Rs\u00a010,500, free"' in html
    tree = parse(html)
    slots = [a for tag, a in tree.tags if tag == "a"]
    assert [a["tabindex"] for a in slots].count("0") == 1
    assert all(a["href"] for a in slots)


def test_every_sign_of_a_block_is_drawn_by_the_style_sheet(assets: Assets) -> None:
    sheet = assets.lookup("forecourt.css")
    assert sheet
    drawn = set(re.findall(r"\.i-([a-z-]+) \{ --sign: url\(signs/\1\.svg\)", sheet.body.decode()))
    assert drawn == set(get_args(views.DaySign))
    files = set(re.findall(r"url\(signs/([a-z-]+\.svg)\)", sheet.body.decode()))
    assert files >= {f"{sign}.svg" for sign in drawn}
    assert all(assets.lookup(f"signs/{file}") for file in files)


def test_page_and_live_update_draw_a_block_alike(pages: Pages, page: PageContext) -> None:
    day = gallery(page.now)["day"]
    assert isinstance(day, views.DaySheetView)
    sheet = pages.macro("ui.html", "day_sheet", "en", day)
    for block in day.blocks:
        assert pages.macro("ui.html", "booking_block", "en", block).strip() in sheet


@pytest.mark.parametrize("name", ["Mahnoor Tariq", "<b>", "🏓", "عائشہ رحمان", "  ", "x"])
def test_initials_are_letters_and_two_at_most(name: str) -> None:
    made = render.initials(name)
    assert 1 <= len(made) <= 2
    assert made == "?" or made.isalpha()


def test_views_and_page_context_are_frozen(page: PageContext) -> None:
    structs = [
        v for v in vars(views).values() if isinstance(v, type) and issubclass(v, msgspec.Struct) and v is not msgspec.Struct
    ]
    structs = [s for s in structs if s.__module__ == views.__name__]
    assert len(structs) > 25
    for struct in structs:
        assert struct.__struct_config__.frozen, struct.__name__
        assert struct.__doc__, struct.__name__
    with pytest.raises(AttributeError):
        page.path = "/other"  # pyright: ignore


def test_an_edited_template_is_seen_in_development_and_not_in_production(
    assets: Assets, page: PageContext, tmp_path: Path
) -> None:
    file = tmp_path / "hello.html"
    file.write_text("one")
    production, development = Pages(assets, [tmp_path]), Pages(assets, [tmp_path], reload=True)
    assert production.render("hello.html", page) == development.render("hello.html", page) == "one"
    file.write_text("two")
    os.utime(file, (1, 1))
    assert production.render("hello.html", page) == "one"
    assert development.render("hello.html", page) == "two"


def test_the_house_stays_small_on_the_wire(pages: Pages, page: PageContext) -> None:
    day = pages.macro("ui.html", "day_sheet", "en", _full_day(page.now))
    assert day.count('class="bk"') == 8 * 16
    assert len(day.encode()) < 40_000
    assert len(gzip.compress(day.encode())) < 12_000
    grid = gallery(page.now)["grid"]
    assert len(pages.macro("ui.html", "availability", "en", grid).encode()) < 40_000


def _full_day(now: datetime) -> views.DaySheetView:
    """Eight courts, each booked by the hour from 07:00 to 23:00."""
    day = gallery(now)["day"]
    assert isinstance(day, views.DaySheetView)
    sample = day.blocks[2]
    resources = tuple(views.DayResource(f"c{i}", f"Court {i}", "Panoramic", 88) for i in range(8))
    blocks = tuple(
        msgspec.structs.replace(sample, id=str(uuid4()), resource_id=f"c{i}", at=h * 4, len=4)
        for i in range(8)
        for h in range(16)
    )
    return msgspec.structs.replace(day, resources=resources, blocks=blocks, steps=64, free=())
