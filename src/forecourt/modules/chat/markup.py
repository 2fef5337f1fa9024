"""What people type, as HTML: a subset of Markdown, mentions, and nothing else.

Emphasis, strike-through, code, quotes, lists, links. No pictures, headings, tables or HTML. The renderer escapes, and what it
gives is sanitised once more by a library whose one job that is, so that a fault in the first is not one in the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from forecourt.modules.chat.contract import MAX_MENTIONS
from forecourt.modules.chat.rules import HANDLE, NAMED

SCHEMES = {"http", "https", "mailto"}
TAGS = {"p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "span"}
ATTRIBUTES = {"a": {"href"}, "span": {"class", "data-account", "dir"}, "ol": {"start"}}
NESTING = 12


class Rendered(NamedTuple):
    html: str
    mentioned: list[UUID]
    """Whom the text names, in order, each once. A name in code is none."""


class _Env(dict[str, Any]):
    """What travels through the parser: who can be mentioned, and who was."""


def _mention(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "@" or (state.pos and (state.src[state.pos - 1].isalnum() or state.src[state.pos - 1] in "@_/.")):
        return False
    env: Mapping[str, Any] = state.env
    match = NAMED.match(state.src, state.pos)
    account_id = UUID(match[2]) if match else None
    if match is None:
        match = HANDLE.match(state.src, state.pos)
        account_id = env["handles"].get(match[1].lower()) if match else None
    name = env["names"].get(account_id)
    if match is None or account_id is None or name is None:
        return False
    if account_id not in env["mentioned"] and len(env["mentioned"]) >= MAX_MENTIONS:
        return False
    if not silent:
        token = state.push("mention", "", 0)
        token.content, token.meta = name, {"account_id": str(account_id)}
        env["mentioned"].setdefault(account_id)
    state.pos = match.end()
    return True


def _draw_mention(_: RendererHTML, tokens: list[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    return f'<span class="mention" data-account="{token.meta["account_id"]}" dir="auto">@{escapeHtml(token.content)}</span>'


def _is_elsewhere(url: str) -> bool:
    """Whether a link says where it leads: a scheme of ours and all that follows, nothing relative."""
    return url.lower().startswith(("http://", "https://", "mailto:"))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"linkify": True, "breaks": True, "html": False, "maxNesting": NESTING})
    parser.enable(
        ["linkify", "newline", "escape", "backticks", "strikethrough", "emphasis", "link", "autolink", "balance_pairs",
         "fragments_join", "fence", "blockquote", "list"]
    )  # fmt: skip
    if parser.linkify is not None:  # it is: the option above asks for it
        parser.linkify.set({"fuzzy_email": False, "fuzzy_ip": False, "fuzzy_link": False})
    parser.validateLink = _is_elsewhere
    parser.inline.ruler.before("emphasis", "mention", _mention)
    parser.inline.add_terminator_char("@")
    parser.add_render_rule("mention", _draw_mention)
    return parser


_PARSER = _parser()


def render(text: str, names: Mapping[UUID, str] | None = None, handles: Mapping[str, UUID] | None = None) -> Rendered:
    """`names` are of those who can be mentioned, by id; `handles` say which lower-case handle is whose."""
    env = _Env(names=names or {}, handles=handles or {}, mentioned={})
    html = _PARSER.render(text, env)
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow ugc",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes=None,
        attribute_filter=_keep,
    )
    return Rendered(clean.strip(), list(env["mentioned"]))


def _keep(tag: str, attribute: str, value: str) -> str | None:
    if tag == "span" and attribute == "class":
        return value if value == "mention" else None
    return value
