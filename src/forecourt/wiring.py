"""How each module is built: which services it needs, and what it brings. One function per module, called by `app.House`.

A module calls another only through `house.board.call(Protocol)`, so the order here does not matter and any of them may live
in another process.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.events import registered_events
from forecourt.kernel.http.gate import Gate
from forecourt.kernel.topics import TopicSource

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from forecourt.app import House, Part
    from forecourt.kernel.clock import Clock
    from forecourt.kernel.db import Database
    from forecourt.kernel.settings import Settings
    from forecourt.modules.media.contract import Media
    from forecourt.modules.media.service import MediaService
    from forecourt.modules.media.store import Store


LINKS_S = 6.0
"""For a page that a message links to, redirects and all."""


def gate(house: House) -> Gate:
    """The door of this process, asking whoever keeps accounts."""
    from forecourt.modules.identity.contract import Identity

    return Gate(house.board.call(Identity), house.clock)


def identity(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.engines import machine
    from forecourt.modules.booking.contract import Proposals
    from forecourt.modules.identity import jobs
    from forecourt.modules.identity.contract import AccountRecords, Identity
    from forecourt.modules.identity.data_web import DataPages
    from forecourt.modules.identity.http import AccountsAdminApi, AuthApi, MeApi, StaffApi
    from forecourt.modules.identity.passwords import Passwords, hasher_for
    from forecourt.modules.identity.records import records
    from forecourt.modules.identity.service import IdentityService
    from forecourt.modules.identity.staff_web import StaffPages
    from forecourt.modules.identity.web import IdentityPages
    from forecourt.modules.notifications.contract import Mailer, Texter
    from forecourt.modules.people.contract import People
    from forecourt.modules.venues.contract import Venues

    service = IdentityService(
        house.database.module("identity"),
        house.clock,
        secret=house.settings.secrets.secret_key.reveal(),
        public_url=house.settings.http.public_url,
        passwords=Passwords(hasher_for(house.settings.env), machine.memory_bytes()),
    )
    house.identity = service
    house.board.provide(Identity, service)
    house.board.provide(AccountRecords, records(house.database.module("identity")))
    secure = house.settings.http.public_url.startswith("https://")
    apis = [
        AuthApi(service),
        MeApi(service),
        StaffApi(service),
        AccountsAdminApi(service),
        IdentityPages(
            service, house.surroundings, house.board.call(People), house.board.call(Proposals), house.clock, secure=secure
        ),
        StaffPages(service, house.surroundings, house.board.call(Venues)),
        DataPages(service, house.surroundings, house.board.call(Venues)),
    ]
    return Part(
        "identity",
        operations=[op for api in apis for op in api.operations()],
        handlers=jobs.handlers(service, house.board.call(Mailer), house.board.call(Texter), house.board.call(People)),
        schedules=jobs.schedules(),
    )


async def create_platform_admin(house: House, email: str, name: str, password: str) -> bool:
    """Makes the account when there is none of that address, then an administrator of it. Raises Invalid for a weak password.

    False when an account was there whose address is proven: it keeps the password it has.
    """
    from forecourt.kernel.context import service_context
    from forecourt.modules.identity.service.accounts import NewAccount

    return await house.identity.persons.appoint_admin(service_context("command line"), NewAccount(email, password, name))


def people(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.booking.contract import BookingRecords
    from forecourt.modules.chat.contract import ChatRecords
    from forecourt.modules.identity.contract import AccountRecords, Identity
    from forecourt.modules.media.contract import Media, MediaRecords
    from forecourt.modules.notifications.contract import NotificationRecords
    from forecourt.modules.payments.contract import PaymentRecords
    from forecourt.modules.people import jobs
    from forecourt.modules.people.contract import People
    from forecourt.modules.people.download_web import DownloadPages, readme
    from forecourt.modules.people.exporting import Exporting
    from forecourt.modules.people.http import ExportApi, PeopleApi
    from forecourt.modules.people.reactions import subscriptions
    from forecourt.modules.people.records import records
    from forecourt.modules.people.service import PeopleService
    from forecourt.modules.people.web import PeoplePages

    call, db = house.board.call, house.database.module("people")
    media, identity = call(Media), call(Identity)
    service = PeopleService(db, house.clock, identity, media)
    house.board.provide(People, service)
    others = (AccountRecords, BookingRecords, PaymentRecords, ChatRecords, NotificationRecords)
    exporting = Exporting(
        house.clock,
        service,
        identity,
        media,
        [records(db), *(call(other) for other in others)],
        call(MediaRecords),
        house.secret,
        readme(house.pages),
    )
    return Part(
        "people",
        operations=[
            *PeopleApi(service).operations(),
            *ExportApi(exporting).operations(),
            *PeoplePages(service, media, house.surroundings).operations(),
            *DownloadPages(exporting, house.surroundings).operations(),
        ],
        subscriptions=subscriptions(service),
        handlers=jobs.handlers(service),
    )


def notifications(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.booking.contract import Bookings
    from forecourt.modules.chat.contract import Chat
    from forecourt.modules.identity.contract import Identity
    from forecourt.modules.notifications import jobs, reactions
    from forecourt.modules.notifications.contract import InboxTopics, Mailer, NotificationRecords, Texter
    from forecourt.modules.notifications.http import HouseApi, NotificationsApi, OutboxApi
    from forecourt.modules.notifications.records import records
    from forecourt.modules.notifications.service import Notifications, Sources
    from forecourt.modules.notifications.staff_web import MessagePages
    from forecourt.modules.notifications.web import NotificationPages
    from forecourt.modules.people.contract import People
    from forecourt.modules.venues.contract import Venues

    call = house.board.call
    db = house.database.module("notifications")
    service = Notifications(
        db,
        house.clock,
        Sources(call(Identity), call(People), call(Venues), call(Bookings), call(Chat)),
        house.hub,
        house.settings,
        house.metrics,
    )
    house.board.provide(Mailer, service.letters)
    house.board.provide(Texter, service.post)
    house.board.provide(InboxTopics, service.inbox)
    house.board.provide(NotificationRecords, records(db, call(Identity), call(Venues), service.links))
    outbox = OutboxApi(service.post, house.surroundings).operations() if not house.settings.production else []
    return Part(
        "notifications",
        operations=[
            *NotificationsApi(service.inbox, service.choices, service.house, house.surroundings).operations(),
            *HouseApi(service.house).operations(),
            *NotificationPages(service.inbox, service.choices, house.surroundings).operations(),
            *MessagePages(service.house, call(Venues), house.surroundings, house.clock).operations(),
            *outbox,
        ],
        # Every module's events are registered by now, as for audit below.
        subscriptions=reactions.subscriptions(house.clock, registered_events().values()),
        handlers=jobs.handlers(service.sending, service.telling, service.addresses, service.forgetting),
        schedules=jobs.schedules(),
    )


def venues(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.booking.contract import BookingTotals, FreeAt, FreeTimes
    from forecourt.modules.identity.contract import Identity
    from forecourt.modules.media.contract import Media
    from forecourt.modules.payments.contract import Takings
    from forecourt.modules.venues import jobs, reactions
    from forecourt.modules.venues.contract import Venues
    from forecourt.modules.venues.franchise_web import FranchiseApi, FranchisePages
    from forecourt.modules.venues.http import VenuesApi
    from forecourt.modules.venues.service import VenuesService
    from forecourt.modules.venues.service.franchise import Franchise
    from forecourt.modules.venues.staff_web import StaffVenuePages
    from forecourt.modules.venues.web import VenuePages

    service = VenuesService(
        house.database.module("venues"),
        house.clock,
        house.cache,
        house.board.call(Identity),
        house.board.call(FreeAt),
        house.board.call(Media),
    )
    house.board.provide(Venues, service)
    console = StaffVenuePages(service, house.surroundings, house.clock)
    guests = VenuePages(service, house.board.call(FreeTimes), house.surroundings, house.clock)
    franchise = Franchise(service, house.board.call(BookingTotals), house.board.call(Takings), house.clock)
    return Part(
        "venues",
        operations=[
            *VenuesApi(service).operations(),
            *FranchiseApi(franchise).operations(),
            *console.operations(),
            *FranchisePages(franchise, service, house.surroundings).operations(),
            *guests.operations(),
        ],
        subscriptions=reactions.subscriptions(service),
        handlers=jobs.handlers(service),
    )


def booking(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.booking import jobs, reactions
    from forecourt.modules.booking.contract import (
        BookingRecords,
        Bookings,
        BookingTopics,
        BookingTotals,
        FreeAt,
        FreeTimes,
        Proposals,
    )
    from forecourt.modules.booking.guest_web import InvitationPages
    from forecourt.modules.booking.http import BookingApi
    from forecourt.modules.booking.live import Topics
    from forecourt.modules.booking.onward import Onward
    from forecourt.modules.booking.records import records
    from forecourt.modules.booking.service import BookingService
    from forecourt.modules.booking.showing import Showing
    from forecourt.modules.booking.staff_calendar import StaffCalendarPages
    from forecourt.modules.booking.staff_web import StaffBookingPages
    from forecourt.modules.booking.web import BookingPages
    from forecourt.modules.identity.contract import Identity
    from forecourt.modules.payments.contract import Payments
    from forecourt.modules.venues.contract import Venues

    service = BookingService(
        house.database.module("booking"),
        house.clock,
        house.board.call(Venues),
        house.board.call(Payments),
        house.board.call(Identity),
        house.hub,
        house.secret,
        house.cache,
    )
    showing = Showing(service)
    house.board.provide(Bookings, service)
    house.board.provide(BookingTotals, service)
    house.board.provide(BookingRecords, records(service))
    house.board.provide(FreeAt, service)
    house.board.provide(FreeTimes, showing)
    house.board.provide(Proposals, Onward(showing))

    async def standing(actor: Actor, organisation_id: UUID, address: str) -> frozenset[str] | None:
        return await house.gate.permissions(actor, organisation_id, address)

    house.board.provide(BookingTopics, Topics(house.hub, service, showing, house.board.call(Identity), standing))
    guests = BookingPages(
        service, showing, house.board.call(Payments), house.surroundings, house.hub, house.settings.http.public_url
    )
    invitations = InvitationPages(service, house.surroundings)
    console = StaffBookingPages(service, house.board.call(Venues), house.board.call(Identity), house.surroundings, house.hub)
    calendars = StaffCalendarPages(service, house.surroundings, house.settings.http.public_url)
    return Part(
        "booking",
        operations=[
            *BookingApi(service).operations(),
            *guests.operations(),
            *invitations.operations(),
            *console.operations(),
            *calendars.operations(),
        ],
        subscriptions=reactions.subscriptions(service),
        handlers=jobs.handlers(service),
        schedules=jobs.schedules(service),
        warmths=[service.week],
    )


def payments(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.identity.contract import Identity
    from forecourt.modules.payments import jobs
    from forecourt.modules.payments.contract import PaymentRecords, Payments, Takings
    from forecourt.modules.payments.http import PaymentsApi
    from forecourt.modules.payments.reactions import subscriptions
    from forecourt.modules.payments.records import records
    from forecourt.modules.payments.service import PaymentsService
    from forecourt.modules.payments.web import WalletPages
    from forecourt.modules.venues.contract import Venues

    service = PaymentsService(
        house.database.module("payments"), house.clock, house.board.call(Venues), house.board.call(Identity)
    )
    house.board.provide(Payments, service)
    house.board.provide(Takings, service)
    house.board.provide(PaymentRecords, records(service))
    guests = WalletPages(service, house.board.call(Venues), house.surroundings)
    return Part(
        "payments",
        operations=[*PaymentsApi(service).operations(), *guests.operations()],
        subscriptions=subscriptions(house.clock),
        handlers=jobs.handlers(service),
        schedules=jobs.schedules(service),
    )


def media(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.media import jobs, reactions
    from forecourt.modules.media.contract import Media, MediaRecords
    from forecourt.modules.media.http import MediaApi
    from forecourt.modules.media.records import records

    service = _files(house.settings, house.database, house.clock, house.secret)
    house.board.provide(Media, service)
    house.board.provide(MediaRecords, records(house.database.module("media")))
    return Part(
        "media",
        operations=MediaApi(service).operations(),
        subscriptions=reactions.subscriptions(),
        handlers=jobs.handlers(service),
        schedules=jobs.schedules(),
    )


def _files(settings: Settings, database: Database, clock: Clock, secret: bytes) -> MediaService:
    from forecourt.modules.media.service import MediaService, Quotas

    quotas = Quotas(settings.media.account_bytes, settings.media.organisation_bytes)
    return MediaService(database.module("media"), clock, objects(settings), quotas, secret)


def objects(settings: Settings) -> Store:
    """Where media keeps the bytes of files, for what moves them between installations."""
    from forecourt.modules.media.store import open_store

    return open_store(settings.media.url, settings.data)


@contextlib.asynccontextmanager
async def media_alone(settings: Settings, database_url: str) -> AsyncGenerator[Media]:
    """Media without a house around it, for what fills one. It opens nothing that is not public."""
    from forecourt.kernel.clock import SystemClock
    from forecourt.kernel.db import Database

    database = await Database.connect(database_url, None, 2, "forecourt demo")
    service = _files(settings, database, SystemClock(), secrets.token_bytes(32))
    try:
        yield service
    finally:
        service.close()
        await database.close()


def chat(house: House) -> Part:
    from ipaddress import ip_network

    from forecourt.app import Part
    from forecourt.kernel.egress import Egress
    from forecourt.modules.booking.contract import Bookings
    from forecourt.modules.chat import jobs, reactions
    from forecourt.modules.chat.contract import Chat, ChatRecords, ChatTopics
    from forecourt.modules.chat.http import ChatApi
    from forecourt.modules.chat.links import Links
    from forecourt.modules.chat.names import Names
    from forecourt.modules.chat.records import records
    from forecourt.modules.chat.room_web import RoomPages
    from forecourt.modules.chat.service import ChatService
    from forecourt.modules.chat.web import ChatPages
    from forecourt.modules.media.contract import Media
    from forecourt.modules.people.contract import People
    from forecourt.modules.venues.contract import Venues

    networks = [ip_network(network) for network in house.settings.channels.networks]
    links = Links(Egress(networks, timeout_s=LINKS_S))
    service = ChatService(
        house.database.module("chat"),
        house.clock,
        house.hub,
        Names(house.board.call(People)),
        house.board.call(Media),
        house.board.call(Bookings),
        house.board.call(Venues),
        links,
        house.limiter,
    )
    house.board.provide(Chat, service)
    house.board.provide(ChatTopics, service)
    house.board.provide(ChatRecords, records(house.database.module("chat"), service.names))
    people, venues = house.board.call(People), house.board.call(Venues)
    pages = ChatPages(service, people, house.presences, house.surroundings)
    rooms = RoomPages(service, people, house.presences, house.surroundings, venues)
    return Part(
        "chat",
        operations=[*ChatApi(service, house.presences).operations(), *pages.operations(), *rooms.operations()],
        subscriptions=reactions.subscriptions(service),
        handlers=jobs.handlers(service, house.presences),
        schedules=jobs.schedules(),
    )


def audit(house: House) -> Part:
    from forecourt.app import Part
    from forecourt.modules.audit import jobs, reactions
    from forecourt.modules.audit.http import AuditApi
    from forecourt.modules.audit.service import AuditService
    from forecourt.modules.audit.web import AuditPages
    from forecourt.modules.identity.contract import Identity
    from forecourt.modules.venues.contract import Venues

    service = AuditService(house.database.module("audit"), house.clock)
    pages = AuditPages(service, house.board.call(Venues), house.board.call(Identity), house.surroundings)
    return Part(
        "audit",
        operations=[*AuditApi(service).operations(), *pages.operations()],
        # Every module's events are registered by now: contracts are imported above, wherever the module itself lives.
        subscriptions=reactions.subscriptions(service, registered_events().values()),
        handlers=jobs.handlers(service),
        schedules=jobs.schedules(),
    )


def topics(house: House) -> dict[str, TopicSource]:
    """Who answers for topics of the socket, by the name before the first colon, as far as they are here or among the peers."""
    from forecourt.modules.booking.contract import BookingTopics
    from forecourt.modules.chat.contract import ChatTopics
    from forecourt.modules.notifications.contract import InboxTopics

    contracts: dict[str, type] = {"booking": BookingTopics, "venue": BookingTopics, "room": ChatTopics, "inbox": InboxTopics}
    found: dict[str, TopicSource] = {}
    for prefix, contract in contracts.items():
        with contextlib.suppress(LookupError):
            house.board.carrier(contract)
            found[prefix] = cast("TopicSource", house.board.call(contract))
    return found


def quiet_hours(house: House) -> Callable[[UUID], Awaitable[Callable[[datetime], bool] | None]]:
    """Tells of an account when its person is not to be disturbed: whether at a moment, or None for never."""
    from forecourt.modules.chat.contract import Chat
    from forecourt.modules.chat.rules import quiet_at

    try:
        house.board.carrier(Chat)
    except LookupError:  # nobody keeps such hours where nobody talks
        return _never
    chat = house.board.call(Chat)

    async def of(account_id: UUID) -> Callable[[datetime], bool] | None:
        hours = await chat.quiet_hours(Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id)))
        return None if hours is None else partial(quiet_at, hours)

    return of


async def _never(account_id: UUID) -> None:
    return None


MODULES: dict[str, Callable[[House], Part]] = {
    "identity": identity,
    "people": people,
    "notifications": notifications,
    "venues": venues,
    "booking": booking,
    "payments": payments,
    "media": media,
    "chat": chat,
    "audit": audit,
}
"""In the order in which they are built; audit last, because it records what all others announce."""
