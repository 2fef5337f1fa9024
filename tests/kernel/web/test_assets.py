from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from forecourt.kernel.web.assets import CACHE_FOREVER, Assets

BUDGET_BYTES = 150_000
FIRST_LOAD_BYTES = 120_000


def wire_bytes(assets: Assets, path: str) -> int:
    asset = assets.lookup(path)
    assert asset is not None
    return len(asset.gzipped or asset.body)


def test_a_url_carries_the_hash_of_the_tree_and_relative_urls_inside_css_stay_valid(assets: Assets) -> None:
    css = assets("tokens.css")
    assert css == f"/static/{assets.hash}/tokens.css"
    font = assets.lookup(css.replace("tokens.css", "fonts/instrument-sans-latin.woff2"))
    assert font is not None
    assert font.content_type == "font/woff2"
    assert font.body.startswith(b"wOF2")


def test_the_hash_changes_when_any_file_changes_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a{}")
    first, again = Assets((tmp_path,)), Assets((tmp_path,))
    assert first.hash == again.hash
    (tmp_path / "a.css").write_text("b{}")
    assert Assets((tmp_path,)).hash != first.hash


def test_moving_a_byte_from_one_file_to_the_next_changes_the_hash(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, a, b in ((one, "ab", "c"), (other, "a", "bc")):
        folder.mkdir()
        (folder / "a.css").write_text(a)
        (folder / "b.css").write_text(b)
    assert Assets((one,)).hash != Assets((other,)).hash


def test_todays_url_is_kept_for_a_year_and_an_old_one_is_answered_but_not_kept(assets: Assets) -> None:
    today = assets.lookup(assets("forecourt.css"))
    old = assets.lookup("/static/000000000000/forecourt.css")
    assert today is not None
    assert old is not None
    assert today.cache_control == CACHE_FOREVER
    assert old.cache_control == "no-cache"
    assert old.body == today.body
    nameless = assets.lookup("/static/fonts/instrument-sans-latin.woff2")
    assert nameless is not None and nameless.cache_control == "no-cache", "nothing in that address says which file it is"


def test_another_address_may_keep_all_but_what_browsers_take_from_the_page_alone(assets: Assets) -> None:
    far = Assets(address="https://cdn.example.org/shop")
    assert far("tokens.css") == f"https://cdn.example.org/shop/static/{assets.hash}/tokens.css"
    for path in ("icons.svg#search", "forecourt.webmanifest"):
        assert far(path) == assets(path) and far(path).startswith("/static/")


@pytest.mark.parametrize(
    "path",
    ["/static/nope.css", "/static/../render.py", "/static/000000000000/../assets.py", "/static/xyz/tokens.css", "", "/static/"],
)
def test_what_is_not_there_is_none(assets: Assets, path: str) -> None:
    assert assets.lookup(path) is None


def test_a_wrong_name_in_a_template_is_an_error_not_a_dead_link(assets: Assets) -> None:
    with pytest.raises(KeyError):
        assets("tokenz.css")
    assert assets("icons.svg#search").endswith("/icons.svg#search")


def test_text_is_compressed_once_and_fonts_are_not(assets: Assets) -> None:
    css, font = assets.lookup(assets("forecourt.css")), assets.lookup(assets("fonts/instrument-sans-latin.woff2"))
    assert css is not None
    assert css.gzipped is not None
    assert gzip.decompress(css.gzipped) == css.body
    assert assets.lookup(assets("forecourt.css")) is css
    assert font is not None
    assert font.gzipped is None


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(ValueError, match="no content type"):
        Assets((tmp_path,))


EVERY_PAGES = (
    "tokens.css",
    "forecourt.css",
    "vendor/htmx.min.js",
    "js/app.js",
    "js/patch.js",
    "js/inbox.js",
    "js/line.js",
    "js/socket.js",
)
GUESTS = ("js/countdown.js", "js/grid.js", "js/live.js", "js/map.js")
PERSONS = ("console.css", "js/chat-badge.js", "js/countdown.js", "js/live.js", "js/push.js")
CONSOLES = ("console.css", "js/daysheet.js", "js/grid.js", "js/live.js")


def belongs(path: str, module: str) -> bool:
    return path == f"{module}.css" or path.startswith(f"js/{module}-")


def kinds_of_pages(assets: Assets) -> dict[str, set[str]]:
    """Styles, scripts and fonts by the kind of page that loads them, those of both scripts: more than any page of it asks for.

    A module's own pages load `<module>.css` and `js/<module>-….js` beside what the shell has; they are held to the budget with
    the one font that every reader needs.
    """
    ours = [path for path in assets.paths() if path.endswith((".css", ".js"))]
    fonts = {path for path in assets.paths() if path.endswith(".woff2")}
    modules = {path.removesuffix(".css") for path in ours if "/" not in path} - {"tokens", "forecourt", "console"}
    every = {*EVERY_PAGES, *fonts}
    return {
        "guests'": {*every, *GUESTS},
        "a signed-in person's": {*every, *PERSONS},
        "the console's": {*every, *CONSOLES},
        **{m: {*every - {"fonts/vazirmatn-arabic.woff2"}, "console.css", *(p for p in ours if belongs(p, m))} for m in modules},
    }


def test_styles_scripts_and_fonts_of_a_page_stay_under_150_kb_on_the_wire(assets: Assets) -> None:
    kinds = kinds_of_pages(assets)
    for kind, files in kinds.items():
        total = sum(wire_bytes(assets, path) for path in files)
        assert len(files) >= 7, "or the sum proves nothing"
        assert total < BUDGET_BYTES, f"{kind}: {total} bytes"
    counted = set[str]().union(*kinds.values())
    assert {path for path in assets.paths() if path.endswith((".css", ".js", ".woff2"))} == counted, "no file escapes the count"


def test_a_first_visit_in_latin_script_stays_under_120_kb(assets: Assets) -> None:
    first = ["tokens.css", "forecourt.css", "js/app.js", "js/patch.js", "vendor/htmx.min.js", "icons.svg", "icon.svg"]
    total = sum(wire_bytes(assets, p) for p in [*first, "fonts/instrument-sans-latin.woff2"])
    assert total < FIRST_LOAD_BYTES, f"{total} bytes"


def test_every_vendored_thing_has_its_licence_beside_it(assets: Assets) -> None:
    assert {"vendor/htmx-LICENSE.txt", "fonts/instrument-sans-OFL.txt", "fonts/vazirmatn-OFL.txt"} <= set(assets.paths())


def test_comments_on_lines_of_their_own_stay_at_home_and_licences_travel(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    words = "// why\n/** what\n * more */\nexport const a = 'http://x'; // beside\n"
    (tmp_path / "a.js").write_text(words)
    (tmp_path / "vendor" / "b.js").write_text(words)
    (tmp_path / "c.css").write_text("/* why */\na { b: c } /* beside */\n")
    assets = Assets((tmp_path,))
    sent = {path: asset.body.decode() for path in assets.paths() if (asset := assets.lookup(path)) is not None}
    assert sent == {
        "a.js": "export const a = 'http://x'; // beside\n",
        "vendor/b.js": words,
        "c.css": "a { b: c } /* beside */\n",
    }
