"""The record as staff read it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from forecourt.kernel.http.operation import Api, Html, Redirect, Visit, action, page, staff
from forecourt.kernel.paging import Paged
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice, Link
from forecourt.modules.audit.contract import AuditActor, AuditEntry, ExportFormat
from forecourt.modules.audit.http import PROOFS, Action, ObjectRef, object_of
from forecourt.modules.audit.service import AuditService
from forecourt.modules.identity.contract import Identity
from forecourt.modules.venues.contract import Venues

READ = staff("audit.read")
SHOWN = 50
SUBJECTS = ("booking", "block", "venue", "resource", "organisation", "staff", "api_key", "payment", "refund", "credits")

WHO = {"person": "audit.person", "api_key": "audit.api_key"}
"""What those are called whose names are not known."""


class AuditPageQuery(Paged, kw_only=True, rename={"from_": "from"}):
    object: ObjectRef | None = None
    actor: UUID | None = None
    action: Action | None = None
    from_: date | None = None
    to: date | None = None


class Changed(msgspec.Struct, frozen=True):
    """A field before and after."""

    field: str
    before: str
    after: str


class Line(msgspec.Struct, frozen=True):
    """An entry in words; `kind` is what it happened to."""

    entry: AuditEntry
    what: str
    kind: str
    who: str
    actor_href: str
    object_href: str
    changes: list[Changed]
    details: str


class AuditPages(Api):
    tag = "Console"

    def __init__(self, service: AuditService, venues: Venues, identity: Identity, pages: Surroundings) -> None:
        self._service = service
        self._venues = venues
        self._identity = identity
        self._pages = pages

    @page("/orgs/{org_id}/audit", access=READ)
    async def entries(self, visit: Visit, org_id: UUID, query: AuditPageQuery) -> Html:
        """Who did what, newest first."""
        organisation = await self._venues.organisation(visit.ctx, org_id)
        tz = ZoneInfo(organisation.timezone)
        start = _midnight(query.from_, tz)
        end = _midnight(query.to + timedelta(days=1), tz) if query.to else None
        found = await self._service.entries(
            visit.ctx,
            about=object_of(query.object) if query.object else None,
            actor=query.actor,
            action=query.action or "",
            start=start,
            end=end,
            limit=SHOWN,
            cursor=query.cursor,
        )
        ids = list({e.actor.account_id for e in found.items if e.actor.account_id})
        names = {card.id: card.name for card in await self._identity.accounts(visit.ctx, ids)} if ids else {}
        here = f"/orgs/{org_id}/audit"
        known = partial(self._known, visit)
        return self._pages.page(
            "audit/audit.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            lines=[self._line(visit, e, names, here) for e in found.items],
            query=query,
            about=known("audit.kind", query.object.partition(":")[0]) if query.object else "",
            tz=organisation.timezone,
            subjects=[
                Choice(
                    label=_begun(known("audit.kind", subject)),
                    href=_href(here, query, action=None if query.action == subject else subject),
                    chosen=query.action == subject,
                )
                for subject in SUBJECTS
            ],
            next_href=_href(here, query, action=query.action, cursor=found.next_cursor) if found.next_cursor else "",
            clear_href=here,
            exports=[_export(org_id, query, format, start, end) for format in ExportFormat],
            narrowed=bool(query.object or query.actor or query.action or query.from_ or query.to),
        )

    @action("/orgs/{org_id}/audit/verify", access=READ, limits=PROOFS)
    async def verify(self, visit: Visit, org_id: UUID) -> Redirect:
        """Recomputes the chain and says whether it is intact."""
        proof, say = await self._service.verify(visit.ctx), partial(self._pages.text, visit)
        if proof.fault is not None:
            toast = say("audit.broken", seq=proof.fault.seq, what=self._pages.said(visit)(proof.fault.what))
        elif proof.erased:
            toast = say("audit.is_intact_erased", n=proof.entries, head=proof.head[:12], erased=proof.erased)
        else:
            toast = say("audit.is_intact", n=proof.entries, head=proof.head[:12])
        return Redirect(f"/orgs/{org_id}/audit", toast=toast)

    def _known(self, visit: Visit, group: str, word: str) -> str:
        """A word of programs, such as `api_key`, in the reader's language; one that nobody translated as it is written."""
        key = f"{group}.{word}"
        return self._pages.text(visit, key) if self._pages.pages.catalogue.has(key) else word.replace(".", " ").replace("_", " ")

    def _line(self, visit: Visit, entry: AuditEntry, names: dict[UUID, str], here: str) -> Line:
        actor, about = entry.actor, entry.object
        by = actor.account_id or actor.key_id
        details = msgspec.json.decode(bytes(entry.details), type=dict[str, object])
        return Line(
            entry,
            _begun(self._known(visit, "audit.done", entry.action)),
            self._known(visit, "audit.kind", about.kind),
            self._who(visit, actor, names),
            with_query(here, {"actor": by}) if by else "",
            with_query(here, {"object": f"{about.kind}:{about.id}"}) if about.id else "",
            [msgspec.structs.replace(c, field=self._known(visit, "audit.field", c.field)) for c in _changes(details)],
            msgspec.json.format(msgspec.json.encode(details), indent=2).decode(),
        )

    def _who(self, visit: Visit, actor: AuditActor, names: dict[UUID, str]) -> str:
        if actor.account_id is not None:
            return names.get(actor.account_id) or formats.deleted_account(visit.locale)
        if actor.kind == "service":
            return self._pages.text(visit, "audit.house", service=actor.service)
        return self._pages.text(visit, WHO.get(actor.kind, "audit.visitor"))


def _midnight(day: date | None, tz: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), tz).astimezone(UTC)


def _href(here: str, query: AuditPageQuery, *, action: str | None, cursor: str | None = None) -> str:
    values = {"object": query.object, "actor": query.actor, "action": action, "from": query.from_, "to": query.to}
    return with_query(here, {**values, "cursor": cursor})


def _export(org_id: UUID, query: AuditPageQuery, format: ExportFormat, start: datetime | None, end: datetime | None) -> Link:
    """What the page shows, all its pages together, as a file."""
    narrowed = {"object": query.object, "actor": query.actor, "action": query.action, "from": start, "to": end}
    href = with_query(f"/v1/orgs/{org_id}/audit/export", {"format": format, **narrowed})
    return Link({ExportFormat.CSV: "CSV", ExportFormat.JSONL: "JSON Lines"}[format], href)


def _begun(words: str) -> str:
    """As a line begins: with a capital where the script has them."""
    return words[:1].upper() + words[1:]


def _changes(details: dict[str, object]) -> list[Changed]:
    """What changed: stated field by field, or as `x` beside `before`/`from_x`."""
    stated = details.get("changes")
    if isinstance(stated, list):
        return msgspec.convert(stated, list[Changed], strict=False)[:20]
    pairs = [(name, details.get(f"from_{name}")) for name in details if f"from_{name}" in details]
    if "before" in details:
        pairs += [(name, details["before"]) for name in ("role", "status") if name in details]
    return [Changed(name, _plain(before), _plain(details[name])) for name, before in pairs if before != details[name]]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
