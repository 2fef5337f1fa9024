"""The demo world as values: the same for the same seed, believable, and priced as the program prices."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from forecourt.demo.story import Booked, Chronicle
from forecourt.demo.weather import Weather
from forecourt.demo.world import World, build
from forecourt.kernel.period import Period
from forecourt.modules.booking import rules as booking_rules
from forecourt.modules.booking.contract import OCCUPYING, BookingStatus
from forecourt.modules.booking.service.pricing import bill
from forecourt.modules.booking.slots import claimed_ids
from forecourt.modules.venues import rules
from forecourt.modules.venues.contract import calendar

NOW = datetime(2026, 11, 19, 14, 12, tzinfo=UTC)
PAST_DAYS = 45


def story_of(world: World) -> list[Booked]:
    weather, busy = Weather(world.fate), set()
    return [b for site in world.sites for b in Chronicle(world, site, weather, busy).tell()]


@pytest.fixture(scope="module")
def world() -> World:
    return build(7, NOW, PAST_DAYS)


@pytest.fixture(scope="module")
def story(world: World) -> list[Booked]:
    return story_of(world)


def told(bookings: list[Booked]) -> list[tuple[object, ...]]:
    return [(b.id, b.resource.id, b.account_id, b.starts_at, b.price, b.status, [astuple(s) for s in b.steps]) for b in bookings]


def test_the_same_seed_makes_the_same_world(world: World, story: list[Booked]) -> None:
    again = build(7, NOW, PAST_DAYS)
    assert again == world
    assert told(story_of(again)) == told(story)


def test_another_seed_makes_another_world(world: World, story: list[Booked]) -> None:
    other = build(8, NOW, PAST_DAYS)
    assert {p.id for p in other.people}.isdisjoint(p.id for p in world.people)
    assert {b.id for b in story_of(other)}.isdisjoint(b.id for b in story)


def test_places_and_people_keep_their_ids_on_another_day(world: World) -> None:
    later = build(7, NOW + timedelta(days=100), PAST_DAYS)
    assert [p.id for p in later.people] == [p.id for p in world.people]
    assert [s.book.venue.id for s in later.sites] == [s.book.venue.id for s in world.sites]


def test_there_are_the_houses_the_people_and_a_combined_court(world: World) -> None:
    assert Counter(s.house.kind.value for s in world.sites) == {"gym": 4, "club": 3, "hotel": 1}
    assert {s.place.city for s in world.sites} == {"London", "Karachi", "Lahore", "Islamabad", "Lisboa"}
    resources = [r for s in world.sites for r in s.book.resources]
    assert 38 <= len(resources) <= 45
    assert [(r.name, len(r.part_ids)) for r in resources if r.part_ids] == [("Full court", 2)]
    assert sum(not p.staff and not p.admin for p in world.people) == 600
    roles = {role for p in world.people if p.staff for _, role in p.staff.roles}
    assert roles == {"owner", "manager", "agent", "coach", "viewer", "own:Groundskeeper"}
    assert len({p.email for p in world.people}) == len({p.handle for p in world.people}) == len(world.people)


def test_the_books_are_ones_the_program_accepts(world: World) -> None:
    for site in world.sites:
        book = site.book
        faults = rules.validate_hours(book.venue.opening_hours) + rules.validate_policies(book.policies)
        faults += rules.validate_rules(book.rules, book.organisation.currency, [r.id for r in book.resources])
        faults += rules.validate_region(book.organisation.country, book.venue.region)
        for resource in book.resources:
            faults += rules.validate_resource(resource, book.resources)
        assert faults == [], site.place.name


def test_prices_tax_and_lines_are_those_of_the_program(story: list[Booked]) -> None:
    chosen = random.Random(1).sample(story, 600) + [b for b in story if b.purpose.value == "content"][:40]
    for b in chosen:
        asked = bill(b.site.book, b.resource, Period(b.starts_at, b.ends_at), b.purpose, b.team_size)
        assert [(line.label, line.amount.amount, line.rule) for line in asked.lines] == b.lines
        assert [(t.rate, t.amount.amount) for t in asked.tax] == [b.tax]
        assert asked.total.amount == b.price
    assert len({line[2] for b in story for line in b.lines}) > 20, "many rules win somewhere"


def test_every_booking_was_possible(story: list[Booked]) -> None:
    for b in random.Random(2).sample(story, 600) + [b for b in story if b.status in OCCUPYING]:
        booking_rules.check_place(b.site.book, b.resource, Period(b.starts_at, b.ends_at), b.purpose, b.team_size)
        assert b.claimed == claimed_ids(b.site.book, b.resource)
        assert b.created_at < b.starts_at


def test_every_step_is_legal_and_follows_the_one_before(story: list[Booked]) -> None:
    for b in story:
        status = BookingStatus.DRAFT
        for step in b.steps:
            assert step.before is status
            status = booking_rules.advance(status, step.action, step.actor)
            assert step.after is status
        assert status is b.status
        assert [s.at for s in b.steps] == sorted(s.at for s in b.steps)
        assert all(s.at <= NOW for s in b.steps)


def test_no_place_is_given_away_twice(story: list[Booked]) -> None:
    claims: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for b in story:
        if b.status not in (BookingStatus.CANCELLED, BookingStatus.EXPIRED, BookingStatus.DECLINED):
            for id in b.claimed:
                claims.setdefault(id, []).append(b.claim)
    assert len(claims) > 38
    for taken in claims.values():
        taken.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(taken))


def test_statuses_are_true_to_the_clock(story: list[Booked]) -> None:
    for b in story:
        match b.status:
            case BookingStatus.COMPLETED:
                assert b.ends_at <= NOW
            case BookingStatus.IN_PROGRESS:
                assert b.starts_at <= NOW < b.ends_at
            case BookingStatus.UPCOMING | BookingStatus.PENDING_APPROVAL:
                assert b.starts_at > NOW
            case BookingStatus.PAYMENT_PENDING:
                assert b.hold_expires_at is not None
                assert b.hold_expires_at > NOW
            case _:
                pass


def test_nobody_has_lost_the_right_to_book(story: list[Booked]) -> None:
    absent = Counter((b.account_id, b.site.organisation_id) for b in story if b.status is BookingStatus.NO_SHOW and b.person)
    live = Counter((b.account_id, b.site.organisation_id) for b in story if b.status in OCCUPYING and b.person)
    policies = {b.site.organisation_id: b.site.book.policies for b in story}
    assert absent
    assert all(n < policies[house].no_show_strikes for (_, house), n in absent.items())
    assert all(n < policies[house].max_open_bookings for (_, house), n in live.items())


def test_evenings_and_weekends_are_busiest_at_the_clubs(story: list[Booked]) -> None:
    clifton = [b for b in story if b.site.place.slug == "clifton"]
    evening = sum(18 * 60 <= b.start < 23 * 60 for b in clifton)
    noon = sum(10 * 60 <= b.start < 15 * 60 for b in clifton)
    assert evening > 3 * noon
    weekend = sum(b.day.weekday() >= 4 for b in clifton) / 3
    week = sum(b.day.weekday() < 4 for b in clifton) / 4
    assert weekend > week


def test_the_day_sheet_of_clifton_is_alive(story: list[Booked]) -> None:
    today = [b for b in story if b.site.place.slug == "clifton" and b.day == NOW.date()]
    statuses = Counter(b.status for b in today)
    assert statuses[BookingStatus.IN_PROGRESS] >= 2
    assert statuses[BookingStatus.PAYMENT_PENDING] >= 1
    assert statuses[BookingStatus.PENDING_APPROVAL] >= 1
    assert statuses[BookingStatus.COMPLETED] >= 5
    assert statuses[BookingStatus.UPCOMING] >= 5


@pytest.mark.parametrize("hour", [0, 3, 6, 9, 12, 15, 18, 21])
def test_something_is_going_on_wherever_doors_are_open_at_any_hour(hour: int) -> None:
    now = NOW.replace(hour=hour)
    world = build(7, now, 2)
    bookings = story_of(world)
    for site in world.sites:
        here = [b for b in bookings if b.site is site]
        minute = now.astimezone(site.tz)
        opened = calendar.is_open(site.book, Period(now - timedelta(minutes=30), now + timedelta(hours=2)))
        if opened:
            assert any(b.status is BookingStatus.IN_PROGRESS for b in here), (site.place.slug, minute)
        assert any(b.status is BookingStatus.PAYMENT_PENDING for b in here), site.place.slug
