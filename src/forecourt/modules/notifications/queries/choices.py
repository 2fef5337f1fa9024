"""What people and organisations have set: preferences, browsers, providers, webhook endpoints, templates."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.modules.notifications.contract import Channel, Digest, Topic


class Chosen(Struct, frozen=True):
    """As it is stored. A topic that is missing has the house's defaults."""

    channels: dict[Topic, list[Channel]] = {}
    digest: Digest = Digest.OFF
    push_key: str | None = None
    """The person's key at the push gateway of their phone's app."""


class ChosenRow(Struct, frozen=True):
    chosen: Chosen
    version: int


class Browser(Struct, frozen=True):
    """A browser that takes pushes."""

    id: UUID
    endpoint: str
    p256dh: str
    auth: str
    agent: str
    created_at: datetime
    session_id: UUID | None = None
    """The session in which it asked; pushes end with it."""


class ProviderRow(Struct, frozen=True):
    id: UUID
    channel: Channel
    name: str
    place: int
    enabled: bool
    sealed_url: bytes
    sealed_callback_key: bytes
    scheme: str
    version: int
    created_at: datetime


class EndpointRow(Struct, frozen=True):
    id: UUID
    url: str
    events: list[str]
    sealed_key: bytes
    enabled: bool
    created_at: datetime


class TemplateRow(Struct, frozen=True):
    id: UUID
    event: str
    channel: Channel
    locale: str
    enabled: bool
    version: int
    subject: str
    body: str
    html: str | None
    created_at: datetime


CHOSEN = Query(ChosenRow, "select p.chosen, p.version from notifications.preference p where p.account_id = $1")
CHOOSE = Query(
    int,
    "insert into notifications.preference (account_id, chosen, updated_at) values ($1, $2::text::jsonb, $3)"
    " on conflict (account_id) do update set chosen = excluded.chosen, updated_at = excluded.updated_at,"
    " version = notifications.preference.version + 1 returning version",
)
BROWSERS = Query(
    Browser,
    "select s.id, s.endpoint, s.p256dh, s.auth, s.agent, s.created_at, s.session_id from notifications.push_subscription s"
    " where s.account_id = $1 order by s.created_at desc, s.id limit 20",
)
ADD_BROWSER = Query(
    UUID,
    "insert into notifications.push_subscription (account_id, id, endpoint, p256dh, auth, agent, created_at, session_id)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (account_id, endpoint) do update set p256dh = excluded.p256dh,"
    " auth = excluded.auth, agent = excluded.agent, session_id = excluded.session_id returning id",
)
DROP_OLD_BROWSERS = Statement(
    "delete from notifications.push_subscription s where s.account_id = $1 and s.id in (select o.id from"
    " notifications.push_subscription o where o.account_id = $1 order by o.created_at desc, o.id offset $2 limit 100)"
)
DROP_BROWSER = Statement("delete from notifications.push_subscription where account_id = $1 and endpoint = $2")
DROP_SESSION = Statement("delete from notifications.push_subscription where account_id = $1 and session_id = $2")
DROP_BROWSER_ID = Statement("delete from notifications.push_subscription where account_id = $1 and id = $2")

PROVIDERS = Query(
    ProviderRow,
    "select p.id, p.channel, p.name, p.place, p.enabled, p.sealed_url, p.sealed_callback_key, p.scheme, p.version, p.created_at"
    " from notifications.provider p where p.organisation_id = $1 order by p.channel, p.place, p.created_at, p.id limit 100",
)
PROVIDER = Query(
    ProviderRow,
    "select p.id, p.channel, p.name, p.place, p.enabled, p.sealed_url, p.sealed_callback_key, p.scheme, p.version, p.created_at"
    " from notifications.provider p where p.organisation_id = $1 and p.id = $2",
)
ADD_PROVIDER = Statement(
    "insert into notifications.provider (organisation_id, id, channel, name, place, enabled, sealed_url, sealed_callback_key,"
    " scheme, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)
EDIT_PROVIDER = Statement(
    "update notifications.provider set name = $3, place = $4, enabled = $5, sealed_url = $6, scheme = $7, version = version + 1"
    " where organisation_id = $1 and id = $2 and version = $8"
)
DROP_PROVIDER = Statement("delete from notifications.provider where organisation_id = $1 and id = $2")

ENDPOINTS = Query(
    EndpointRow,
    "select w.id, w.url, w.events, w.sealed_key, w.enabled, w.created_at from notifications.webhook_endpoint w"
    " where w.organisation_id = $1 order by w.created_at, w.id limit 50",
)
ADD_ENDPOINT = Statement(
    "insert into notifications.webhook_endpoint (organisation_id, id, url, events, sealed_key, enabled, created_at)"
    " values ($1, $2, $3, $4::text[], $5, $6, $7)"
)
DROP_ENDPOINT = Statement("delete from notifications.webhook_endpoint where organisation_id = $1 and id = $2")

TEMPLATES = Query(
    TemplateRow,
    "select t.id, t.event, t.channel, t.locale, t.enabled, t.version, v.subject, v.body, v.html, v.created_at"
    " from notifications.template t join notifications.template_version v on v.organisation_id = t.organisation_id"
    " and v.template_id = t.id and v.version = t.version"
    " where t.organisation_id = $1 order by t.event, t.channel, t.locale limit 1000",
)
TEMPLATE = Query(
    TemplateRow,
    "select t.id, t.event, t.channel, t.locale, t.enabled, t.version, v.subject, v.body, v.html, v.created_at"
    " from notifications.template t join notifications.template_version v on v.organisation_id = t.organisation_id"
    " and v.template_id = t.id and v.version = t.version where t.organisation_id = $1 and t.id = $2 for update of t",
)
ADD_TEMPLATE = Statement(
    "insert into notifications.template (organisation_id, id, event, channel, locale, enabled, version, created_at)"
    " values ($1, $2, $3, $4, $5, $6, 1, $7)"
)
ADD_VERSION = Statement(
    "insert into notifications.template_version (organisation_id, template_id, version, subject, body, html, account_id,"
    " created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)"
)
EDIT_TEMPLATE = Statement("update notifications.template set version = $3, enabled = $4 where organisation_id = $1 and id = $2")


async def chosen(tx: Tx, account_id: UUID) -> ChosenRow | None:
    return await tx.maybe(CHOSEN, account_id)


async def choose(tx: Tx, account_id: UUID, chosen: Chosen, now: datetime) -> int:
    return await tx.one(CHOOSE, account_id, to_json(chosen), now)


async def browsers(tx: Tx, account_id: UUID) -> list[Browser]:
    return await tx.all(BROWSERS, account_id)


async def add_browser(tx: Tx, account_id: UUID, b: Browser, kept: int) -> UUID:
    """Adds it, or renews its keys; the `kept` newest stay."""
    id = await tx.one(ADD_BROWSER, account_id, b.id, b.endpoint, b.p256dh, b.auth, b.agent, b.created_at, b.session_id)
    await tx.run(DROP_OLD_BROWSERS, account_id, kept)
    return id


async def drop_session(tx: Tx, account_id: UUID, session_id: UUID) -> None:
    """Browsers that asked in this session take no more pushes."""
    await tx.run(DROP_SESSION, account_id, session_id)


async def drop_browser(tx: Tx, account_id: UUID, endpoint: str) -> bool:
    return await tx.run(DROP_BROWSER, account_id, endpoint) > 0


async def drop_browser_id(tx: Tx, account_id: UUID, id: UUID) -> bool:
    return await tx.run(DROP_BROWSER_ID, account_id, id) > 0


async def providers(tx: Tx, organisation_id: UUID) -> list[ProviderRow]:
    """In the order in which they are tried."""
    return await tx.all(PROVIDERS, organisation_id)


async def provider(tx: Tx, organisation_id: UUID, id: UUID) -> ProviderRow:
    """Raises NotFound."""
    return await tx.one(PROVIDER, organisation_id, id)


async def add_provider(tx: Tx, organisation_id: UUID, p: ProviderRow) -> None:
    await tx.run(
        ADD_PROVIDER,
        organisation_id,
        p.id,
        p.channel.value,
        p.name,
        p.place,
        p.enabled,
        p.sealed_url,
        p.sealed_callback_key,
        p.scheme,
        p.created_at,
    )


async def edit_provider(tx: Tx, organisation_id: UUID, p: ProviderRow) -> bool:
    """False when somebody else was faster."""
    return await tx.run(EDIT_PROVIDER, organisation_id, p.id, p.name, p.place, p.enabled, p.sealed_url, p.scheme, p.version) == 1


async def drop_provider(tx: Tx, organisation_id: UUID, id: UUID) -> bool:
    return await tx.run(DROP_PROVIDER, organisation_id, id) == 1


async def endpoints(tx: Tx, organisation_id: UUID) -> list[EndpointRow]:
    return await tx.all(ENDPOINTS, organisation_id)


async def add_endpoint(tx: Tx, organisation_id: UUID, e: EndpointRow) -> None:
    await tx.run(ADD_ENDPOINT, organisation_id, e.id, e.url, e.events, e.sealed_key, e.enabled, e.created_at)


async def drop_endpoint(tx: Tx, organisation_id: UUID, id: UUID) -> bool:
    return await tx.run(DROP_ENDPOINT, organisation_id, id) == 1


async def templates(tx: Tx, organisation_id: UUID) -> list[TemplateRow]:
    return await tx.all(TEMPLATES, organisation_id)


async def template(tx: Tx, organisation_id: UUID, id: UUID) -> TemplateRow:
    """Locked. Raises NotFound."""
    return await tx.one(TEMPLATE, organisation_id, id)


async def add_template(tx: Tx, organisation_id: UUID, t: TemplateRow, by: UUID | None) -> None:
    await tx.run(ADD_TEMPLATE, organisation_id, t.id, t.event, t.channel.value, t.locale, t.enabled, t.created_at)
    await add_version(tx, organisation_id, t, by)


async def add_version(tx: Tx, organisation_id: UUID, t: TemplateRow, by: UUID | None) -> None:
    await tx.run(ADD_VERSION, organisation_id, t.id, t.version, t.subject, t.body, t.html, by, t.created_at)


async def edit_template(tx: Tx, organisation_id: UUID, t: TemplateRow, by: UUID | None) -> None:
    await add_version(tx, organisation_id, t, by)
    await tx.run(EDIT_TEMPLATE, organisation_id, t.id, t.version, t.enabled)


# --- addresses without an account ---------------------------------------------------------------------------------------------

UNWANTED = Query(bool, "select exists (select from notifications.unwanted u where u.address = $1)")
REFUSE_MAIL = Statement("insert into notifications.unwanted (address, since) values ($1, $2) on conflict do nothing")
TAKE_MAIL = Statement("delete from notifications.unwanted where address = $1")


async def is_unwanted(tx: Tx, address: bytes) -> bool:
    """Whether the owner of the address, given by its digest, wants no mail."""
    return await tx.one(UNWANTED, address)


async def refuse_mail(tx: Tx, address: bytes, at: datetime) -> None:
    await tx.run(REFUSE_MAIL, address, at)


async def take_mail(tx: Tx, address: bytes) -> None:
    await tx.run(TAKE_MAIL, address)
