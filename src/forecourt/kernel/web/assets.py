"""Static files under one content hash: `/static/<hash>/<path>`.

The hash covers the whole tree, so that `url(fonts/…)` inside a stylesheet stays relative and still changes when any
file does. Everything is held in memory (about half a megabyte); the compressed form is made once, when first asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

PREFIX = "/static/"
AT_HOME = frozenset({"icons.svg", "forecourt.webmanifest"})
"""Browsers take parts of a drawing, and what an app installs as, from the page's own address only."""
CACHE_FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
MAX_FILE_BYTES = 2 * 1024 * 1024
"""No single asset is larger; a bigger one is a mistake (a photograph belongs to media storage)."""

OWN = Path(__file__).parent / "static"

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webp": "image/webp",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
COMPRESSIBLE = frozenset({".css", ".js", ".svg", ".json", ".webmanifest", ".txt"})

# Comments that have lines to themselves, of our own files: a twelfth of what travels, and nobody reads them there.
_LINES = re.compile(rb"^[ \t]*//.*\n", re.MULTILINE)
_BLOCKS = re.compile(rb"^[ \t]*/\*.*?\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
VENDORED = "vendor/"


class Asset(msgspec.Struct, frozen=True):
    """One file as it leaves the house. `gzipped` is None when compressing does not pay (fonts, pictures)."""

    path: str
    body: bytes
    gzipped: bytes | None
    content_type: str
    etag: str
    """Quoted, ready for the header; the same for both encodings because the URL already names the content."""
    cache_control: str


class Assets:
    """The static trees in `directories`; a file of an earlier directory hides one of a later directory.

    `address` is where else they can be had (`https://cdn.example.org`), for pages to point to; empty, it is the house itself.
    Raises ValueError for a file of an unknown kind or beyond MAX_FILE_BYTES, FileNotFoundError for a missing directory.
    """

    def __init__(self, directories: Sequence[Path] = (OWN,), address: str = "") -> None:
        self._address = address
        self._bodies: dict[str, bytes] = {}
        for directory in directories:
            for path, body in _files(directory):
                self._bodies.setdefault(path, body)
        self.hash = _tree_hash(self._bodies)
        self._ready: dict[str, Asset] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str) -> str:
        """The URL of `path`. Raises KeyError when there is no such file, so a typo fails in the first test."""
        name, mark, fragment = path.partition("#")
        if name not in self._bodies:
            raise KeyError(f"no static file {name!r}")
        return f"{'' if name in AT_HOME else self._address}{PREFIX}{self.hash}/{name}{mark}{fragment}"

    def paths(self) -> list[str]:
        """Every path, sorted."""
        return sorted(self._bodies)

    def lookup(self, path: str) -> Asset | None:
        """The asset at `path`, with or without `/static/` and the hash before it; None when there is none.

        A URL with another hash, or with none, is answered with today's file but must be revalidated: a page that was open
        during a deployment keeps working, and no shared cache keeps new content under an old name.
        """
        tail = path.removeprefix(PREFIX)
        if tail in self._bodies:
            return msgspec.structs.replace(self._asset(tail), cache_control=ASK_AGAIN)
        given, _, name = tail.partition("/")
        if name not in self._bodies or not _looks_like_hash(given):
            return None
        asset = self._asset(name)
        return asset if given == self.hash else msgspec.structs.replace(asset, cache_control=ASK_AGAIN)

    def _asset(self, path: str) -> Asset:
        ready = self._ready.get(path)
        if ready is not None:
            return ready
        with self._lock:
            return self._ready.setdefault(path, _prepare(path, self._bodies[path]))


def _files(directory: Path) -> list[tuple[str, bytes]]:
    if not directory.is_dir():
        raise FileNotFoundError(directory)
    found: list[tuple[str, bytes]] = []
    for file in sorted(directory.rglob("*")):
        if not file.is_file() or file.name.startswith("."):
            continue
        if file.suffix not in CONTENT_TYPES:
            raise ValueError(f"{file}: no content type is known for {file.suffix!r}")
        body = file.read_bytes()
        if len(body) > MAX_FILE_BYTES:
            raise ValueError(f"{file}: {len(body)} bytes, the limit is {MAX_FILE_BYTES}")
        found.append((file.relative_to(directory).as_posix(), body))
    return found


def _tree_hash(bodies: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path in sorted(bodies):
        digest.update(f"{path}\0{len(bodies[path])}\0".encode())
        digest.update(bodies[path])
    return digest.hexdigest()[:12]


def _looks_like_hash(text: str) -> bool:
    return len(text) == 12 and all(c in "0123456789abcdef" for c in text)


def _without_comments(path: str, suffix: str, body: bytes) -> bytes:
    if path.startswith(VENDORED) or suffix not in (".js", ".css"):
        return body
    if suffix == ".js":
        body = _LINES.sub(b"", body)
    return _BLOCKS.sub(b"", body)


def _prepare(path: str, body: bytes) -> Asset:
    suffix = Path(path).suffix
    body = _without_comments(path, suffix, body)
    packed = gzip.compress(body, 9, mtime=0) if suffix in COMPRESSIBLE else None
    return Asset(
        path=path,
        body=body,
        gzipped=packed if packed is not None and len(packed) < len(body) else None,
        content_type=CONTENT_TYPES[suffix],
        etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        cache_control=CACHE_FOREVER,
    )
