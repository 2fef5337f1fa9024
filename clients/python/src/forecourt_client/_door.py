"""The two doors through which calls leave: one waits, one is awaited. All that they decide is in `_wire` and `_grant`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import httpx

from forecourt_client import _grant
from forecourt_client._grant import Grant, Keeper
from forecourt_client._wire import Attempts, Call, Page, Policy, next_page, page_size, read
from forecourt_client.errors import Unauthenticated

T = TypeVar("T")


class Door:
    """Sends calls, one after another or from many threads."""

    def __init__(self, http: httpx.Client, keeper: Keeper, policy: Policy, renewing: threading.Lock) -> None:
        self.http = http
        self.keeper = keeper
        self.policy = policy
        self.renewing = renewing

    def with_policy(self, policy: Policy) -> Door:
        """The same connections and the same credentials."""
        return Door(self.http, self.keeper, policy, self.renewing)

    def call(self, call: Call[T]) -> T:
        return read(call.answer, self._answer(call))

    def unsigned(self, call: Call[T]) -> T:
        """A call that brings its own proof, such as a password."""
        with Attempts(call, self.policy) as attempts:
            return read(call.answer, self._tries(attempts, {}))

    def _answer(self, call: Call[T]) -> httpx.Response:
        grant = self.current()
        with Attempts(call, self.policy) as attempts:
            response = self._tries(attempts, self.keeper.headers(grant))
            if response.status_code == 401 and grant is not None and call.rewindable:
                # The house may have ended the token early, or changed its keys. An earlier try may have been heard all the same.
                fresh = self.current(refused=grant)
                if fresh is not grant:
                    return self._tries(attempts, self.keeper.headers(fresh))
            return response

    def _tries(self, attempts: Attempts, signed: dict[str, str]) -> httpx.Response:
        while True:
            request = attempts.request(self.http, signed)
            try:
                response = self.http.send(request)
            except httpx.TransportError as e:
                pause: float | None = attempts.lost(e)
            else:
                pause = attempts.judge(response)
                if pause is None:
                    return response
            time.sleep(pause or 0)

    def current(self, refused: Grant | None = None) -> Grant | None:
        """The grant to sign with. Of many callers that need a new one, one fetches it."""
        if not self.keeper.wants_renewal(refused):
            return self.keeper.grant
        with self.renewing:
            if self.keeper.wants_renewal(refused):
                self._renew(self.keeper.needed())
            return self.keeper.grant

    def _renew(self, grant: Grant) -> None:
        try:
            self.keeper.adopt(self.unsigned(_grant.refresh(grant)).grant())
        except Unauthenticated:
            self.keeper.adopt(None)  # The session is over; whoever keeps the grant hears of it.
            raise

    def pages(self, call: Call[Page[T]], limit: int | None, size: int) -> Iterator[T]:
        """Every entry, or the first `limit`, page by page as they are taken."""
        given, cursor = 0, None
        while limit is None or given < limit:
            page = self.call(call.asking(cursor=cursor, limit=page_size(limit, size, given)))
            yield from page.items
            given += len(page.items)
            cursor = next_page(page, cursor)
            if cursor is None:
                return


class AsyncDoor:
    """Sends calls from any number of tasks of one event loop."""

    def __init__(self, http: httpx.AsyncClient, keeper: Keeper, policy: Policy, renewals: Renewals) -> None:
        self.http = http
        self.keeper = keeper
        self.policy = policy
        self.renewals = renewals

    def with_policy(self, policy: Policy) -> AsyncDoor:
        """The same connections and the same credentials."""
        return AsyncDoor(self.http, self.keeper, policy, self.renewals)

    async def call(self, call: Call[T]) -> T:
        return read(call.answer, await self._answer(call))

    async def unsigned(self, call: Call[T]) -> T:
        """A call that brings its own proof, such as a password."""
        with Attempts(call, self.policy) as attempts:
            return read(call.answer, await self._tries(attempts, {}))

    async def _answer(self, call: Call[T]) -> httpx.Response:
        grant = await self.current()
        with Attempts(call, self.policy) as attempts:
            response = await self._tries(attempts, self.keeper.headers(grant))
            if response.status_code == 401 and grant is not None and call.rewindable:
                fresh = await self.current(refused=grant)
                if fresh is not grant:
                    return await self._tries(attempts, self.keeper.headers(fresh))
            return response

    async def _tries(self, attempts: Attempts, signed: dict[str, str]) -> httpx.Response:
        while True:
            request = attempts.request(self.http, signed)
            try:
                response = await self.http.send(request)
            except httpx.TransportError as e:
                pause: float | None = attempts.lost(e)
            else:
                pause = attempts.judge(response)
                if pause is None:
                    return response
            await asyncio.sleep(pause or 0)

    async def current(self, refused: Grant | None = None) -> Grant | None:
        """The grant to sign with. Of many callers that need a new one, one fetches it."""
        if self.keeper.wants_renewal(refused):
            await self.renewals.join(self)
        return self.keeper.grant

    async def renew(self) -> None:
        try:
            self.keeper.adopt((await self.unsigned(_grant.refresh(self.keeper.needed()))).grant())
        except Unauthenticated:
            self.keeper.adopt(None)
            raise

    async def pages(self, call: Call[Page[T]], limit: int | None, size: int) -> AsyncIterator[T]:
        """Every entry, or the first `limit`, page by page as they are taken."""
        given, cursor = 0, None
        while limit is None or given < limit:
            page = await self.call(call.asking(cursor=cursor, limit=page_size(limit, size, given)))
            for item in page.items:
                yield item
            given += len(page.items)
            cursor = next_page(page, cursor)
            if cursor is None:
                return


class Renewals:
    """The one renewal that is under way, shared by all that wait for it."""

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    async def join(self, door: AsyncDoor) -> None:
        """Waits for the renewal, and begins it when nobody has.

        A caller that is cancelled leaves it running: the refresh token is spent when the house has seen it, and an answer that
        nobody takes would be the end of the session.
        """
        if self._running is None:
            self._running = asyncio.create_task(door.renew())
            self._running.add_done_callback(self._over)
        await asyncio.shield(self._running)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # Whoever waited has it; without anybody it shall not be complained about.
