"""The Python client against a house over real connections, and against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from tests.journeys.world import PASSWORD, Club, Person, World, at
from tests.realtime.conftest import Node
from tests.realtime.proxy import Proxy
from tests.realtime.scripted import HANG_UP, Scripted, answer

from forecourt.realtime.document import HEARD
from forecourt_client import (
    AsyncForecourt,
    ConnectionLost,
    Event,
    File,
    Forecourt,
    Grant,
    NotSignedIn,
    Policy,
    Reset,
    SocketOver,
    TopicGone,
    UnexpectedAnswer,
)
from forecourt_client import models as m
from forecourt_client import socket as client_socket
from forecourt_client.errors import Forbidden, Invalid, NotFound, PreconditionFailed, RateLimited, Unauthenticated, Unavailable
from forecourt_client.problems import BadCredentials, InsufficientCredits, MediaRefused, SlotTaken, TokenReused

BRISK = Policy(first_pause_s=0.01, longest_pause_s=0.02, timeout_s=20)


@pytest.fixture
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def club(world: World) -> Club:
    return await world.club(courts=2)


@pytest.fixture(scope="module")
async def ida(world: World) -> Person:
    """Shared: nobody ends her sessions."""
    return await world.person("Ida")


def granted(person: Person, *, for_s: int = 600) -> Grant:
    return Grant(person.token, person.refresh, datetime.now(UTC) + timedelta(seconds=for_s))


async def fresh(world: World, person: Person) -> Grant:
    """A session of its own, whose access token has just ended."""
    made = (await world.client.post("/v1/auth/login", json={"email": person.email, "password": PASSWORD})).json()
    return Grant(made["access_token"], made["refresh_token"], datetime.now(UTC))


class Lossy(httpx.AsyncBaseTransport):
    """Loses the answers to the first `times` requests with this method: the house did what was asked, and nobody hears of it."""

    def __init__(self, method: str, times: int = 1) -> None:
        self._real = httpx.AsyncHTTPTransport()
        self._method = method
        self.times = times
        self.keys: list[str] = []
        self.sent: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._real.handle_async_request(request)
        self.sent.append(request.method)
        if request.method == self._method:
            self.keys.append(request.headers.get("idempotency-key", ""))
            if self.times:
                self.times -= 1
                await response.aread()
                raise httpx.ReadError("cut off")
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


@dataclass
class Counter:
    """Counts requests by path."""

    paths: list[str] = field(default_factory=list[str])

    def hear(self, request: httpx.Request) -> None:
        self.paths.append(request.url.path)

    async def hear_async(self, request: httpx.Request) -> None:
        self.paths.append(request.url.path)

    @property
    def renewals(self) -> int:
        return self.paths.count("/v1/auth/refresh")


@asynccontextmanager
async def counted(url: str, grant: Grant) -> AsyncIterator[tuple[AsyncForecourt, Counter]]:
    counter = Counter()
    async with httpx.AsyncClient(event_hooks={"request": [counter.hear_async]}) as http:
        yield AsyncForecourt(url, grant=grant, http=http, policy=BRISK), counter


# --- a journey -----------------------------------------------------------------------------------------------------------


def wanted(club: Club, start: datetime) -> m.NewBooking:
    return m.NewBooking(resource_id=club.courts[0], start=start, duration_min=60, pay_with=m.BookingPayWith.CREDITS)  # type: ignore[arg-type]


async def test_a_stranger_registers_finds_books_pays_and_cancels_waiting_for_each_answer(
    url: str, world: World, club: Club
) -> None:
    with Forecourt(url) as house:

        def begin() -> m.Me:
            house.register(email := f"sync.{uuid4().hex}@example.org", PASSWORD, "Sunny")
            assert house.grant is not None
            emails.append(email)
            return house.my_account.me()

        emails: list[str] = []
        me = await asyncio.to_thread(begin)
        code = await world.code(emails[0])

        def book() -> None:
            house.signing_in.confirm(m.Confirmation(email=emails[0], code=code))
            found = {v.id for v in house.venues.iter_search(near="51.5,-0.12", radius_km=5)}
            free = house.booking.availability(club.venue, from_=datetime.fromisoformat(at(9, 12)).date(), duration_min=60)
            assert free.venue_id in found
            slot = next(s for r in free.days[0].resources if str(r.resource_id) == club.courts[0] for s in r.slots)
            booking = house.booking.book(wanted(club, slot.start))
            assert (booking.status, booking.start, booking.paid) == (m.BookingStatus.UPCOMING, slot.start, slot.price)
            assert house.booking.calendar_file(booking.id).body.startswith(b"BEGIN:VCALENDAR")
            assert [w.balance.amount for w in house.payments.wallets()] == [3_000]
            cancelled = house.booking.cancel(booking.id, m.Cancel(reason="rain"))
            assert (cancelled.status, cancelled.refund) == (m.BookingStatus.CANCELLED, booking.paid)
            assert [w.balance.amount for w in house.payments.wallets()] == [5_000]
            assert [b.id for b in house.booking.iter_mine()] == [booking.id]
            house.log_out()
            assert house.grant is None
            with pytest.raises(Unauthenticated):
                house.my_account.me()

        await world.credits(club, Person(str(me.id), me.email, "", "", world.client), 5_000)
        await asyncio.to_thread(book)


async def test_a_stranger_registers_finds_books_pays_and_cancels_awaiting_each_answer(url: str, world: World, club: Club) -> None:
    heard: list[Grant | None] = []
    async with AsyncForecourt(url, on_grant=heard.append) as house:
        email = f"async.{uuid4().hex}@example.org"
        await house.register(email, PASSWORD, "Astrid")
        me = await house.my_account.me()
        await house.signing_in.confirm(m.Confirmation(email=email, code=await world.code(email)))
        start = datetime.fromisoformat(at(10, 12))
        with pytest.raises(InsufficientCredits):
            await house.booking.book(wanted(club, start))
        await world.credits(club, Person(str(me.id), me.email, "", "", world.client), 2_000)
        assert club.venue in [str(v.id) async for v in house.venues.iter_search(near="51.5,-0.12", radius_km=5)]
        held = await house.booking.book(m.NewBooking(resource_id=club.courts[0], start=start, duration_min=60))  # type: ignore[arg-type]
        assert held.status is m.BookingStatus.PAYMENT_PENDING
        paid = await house.booking.pay(held.id, m.Pay(pay_with=m.BookingPayWith.CREDITS))
        assert paid.status is m.BookingStatus.UPCOMING
        preview = await house.booking.refund_preview(held.id)
        cancelled = await house.booking.cancel(held.id)
        assert cancelled.refund == preview.refund
        await house.log_out()
    assert [g is None for g in heard] == [False, True]
    assert heard[0] is not None
    over = Grant("", heard[0].refresh_token, datetime.now(UTC))
    async with AsyncForecourt(url, grant=over) as house:
        with pytest.raises(Unauthenticated):
            await house.booking.mine()


# --- once ----------------------------------------------------------------------------------------------------------------


async def test_a_booking_whose_answer_was_lost_is_made_once(url: str, world: World, club: Club, ida: Person) -> None:
    await world.credits(club, ida, 10_000)
    before = await world.balance(club, ida)
    lossy = Lossy("POST", times=2)
    async with httpx.AsyncClient(transport=lossy) as http:
        house = AsyncForecourt(url, grant=granted(ida), http=http, policy=BRISK)
        start = datetime.fromisoformat(at(11, 12))
        booking = await house.booking.book(wanted(club, start))
        assert len(lossy.keys) == 3
        assert len(set(lossy.keys)) == 1
        assert await world.balance(club, ida) == before - booking.price.amount
        assert booking.status is m.BookingStatus.UPCOMING
        # The control: another intent has another key, and is refused.
        with pytest.raises(SlotTaken) as taken:
            await house.booking.book(wanted(club, start))
        assert lossy.keys[3] != lossy.keys[0]
        assert taken.value.more["alternatives"]
        assert await world.balance(club, ida) == before - booking.price.amount


async def test_a_write_without_a_key_whose_answer_was_lost_is_not_sent_again(url: str, ida: Person) -> None:
    lossy = Lossy("POST")
    async with httpx.AsyncClient(transport=lossy) as http:
        house = AsyncForecourt(url, grant=granted(ida), http=http, policy=BRISK)
        with pytest.raises(ConnectionLost):
            await house.booking.make_feed()
    assert lossy.sent == ["POST"]


async def test_tries_go_on_after_pauses_with_one_key_until_the_house_answers() -> None:
    busy = answer(409, {"status": 409, "code": "idempotency_in_flight", "title": "…"})
    away = answer(503, {"status": 503, "code": "unavailable", "title": "…"})
    async with Scripted(busy, HANG_UP, away, answer(404, {"status": 404, "code": "not_found", "title": "…"})) as server:
        async with AsyncForecourt(server.url, policy=BRISK) as house:
            with pytest.raises(NotFound):
                await house.booking.cancel(uuid4())
        assert len(server.heard) == 4
        assert len(set(server.header("idempotency-key"))) == 1
        assert server.header("idempotency-key")[0]


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_try_with_a_renewed_token_has_the_key_of_those_before_it(waiting: bool) -> None:
    """One of them may have been heard: with another key the house would do it twice."""
    old = Grant("old", "refresh", datetime.now(UTC) + timedelta(hours=1))
    refused = answer(401, {"status": 401, "code": "token_expired", "title": "…"})
    renewed = answer(200, {"access_token": "new", "refresh_token": "next", "expires_in": 600})
    gone = answer(404, {"status": 404, "code": "not_found", "title": "…"})
    async with Scripted(HANG_UP, refused, renewed, gone) as server:
        with pytest.raises(NotFound):
            if waiting:
                async with AsyncForecourt(server.url, grant=old, policy=BRISK) as house:
                    await house.booking.cancel(uuid4())
            else:
                with Forecourt(server.url, grant=old, policy=BRISK) as house:
                    await asyncio.to_thread(house.booking.cancel, uuid4())
        first, second, refresh, third = server.header("idempotency-key")
        assert first == second == third != ""
        assert refresh == ""
        assert server.header("authorization") == ["Bearer old", "Bearer old", "", "Bearer new"]


async def test_what_may_not_be_repeated_is_repeated_only_when_it_was_refused_unheard() -> None:
    slow = answer(429, {"status": 429, "code": "rate_limited", "title": "…"}, Retry_After="0")
    away = answer(503, {"status": 503, "code": "unavailable", "title": "…"})
    async with Scripted(slow, away, away) as server:
        async with AsyncForecourt(server.url, policy=BRISK) as house:
            with pytest.raises(Unavailable):
                await house.people.edit(m.ProfilePatch())
        assert len(server.heard) == 2


async def test_whoever_is_asked_to_wait_longer_than_the_patience_is_told_at_once() -> None:
    slow = answer(429, {"status": 429, "code": "rate_limited", "title": "…"}, Retry_After="3600")
    full = answer(503, {"status": 503, "code": "unavailable", "title": "…"}, Retry_After="3600")
    async with Scripted(slow, full) as server:
        async with AsyncForecourt(server.url, policy=BRISK) as house:
            with pytest.raises(RateLimited) as limited:
                await house.booking.mine()
            with pytest.raises(Unavailable) as away:
                await house.booking.mine()
        assert (limited.value.retry_after_s, away.value.retry_after_s) == (3600, 3600)
        assert len(server.heard) == 2


async def test_nobody_there_is_a_lost_connection_after_every_try() -> None:
    async with Scripted() as server:
        pass
    async with AsyncForecourt(server.url, policy=BRISK) as house:
        with pytest.raises(ConnectionLost):
            await house.booking.make_feed()


@pytest.mark.parametrize("page", [b"<h1>Welcome to the captive portal</h1>", b'{"items": 3}', b"\xff"])
async def test_an_answer_that_no_house_gives_is_called_that(page: bytes) -> None:
    async with Scripted(answer(200, page)) as server, AsyncForecourt(server.url, policy=BRISK) as house:
        with pytest.raises(UnexpectedAnswer):
            await house.booking.mine()


async def test_words_and_fields_of_a_later_version_are_borne() -> None:
    later = {"status": "dreaming", "dreams": 3}
    async with Scripted(answer(200, later)) as server, AsyncForecourt(server.url) as house:
        health = await house.system.alive()
    assert health.status == "dreaming"
    assert m.BookingStatus("postponed") == "postponed"
    assert m.BookingStatus("upcoming") is m.BookingStatus.UPCOMING


# --- who one is ----------------------------------------------------------------------------------------------------------


async def test_many_tasks_with_an_ended_token_renew_it_once(url: str, world: World, ida: Person) -> None:
    grant = await fresh(world, ida)
    async with counted(url, grant) as (house, counter):
        found = await asyncio.gather(*(house.my_account.me() for _ in range(8)))
        assert {str(me.id) for me in found} == {ida.id}
        assert counter.renewals == 1
        assert house.grant is not None
        assert house.grant.refresh_token != grant.refresh_token


async def test_many_threads_with_an_ended_token_renew_it_once(url: str, world: World, ida: Person) -> None:
    counter = Counter()
    with httpx.Client(event_hooks={"request": [counter.hear]}) as http:
        house = Forecourt(url, grant=await fresh(world, ida), http=http)
        found = await asyncio.gather(*(asyncio.to_thread(house.my_account.me) for _ in range(4)))
    assert {str(me.id) for me in found} == {ida.id}
    assert counter.renewals == 1


async def test_two_clients_with_one_grant_end_its_session(url: str, world: World, ida: Person) -> None:
    """The control of the two before: it is the sharing that keeps the session."""
    grant = await fresh(world, ida)
    heard: list[Grant | None] = []
    async with AsyncForecourt(url, grant=grant) as one, AsyncForecourt(url, grant=grant, on_grant=heard.append) as other:
        await one.my_account.me()
        with pytest.raises(TokenReused):
            await other.my_account.me()
        assert heard == [None]


async def test_a_token_that_is_refused_before_its_time_is_renewed(url: str, world: World, ida: Person) -> None:
    grant = await fresh(world, ida)
    broken = Grant("not.a.token", grant.refresh_token, datetime.now(UTC) + timedelta(hours=1))
    async with counted(url, broken) as (house, counter):
        found = await asyncio.gather(*(house.my_account.me() for _ in range(4)))
        assert {str(me.id) for me in found} == {ida.id}
        assert counter.renewals == 1


async def test_a_caller_who_leaves_in_the_middle_of_a_renewal_does_not_cost_the_session(
    url: str, world: World, ida: Person
) -> None:
    renewing = asyncio.Event()

    async def hear(request: httpx.Request) -> None:
        if request.url.path == "/v1/auth/refresh":
            renewing.set()

    async with httpx.AsyncClient(event_hooks={"request": [hear]}) as http:
        house = AsyncForecourt(url, grant=await fresh(world, ida), http=http)
        leaving = asyncio.create_task(house.my_account.me())
        async with asyncio.timeout(20):
            await renewing.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert str((await house.my_account.me()).id) == ida.id


async def test_a_program_with_a_key_acts_for_its_organisation(url: str, club: Club) -> None:
    async with AsyncForecourt(url, grant=granted(club.owner)) as house:
        made = await house.staff_and_keys.make_key(club.id, m.NewKey(name="door", permissions=["booking.read_any"]))
    async with AsyncForecourt(url, api_key=made.key) as door:
        assert isinstance((await door.booking.of_organisation(club.id, limit=1)).items, list)
        with pytest.raises(Forbidden):
            await door.my_account.me()
        with pytest.raises(NotSignedIn):
            await door.log_out()
    with pytest.raises(ValueError, match="either"):
        AsyncForecourt(url, api_key=made.key, grant=granted(club.owner))


# --- errors, versions, lists, files --------------------------------------------------------------------------------------


async def test_errors_say_which_field_and_name_their_trace(url: str, ida: Person) -> None:
    async with AsyncForecourt(url, grant=granted(ida)) as house:
        with pytest.raises(Invalid) as invalid:
            await house.booking.quote(m.NewQuote(resource_id=uuid4(), start=datetime.now(UTC), duration_min=-5))
        with pytest.raises(NotFound) as missing:
            await house.booking.read(uuid4())
        with pytest.raises(BadCredentials):
            await house.log_in(ida.email, "not her password")
    assert [e.path for e in invalid.value.errors] == ["duration_min"]
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    assert missing.value.trace_id
    assert missing.value.request_id


async def test_a_stale_version_is_refused_and_the_thing_itself_serves_as_one(url: str, club: Club) -> None:
    async with AsyncForecourt(url, grant=granted(club.owner)) as house:
        read = await house.venues.venue(club.id, club.venue)
        edited = await house.venues.edit(club.id, club.venue, m.VenuePatch(name="Riverside"), if_match=read)
        assert edited.version > read.version
        with pytest.raises(PreconditionFailed):
            await house.venues.edit(club.id, club.venue, m.VenuePatch(name="Seaside"), if_match=read)
        again = await house.venues.edit(club.id, club.venue, m.VenuePatch(name="Riverside Courts"), if_match=edited.version)
        assert again.name == "Riverside Courts"
        assert again.address == read.address


async def test_a_list_is_walked_entry_by_entry_without_one_twice_or_left_out(url: str, world: World) -> None:
    nora = await world.person("Nora")
    async with counted(url, granted(nora)) as (house, counter):
        made = [(await house.chat.create(m.NewRoom(kind=m.RoomKind.GROUP, name=f"Room {n}"))).id for n in range(7)]
        counter.paths.clear()
        assert sorted([r.id async for r in house.chat.iter_mine(page_size=3)]) == sorted(made)
        assert len(counter.paths) == 3
        counter.paths.clear()
        assert len([r async for r in house.chat.iter_mine(page_size=3, limit=4)]) == 4
        assert len(counter.paths) == 2
        assert [r async for r in house.chat.iter_mine(limit=0)] == []
        with pytest.raises(ValueError, match="1 to 100"):
            await anext(house.chat.iter_mine(page_size=101))
    with Forecourt(url, grant=granted(nora)) as house:
        found = await asyncio.to_thread(lambda: [r.id for r in house.chat.iter_mine(page_size=2)])
        assert sorted(found) == sorted(made)


def picture(path: Path) -> Path:
    Image.effect_noise((200, 200), 80).convert("RGB").save(path, "JPEG", quality=95)
    return path


async def test_a_file_is_sent_as_a_form_and_in_parts_that_survive_a_broken_line(url: str, ida: Person, tmp_path: Path) -> None:
    path = picture(tmp_path / "court.jpg")
    async with AsyncForecourt(url, grant=granted(ida)) as house:
        card = await house.media.send(File(path), alt="Court 1")
        assert (card.name, card.width, card.alt) == ("court.jpg", 200, "Court 1")
        with pytest.raises(MediaRefused):
            await house.media.send(File(io.BytesIO(b"MZ this is a program"), name="court.jpg"))
        got = await house.media.fetch(card.id)
        assert got.media_type == "image/jpeg"
        same = await house.media.fetch(card.id, if_none_match=got.etag)
        assert (same.not_modified, same.body) == (True, b"")
        assert (await house.media.fetch(card.id, range="bytes=0-9")).body == got.body[:10]
    lossy = Lossy("PATCH", times=2)
    async with httpx.AsyncClient(transport=lossy) as http:
        house = AsyncForecourt(url, grant=granted(ida), http=http, policy=BRISK)
        whole = await house.send_in_parts(File(path), part_bytes=path.stat().st_size // 3 + 1)
    assert (whole.width, whole.height) == (200, 200)
    assert lossy.sent.count("PATCH") == 3, "what arrived is not sent again"
    with Forecourt(url, grant=granted(ida)) as house:
        again = await asyncio.to_thread(house.send_in_parts, File(path.read_bytes(), name="again.jpg"))
        assert again.name == "again.jpg"


# --- the socket ----------------------------------------------------------------------------------------------------------


async def following(stream: client_socket.Following, count: int) -> list[Event | Reset]:
    """The next `count` things that are kept: events with a number, and resets."""
    found: list[Event | Reset] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            happened = await anext(stream)
            if happened.position is not None:
                found.append(happened)
    return found


def said(happened: list[Event | Reset]) -> list[Any]:
    return [h.data["message"]["text"] if isinstance(h, Event) else h for h in happened]


async def room_of(house: AsyncForecourt) -> str:
    return str((await house.chat.create(m.NewRoom(kind=m.RoomKind.GROUP, name="A room"))).id)


async def test_what_is_said_is_heard_and_a_cut_line_leaves_no_gap(url: str, ida: Person) -> None:
    async with Proxy(url) as line, AsyncForecourt(url, grant=granted(ida)) as house:
        room = await room_of(house)
        port = line.url.split(":")[2].split("/")[0]
        async with (
            AsyncForecourt(f"http://127.0.0.1:{port}", grant=granted(ida)) as far,
            far.socket() as socket,
            house.socket() as near,
        ):
            stream = await socket.follow(f"room:{room}")
            [first] = await following(stream, 1)
            assert isinstance(first, Reset)
            ack = await near.send(f"room:{room}", text="one")
            [one] = await following(stream, 1)
            assert said([one]) == ["one"]
            assert one.position is not None
            assert one.position.seq == ack.seq
            line.drop()
            for word in ("two", "three", "four"):
                await near.send(f"room:{room}", text=word)
            # Said into the cut line as well: it goes out when there is one again, and once.
            await socket.send(f"room:{room}", text="five", client_id="five")
            assert said(await following(stream, 4)) == ["two", "three", "four", "five"]
            assert socket.connections == 2
            kept = stream.position
            await stream.stop()
            assert [h async for h in stream] == []
            later = await socket.follow(f"room:{room}", since=one.position)
            assert said(await following(later, 4)) == ["two", "three", "four", "five"]
            assert later.position == kept
        with pytest.raises(SocketOver):
            await anext(later)
        history = await house.chat.history(room)
        assert [i.text for i in history.items] == ["one", "two", "three", "four", "five"]


async def test_many_topics_and_many_messages_survive_a_cut_line(node: Node, ida: Person) -> None:
    topics = await asyncio.gather(*(node.diary.make(UUID(ida.id)) for _ in range(client_socket.MAX_TOPICS)))
    async with AsyncForecourt(f"http://127.0.0.1:{node.port}", grant=granted(ida)) as house, house.socket() as socket:
        streams = [await socket.follow(topic) for topic in topics]
        for stream in streams:
            await following(stream, 1)
        for client in list(node.realtime._clients):
            client.cut()
        await asyncio.gather(*(node.diary.write(topic, "missed") for topic in topics))
        sending = [asyncio.ensure_future(socket.send(topics[0], text="x", client_id=f"c{n}")) for n in range(50)]
        for stream in streams:
            [event] = await following(stream, 1)
            assert isinstance(event, Event)
            assert event.data["text"] == "missed"
        async with asyncio.timeout(30):
            acks = await asyncio.gather(*sending)
        assert sorted(ack.seq for ack in acks) == list(range(2, 52))
        assert socket.connections == 2, "never too fast"


async def test_whoever_takes_events_slowly_gets_them_all(url: str, ida: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "WAITING", 4)
    async with AsyncForecourt(url, grant=granted(ida)) as house, house.socket() as socket, house.socket() as talking:
        room = await room_of(house)
        stream = await socket.follow(f"room:{room}")
        await following(stream, 1)
        words = [f"word {n}" for n in range(12)]
        for word in words:
            await talking.send(f"room:{room}", text=word)
        async with asyncio.timeout(20):
            while not stream.paused:
                await asyncio.sleep(0.01)
        assert said(await following(stream, 12)) == words
        assert not stream.paused


async def test_a_socket_with_a_refused_token_comes_back_with_a_fresh_one(url: str, world: World, ida: Person) -> None:
    grant = await fresh(world, ida)
    broken = Grant("not.a.token", grant.refresh_token, datetime.now(UTC) + timedelta(hours=1))
    async with counted(url, broken) as (house, counter), house.socket() as socket:
        inbox = await socket.follow("inbox")
        assert isinstance((await following(inbox, 1))[0], Reset)
        assert counter.renewals == 1


async def test_a_topic_that_is_not_ones_own_ends_and_a_session_that_is_over_ends_the_socket(
    url: str, world: World, ida: Person
) -> None:
    async with AsyncForecourt(url, grant=granted(ida)) as house, house.socket() as socket:
        with pytest.raises(TopicGone) as gone:
            await anext(await socket.follow(f"room:{uuid4()}"))
        assert gone.value.code == "not_found"
    nobody = Grant("not.a.token", "nor.this", datetime.now(UTC) + timedelta(hours=1))
    async with AsyncForecourt(url, grant=nobody) as house, house.socket() as socket:
        with pytest.raises(SocketOver):
            await anext(await socket.follow("inbox"))
        with pytest.raises(SocketOver):
            await socket.send("inbox", text="hello?")


def test_the_client_knows_every_frame_of_the_house() -> None:
    def names(kinds: tuple[type, ...]) -> set[str]:
        return {kind.__struct_config__.tag for kind in kinds}  # type: ignore[attr-defined]

    assert names(client_socket.HEARD) == names(HEARD)


def test_pauses_grow_and_differ() -> None:
    pause: Callable[[], float] = lambda: socket._pause(None)  # noqa: E731
    socket = client_socket.Socket("ws://house.test/v1/socket", lambda: None)  # type: ignore[arg-type,return-value]
    pauses = [pause() for _ in range(12)]
    assert pauses[0] <= 0.25
    assert 7.5 <= pauses[-1] <= 15
    assert len(set(pauses)) == 12
