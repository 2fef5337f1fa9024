"""The client: `Forecourt` waits for answers, `AsyncForecourt` is awaited. Both have the operations of the document, by group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import httpx

from forecourt_client import _async, _grant, _sync
from forecourt_client._door import AsyncDoor, Door, Renewals
from forecourt_client._grant import Grant, Keeper, address, unheard
from forecourt_client._parts import PART_BYTES, Parts
from forecourt_client._wire import File, Policy
from forecourt_client.errors import ConnectionLost, Problem
from forecourt_client.models import MediaCard
from forecourt_client.socket import Socket


class Forecourt(_sync.Operations):
    """A house, reached over HTTP. May be used by many threads.

        with Forecourt("https://book.example.org") as house:
            house.log_in("tom@example.org", "open-forecourt")
            for venue in house.venues.iter_search(sport="padel", limit=10):
                print(venue.name)

    `on_grant` hears of new tokens, and None when the session is over. Raises ForecourtError, mostly Problem, from every call.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        grant: Grant | None = None,
        on_grant: Callable[[Grant | None], None] = unheard,
        policy: Policy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._own = http is None
        http = http or httpx.Client(http2=False)
        http.base_url = address(url)
        keeper = Keeper(api_key, grant, on_grant)
        super().__init__(Door(http, keeper, policy or Policy(), threading.Lock()))

    def with_policy(self, policy: Policy) -> Forecourt:
        """The same house, connections and credentials with other patience. Closing it closes nothing."""
        other = object.__new__(Forecourt)
        other._own = False
        _sync.Operations.__init__(other, self._door.with_policy(policy))
        return other

    @property
    def grant(self) -> Grant | None:
        """The present session; None without one, or with an API key."""
        return self._door.keeper.grant

    def register(self, email: str, password: str, name: str) -> None:
        """Makes an account and signs in. Raises EmailTaken."""
        self._door.keeper.adopt(self._door.unsigned(_grant.register(email, password, name)).grant())

    def log_in(self, email: str, password: str) -> None:
        """Signs in; tokens are renewed from now on. Raises BadCredentials, LockedOut, AccountSuspended."""
        self._door.keeper.adopt(self._door.unsigned(_grant.log_in(email, password)).grant())

    def log_out(self) -> None:
        """Ends the session. Raises NotSignedIn without one."""
        self._door.unsigned(_grant.log_out(self._door.keeper.needed()))
        self._door.keeper.adopt(None)

    def send_in_parts(self, file: File, *, alt: str = "", part_bytes: int = PART_BYTES) -> MediaCard:
        """Sends a large file over a bad line: what arrived is not sent again. Raises what `media.begin` and `media.finish` do."""
        parts = Parts(file, part_bytes)
        try:
            upload = self.media.begin(parts.beginning(alt))
            offset = 0
            while offset < parts.size:
                call, following = parts.part(upload.id, offset)
                try:
                    self._door.call(call)
                except (ConnectionLost, Problem) as e:
                    parts.broke(e)
                    offset = self.media.progress(upload.id).received
                else:
                    parts.arrived()
                    offset = following
            return self.media.finish(upload.id)
        finally:
            parts.close()

    def close(self) -> None:
        """Closes the connections, unless they were given."""
        if self._own:
            self._door.http.close()

    def __enter__(self) -> Forecourt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncForecourt(_async.Operations):
    """A house, reached over HTTP and its socket, from one event loop.

        async with AsyncForecourt("https://book.example.org", grant=kept) as house:
            async for booking in house.booking.iter_mine():
                print(booking.local_start)

    As Forecourt, with `socket` besides.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        grant: Grant | None = None,
        on_grant: Callable[[Grant | None], None] = unheard,
        policy: Policy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._own = http is None
        http = http or httpx.AsyncClient(http2=False)
        http.base_url = address(url)
        keeper = Keeper(api_key, grant, on_grant)
        super().__init__(AsyncDoor(http, keeper, policy or Policy(), Renewals()))

    def with_policy(self, policy: Policy) -> AsyncForecourt:
        """The same house, connections and credentials with other patience. Closing it closes nothing."""
        other = object.__new__(AsyncForecourt)
        other._own = False
        _async.Operations.__init__(other, self._door.with_policy(policy))
        return other

    @property
    def grant(self) -> Grant | None:
        """The present session; None without one, or with an API key."""
        return self._door.keeper.grant

    async def register(self, email: str, password: str, name: str) -> None:
        """Makes an account and signs in. Raises EmailTaken."""
        self._door.keeper.adopt((await self._door.unsigned(_grant.register(email, password, name))).grant())

    async def log_in(self, email: str, password: str) -> None:
        """Signs in; tokens are renewed from now on. Raises BadCredentials, LockedOut, AccountSuspended."""
        self._door.keeper.adopt((await self._door.unsigned(_grant.log_in(email, password))).grant())

    async def log_out(self) -> None:
        """Ends the session. Raises NotSignedIn without one."""
        await self._door.unsigned(_grant.log_out(self._door.keeper.needed()))
        self._door.keeper.adopt(None)

    async def send_in_parts(self, file: File, *, alt: str = "", part_bytes: int = PART_BYTES) -> MediaCard:
        """Sends a large file over a bad line: what arrived is not sent again. Raises what `media.begin` and `media.finish` do."""
        parts = Parts(file, part_bytes)
        try:
            upload = await self.media.begin(parts.beginning(alt))
            offset = 0
            while offset < parts.size:
                call, following = parts.part(upload.id, offset)
                try:
                    await self._door.call(call)
                except (ConnectionLost, Problem) as e:
                    parts.broke(e)
                    offset = (await self.media.progress(upload.id)).received
                else:
                    parts.arrived()
                    offset = following
            return await self.media.finish(upload.id)
        finally:
            parts.close()

    def socket(self) -> Socket:
        """What happens, while it happens: `async with house.socket() as socket`."""
        url = str(self._door.http.base_url)
        return Socket(f"ws{url.removeprefix('http').rstrip('/')}/v1/socket", self._door.current)

    async def close(self) -> None:
        """Closes the connections, unless they were given."""
        if self._own:
            await self._door.http.aclose()

    async def __aenter__(self) -> AsyncForecourt:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
