"""What belongs to no module: health, metrics, the document of the API, static files, and the design system's gallery."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Query
from forecourt.kernel.errors import NotFound, Problem, Unavailable
from forecourt.kernel.events import asyncapi
from forecourt.kernel.http.openapi import document, portable
from forecourt.kernel.http.operation import PUBLIC, Api, Html, Raw, Reply, Request, Visit, file, get, page
from forecourt.kernel.http.reference import Chapter, chapters
from forecourt.kernel.metrics import CONTENT_TYPE
from forecourt.kernel.web.gallery import gallery
from forecourt.layout import module_names
from forecourt.realtime.document import with_socket
from forecourt.status import CHECK_TIMEOUT_S, DATABASE, KEPT_S, VALKEY, Dependency, HouseStatus, Lookout, Readiness, took_ms

if TYPE_CHECKING:
    from forecourt.app import House

VERSION = "0.1.0"

_ALIVE = Query(int, "select 1")


class Health(msgspec.Struct, frozen=True):
    status: str


class Documents(NamedTuple):
    """The API as programs and as people read it."""

    openapi: bytes
    chapters: list[Chapter]


class SystemApi(Api):
    tag = "System"

    def __init__(self, house: House) -> None:
        self._house = house
        self._documents: Documents | None = None
        self._reading = asyncio.Lock()
        modules = [part.name for part in house.parts]
        self._lookout = Lookout(modules, house.settings.topology.peers, self._readiness, house.peers, house.clock)

    async def _whole(self) -> Documents:
        """The documents of the whole house, made when somebody asks.

        A process that serves a part of it reads the declarations of the rest then.
        """
        async with self._reading:
            if self._documents is None:
                self._documents = await asyncio.to_thread(self._read)
        return self._documents

    def _read(self) -> Documents:
        from forecourt import survey

        settings = self._house.settings
        whole = {part.name for part in self._house.parts} == set(module_names())
        operations = self._house.operations if whole else survey.operations(production=settings.production)
        doc = document(operations, version=VERSION, server=settings.http.public_url)
        return Documents(msgspec.json.encode(doc), chapters(doc))

    @get("/livez", access=PUBLIC)
    async def alive(self) -> Health:
        """The process runs."""
        return Health("ok")

    @get("/readyz", access=PUBLIC)
    async def ready(self) -> Reply[Readiness]:
        """The process and what it needs work; 503 when something does not, or when the process is about to end."""
        found = await self._readiness()
        if found.status == "ready":
            return Reply(found)
        again = Unavailable()
        return Reply(found, again.status, headers=again.headers)

    @get("/api/status", access=PUBLIC)
    async def status(self) -> Reply[HouseStatus]:
        """How every service is, and what all of them need.

        Always 200: `status` says it. In a house of several processes each of them is asked; the answer is up to two seconds old.
        """
        return Reply(await self._lookout.look(), headers={"Cache-Control": f"public, max-age={KEPT_S:.0f}"})

    async def _readiness(self) -> Readiness:
        found = await asyncio.gather(self._check(DATABASE, self._database()), self._check(VALKEY, self._valkey()))
        if self._house.draining:
            return Readiness("draining", list(found))
        # Valkey may vanish at any moment: slower, but ready.
        ok = all(d.ok for d in found if d.name != VALKEY)
        return Readiness("ready" if ok else "not ready", list(found))

    async def _check(self, name: str, probe: object) -> Dependency:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await probe  # type: ignore[misc]
        except (OSError, TimeoutError, ValkeyError, Problem) as e:
            return Dependency(name, False, took_ms(began), type(e).__name__)
        return Dependency(name, True, took_ms(began))

    async def _database(self) -> None:
        async with self._house.database.module("kernel").read(service_context("readyz")) as tx:
            await tx.one(_ALIVE)

    async def _valkey(self) -> None:
        async with Valkey.from_url(self._house.at.valkey_url) as client:
            await client.ping()

    @get("/metrics", access=PUBLIC, content_type="text/plain")
    async def metrics(self) -> Raw:
        """Prometheus metrics of this process, and, where background work is done, of the house."""
        await self._house.figures.look()
        return Raw(self._house.metrics.render(), CONTENT_TYPE)

    @get("/openapi.json", access=PUBLIC)
    async def openapi(self) -> Raw:
        """This document."""
        return Raw((await self._whole()).openapi, "application/json", headers={"Cache-Control": "max-age=60"})

    @get("/asyncapi.json", access=PUBLIC)
    async def asyncapi(self) -> Raw:
        """The events of the house and the frames of its socket, as an AsyncAPI document."""
        from forecourt.wiring import topics

        await self._whole()  # events are known once their module has been read
        doc = with_socket(asyncapi(VERSION), topics(self._house), self._house.settings.http.public_url)
        return Raw(msgspec.json.encode(portable(doc)), "application/json", headers={"Cache-Control": "max-age=60"})

    @file("/static/{tree}/{path}")
    async def static(self, request: Request, tree: str, path: str) -> Raw:
        """A file of the design system."""
        return self._static(request, f"/static/{tree}/{path}")

    @file("/static/{tree}/{folder}/{path}")
    async def static_below(self, request: Request, tree: str, folder: str, path: str) -> Raw:
        """A file in a folder of it."""
        return self._static(request, f"/static/{tree}/{folder}/{path}")

    def _static(self, request: Request, path: str) -> Raw:
        asset = self._house.assets.lookup(path)
        if asset is None:
            raise NotFound
        headers = {"Cache-Control": asset.cache_control, "ETag": asset.etag, "Vary": "accept-encoding"}
        if request.header("origin") not in self._house.settings.http.cors_origins:
            # Scripts, fonts and masks of another address are taken only when it lets everybody read them. Said to all, for a
            # cache between keeps the answer of whoever came first. To the house's own origins the front door says it.
            headers["Access-Control-Allow-Origin"] = "*"
        if asset.gzipped and "gzip" in request.header("accept-encoding"):
            return Raw(asset.gzipped, asset.content_type, headers=headers | {"Content-Encoding": "gzip"})
        return Raw(asset.body, asset.content_type, headers=headers)

    @file("/favicon.ico")
    async def favicon(self, request: Request) -> Raw:
        """The ball."""
        return self._static(request, "icon.svg")

    @page("/docs")
    async def docs(self, visit: Visit) -> Html:
        """The API for readers: conventions and chapters."""
        return self._reference(visit, await self._whole(), None)

    @page("/docs/{slug}")
    async def docs_chapter(self, visit: Visit, slug: str) -> Html:
        """One chapter of the API."""
        known = await self._whole()
        found = next((c for c in known.chapters if c.slug == slug), None)
        if found is None:
            raise NotFound
        return self._reference(visit, known, found)

    def _reference(self, visit: Visit, known: Documents, chapter: Chapter | None) -> Html:
        server = self._house.settings.http.public_url
        return self._house.surroundings.page("docs/api.html", visit, chapters=known.chapters, chapter=chapter, server=server)

    @page("/dev/ui")
    async def gallery(self, visit: Visit) -> Html:
        """Every part of the design system. Not in production."""
        if self._house.settings.production:
            raise NotFound
        return self._house.surroundings.page("dev/ui.html", visit, values=gallery(self._house.clock.now()))
