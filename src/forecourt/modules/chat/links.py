"""What stands behind a link, in a few words: its title, a description, the site. Read from the page's own `og:` tags.

The page belongs to a stranger. It is asked as little as it takes (`kernel/egress.py` judges every address), read no further than
`MAX_BYTES`, and what it says is text: no picture, no markup, nothing that a reader's browser would fetch. The house asks over
https alone. A link that looks as if it held a secret is never asked for (`carries_secret`): whoever opens some links once closes
them for others. Hosts alone are logged.
"""

from __future__ import annotations

import asyncio
import html
import re
import time
import unicodedata
from collections import OrderedDict, deque
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import structlog

from forecourt.kernel.egress import Egress, Fetched, NotTaken, Refused
from forecourt.kernel.memory import remember
from forecourt.modules.chat.contract import MAX_PREVIEWS, LinkPreview

log = structlog.get_logger("forecourt.chat.links")

MAX_BYTES = 256 * 1024
HEAD_CHARS = 96 * 1024
"""Tags are looked for so far into a page."""
REDIRECTS = 3
TITLE, ABOUT, SITE = 200, 300, 80
"""Characters."""
TYPES = frozenset({"text/html", "application/xhtml+xml"})
AGENT = {"User-Agent": "Forecourt link preview", "Accept": "text/html,application/xhtml+xml;q=0.9", "Accept-Language": "en"}
KNOWN, KNOWN_S = 1_000, 600.0
"""Pages remembered, and for how long: a link that is passed on is asked for once."""
AT_ONCE = 8
HOST_PER_MIN = 20
"""So that nobody makes us a nuisance to a site."""
LONGEST_URL = 1_000

_LINK = re.compile(r'<a href="(https?://[^"]{1,2000})"')
_META = re.compile(r"""<meta\s((?:[^>"']|"[^"]{0,2000}+"|'[^']{0,2000}+'){1,3000}+)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z:-]{1,40}+)\s{0,9}+=\s{0,9}+(?:"([^"]*)"|'([^']*)'|([^\s"'>]{1,2000}+))""")
_TITLE = re.compile(r"<title(?:\s[^>]{0,300}+)?>([^<]{1,2000}+)", re.IGNORECASE)
_SAYS_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset=["']?([A-Za-z0-9._-]{1,40})""", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"(?i)token|key|secret|passw|auth|sig|session|otp|code|hash|invite|ticket|access|jwt|nonce|state|hmac|magic"
)
_LONG = re.compile(r"[A-Za-z0-9_~+=-]{24,}")


def carries_secret(url: str) -> bool:
    """Whether the address looks as if whoever knows it may do something: a password, a token by name, a long random word."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return True
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(_SECRET_NAME.search(name) for name, _ in query):
        return True
    return any(_random(word) for text in (parts.path, *(value for _, value in query)) for word in _LONG.findall(text))


def _random(word: str) -> bool:
    """Long, with digits and letters through each other: no words with hyphens between them."""
    pieces = [p for p in re.split(r"[-_]", word) if p]
    longest = max(pieces, key=len, default="")
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(word))
    return len(longest) >= 20 or (changes >= 4 and len(word) >= 24)


def worth_asking(rendered: str) -> list[str]:
    """The links of a rendered message that may be asked for, in order, each once."""
    found: list[str] = []
    for match in _LINK.finditer(rendered):
        url = html.unescape(match[1]).partition("#")[0]
        try:
            wanted = len(url) <= LONGEST_URL and url.isascii() and not carries_secret(url)
        except ValueError:
            continue
        if wanted and url not in found:
            found.append(url)
    return found[:MAX_PREVIEWS]


def described(page: Fetched, asked: str) -> LinkPreview | None:
    """What a page says of itself. None when it says nothing, or is no page."""
    if page.status != 200 or not page.body:
        return None
    text = _decoded(page)
    tags: dict[str, str] = {}
    for meta in _META.finditer(text):
        given = {a[1].lower(): a[2] or a[3] or a[4] or "" for a in _ATTRIBUTE.finditer(meta[1])}
        tags.setdefault((given.get("property") or given.get("name") or "").lower(), given.get("content", ""))
    named = _TITLE.search(text)
    title = _plain(tags.get("og:title") or tags.get("twitter:title") or (named[1] if named else ""), TITLE)
    if not title:
        return None
    about = _plain(tags.get("og:description") or tags.get("description") or "", ABOUT)
    # The host is what the reader can trust; the site's own name for itself stands beside it at most.
    host = (urlsplit(page.url).hostname or "").removeprefix("www.")
    site = _plain(tags.get("og:site_name", ""), SITE)
    return LinkPreview(asked, title, about, f"{site} · {host}" if site and site.lower() != host else host)


def _decoded(page: Fetched) -> str:
    says = _SAYS_CHARSET.search(page.body[:2048])
    charset = page.charset or (says[1].decode() if says else "utf-8")
    try:
        return page.body.decode(charset, "replace")[:HEAD_CHARS]
    except LookupError:
        return page.body.decode("utf-8", "replace")[:HEAD_CHARS]


def _plain(text: str, longest: int) -> str:
    """One line of visible characters: nothing that turns the direction of what stands beside it."""
    seen = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in html.unescape(text)[: longest * 4])
    line = " ".join("".join(c for c in seen if unicodedata.category(c) not in ("Cf", "Co", "Cs", "Cn")).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


class Links:
    """Asks for pages. One of a process; remembers what it found for a while."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._known: OrderedDict[str, tuple[float, LinkPreview | None]] = OrderedDict()
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        await self._egress.close()

    async def look(self, urls: list[str]) -> list[LinkPreview]:
        """What stands behind these, as far as something does."""
        found = await asyncio.gather(*(self._one(url) for url in urls[:MAX_PREVIEWS]))
        return [preview for preview in found if preview is not None]

    async def _one(self, url: str) -> LinkPreview | None:
        now = time.monotonic()
        known = self._known.get(url)
        if known is not None and known[0] > now:
            return known[1]
        host = urlsplit(url).hostname or ""
        if not self._may_ask(host, now):
            return None
        async with self._turns:
            preview = await self._ask(url, host)
        remember(self._known, url, (now + KNOWN_S, preview), KNOWN)
        return preview

    async def _ask(self, url: str, host: str) -> LinkPreview | None:
        try:
            page = await self._egress.get(url, AGENT, types=TYPES, max_bytes=MAX_BYTES, redirects=REDIRECTS)
        except (Refused, NotTaken) as e:
            log.info("link_not_read", host=host, why=str(e))
            return None
        return described(page, url)

    def _may_ask(self, host: str, now: float) -> bool:
        times = self._asked.setdefault(host, deque(maxlen=HOST_PER_MIN))
        self._asked.move_to_end(host)
        while len(self._asked) > KNOWN:
            self._asked.popitem(last=False)
        if len(times) == HOST_PER_MIN and times[0] > now - 60:
            return False
        times.append(now)
        return True
