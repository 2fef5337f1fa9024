"""Where a replica answers reads, the requests that the primary must answer all the same: those of a page that was just told to
look again, and the calls of other processes that are made for one."""

from __future__ import annotations

from collections.abc import Mapping

from forecourt.kernel.http.peers import App, Receive, Scope, Send
from forecourt.kernel.replica import newest, wants_newest

MARK = "x-forecourt-newest"
_MARKS = frozenset({b"hx-request", MARK.encode()})
_MARKED: Mapping[str, str] = {MARK: "1"}
_UNMARKED: Mapping[str, str] = {}


class Newest:
    """`app`, with reads of marked requests sent to the primary. A mark gives no right to anything."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(name in _MARKS for name, _ in scope["headers"]):
            with newest():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def marks() -> Mapping[str, str]:
    """What calls to other processes bear: they look where we would."""
    return _MARKED if wants_newest() else _UNMARKED
