"""What people type becomes the HTML of a subset of Markdown, and nothing that runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecourt.kernel.errors import Invalid
from forecourt.modules.chat import markup, rules
from forecourt.modules.chat.contract import MAX_MENTIONS, MAX_TEXT_BYTES

ADA, BEN = UUID(int=1), UUID(int=2)
NAMES, HANDLES = {ADA: "Ada <Lind>", BEN: "Ben"}, {"ada": ADA, "ben": BEN}
ALLOWED = {tag: {"class", "data-account", "dir"} if tag == "span" else set[str]() for tag in markup.TAGS}
ALLOWED |= {"a": {"href", "target", "rel"}, "ol": {"start"}}


class Judge(HTMLParser):
    """Notes every tag and attribute that a message may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name not in ALLOWED.get(tag, set()):
                self.faults.append(f"{tag} {name}")
            if name == "href" and not re.match(r"(https?|mailto):", value or "", re.IGNORECASE):
                self.faults.append(f"href {value}")
        if tag not in ALLOWED:
            self.faults.append(tag)


def faults(html: str) -> list[str]:
    judge = Judge()
    judge.feed(html)
    return judge.faults


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**now** _or_ ~~never~~", "<p><strong>now</strong> <em>or</em> <s>never</s></p>"),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("`<b>`", "<p><code>&lt;b&gt;</code></p>"),
        ("# no heading", "<p># no heading</p>"),
        ("3 < 4 & 5", "<p>3 &lt; 4 &amp; 5</p>"),
    ],
)
def test_the_subset_is_drawn(text: str, html: str) -> None:
    assert markup.render(text).html == html


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](https://example.org/pixel.gif)",
    '[x](https://example.org" onclick="alert(1))',
    "<a href='javascript:alert(1)'>x</a>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    '<https://example.org/?q="><script>>',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x](vbscript:msgbox(1))",
    "`</code><script>alert(1)</script>`",
    "```\n</pre><script>alert(1)</script>\n```",
    "@[<img src=x onerror=alert(1)>](00000000-0000-0000-0000-000000000001)",
    "[<img src=x onerror=1>](https://example.org)",
    "<style>*{display:none}</style>",
    "[x](//example.org)",
    "[x](\x01javascript:alert(1))",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_runs_or_tracks_gets_through(attack: str) -> None:
    assert faults(markup.render(attack, NAMES, HANDLES).html) == []


def test_the_judge_of_these_tests_would_see_it() -> None:
    assert faults("<script>x</script>") == ["script"]
    assert faults('<a href="javascript:x" onclick="y">') == ["href javascript:x", "a onclick"]
    assert faults('<img src="x">') == ["img src", "img"]


PIECES = [*"<>[]()!@#*_`~\"'&;:/\\ \nabjsx=-1.", "javascript:", "https://", "<img ", "onerror="]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_whatever_is_typed_is_harmless(text: str) -> None:
    assert faults(markup.render(text, NAMES, HANDLES).html) == []


def test_names_are_marked_once_each_and_not_in_code_or_addresses() -> None:
    drawn = markup.render(f"@ada and @[anyone]({BEN}) and @Ada, not `@ben`, not x@ben.org, not @nobody", NAMES, HANDLES)
    assert drawn.mentioned == [ADA, BEN]
    assert drawn.html.count('class="mention"') == 3
    assert "@Ada &lt;Lind&gt;" in drawn.html
    assert "@nobody" in drawn.html


def test_only_so_many_are_named() -> None:
    ids = [UUID(int=n) for n in range(1, 80)]
    text = " ".join(f"@[p]({i})" for i in ids)
    assert len(markup.render(text, dict.fromkeys(ids, "p")).mentioned) == MAX_MENTIONS


@pytest.mark.parametrize("text", ["", "   ", "\u200b", "\n\u2060\n"])
def test_nothing_to_see_is_no_message(text: str) -> None:
    with pytest.raises(Invalid):
        rules.checked_text(text, 0)
    assert rules.checked_text(text, 1) == text.strip()


def test_the_limit_counts_bytes() -> None:
    assert rules.checked_text("é" * (MAX_TEXT_BYTES // 2), 0)
    with pytest.raises(Invalid):
        rules.checked_text("é" * (MAX_TEXT_BYTES // 2) + "e", 0)
    with pytest.raises(Invalid):
        rules.checked_text("a\x00b", 0)


@pytest.mark.parametrize("emoji", ["👍", "❤️", "👩‍👩‍👧", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇵🇰", "3️⃣", "👍🏽"])
def test_an_emoji_is_a_reaction(emoji: str) -> None:
    assert rules.checked_emoji(emoji) == emoji


@pytest.mark.parametrize("word", ["", "a", "ok", "<b>", "3", "👍" * 17, "\u200d", "👍 ", "\x00"])
def test_a_word_is_no_reaction(word: str) -> None:
    with pytest.raises(Invalid):
        rules.checked_emoji(word)


def test_a_preview_is_plain_and_short() -> None:
    assert rules.excerpt(f"**Hi** @[Ada]({ADA}), see [this](https://x.org)\n> `six`") == "Hi @Ada, see this six"
    assert rules.excerpt("x" * 300).endswith("…")
    assert len(rules.excerpt("x" * 300)) == rules.EXCERPT
