"""Money, periods, ids and contexts."""

import errno
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.gateway.problems import NoAnswer
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.contracts import decode_problem, encode_problem
from forecourt.kernel.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    Invalid,
    Misconfigured,
    NoRoom,
    NotFound,
    Problem,
    TooManyRequests,
    Unavailable,
)
from forecourt.kernel.faults import as_problem
from forecourt.kernel.idempotency import IdempotencyInFlight
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import CurrencyMismatch, Money
from forecourt.kernel.period import Period

amounts = st.integers(min_value=-(10**12), max_value=10**12)
weights = st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=20).filter(lambda w: sum(w) > 0)


@given(amounts, weights)
def test_a_split_adds_up_and_no_part_is_off_by_more_than_one(amount: int, shares: list[int]) -> None:
    parts = Money(amount, "GBP").split(shares)
    assert Money.total(parts, "GBP") == Money(amount, "GBP")
    for part, weight in zip(parts, shares, strict=True):
        assert abs(part.amount - amount * weight / sum(shares)) < 1.001


def test_rounding_each_share_by_itself_loses_money() -> None:
    # The control: what split() is for.
    assert sum(round(100 / 3) for _ in range(3)) == 99
    assert sum(p.amount for p in Money(100, "GBP").split([1, 1, 1])) == 100


@pytest.mark.parametrize("shares", [[], [0], [0, 0], [1, -1], [-1]])
def test_a_split_without_positive_weights_is_refused(shares: list[int]) -> None:
    with pytest.raises(ValueError):
        Money(100, "GBP").split(shares)


def test_currencies_never_meet() -> None:
    with pytest.raises(CurrencyMismatch):
        _ = Money(1, "GBP") + Money(1, "PKR")
    with pytest.raises(CurrencyMismatch):
        _ = Money(1, "GBP") < Money(2, "PKR")
    assert Money(1, "GBP") + Money(2, "GBP") == Money(3, "GBP")


def test_halves_round_to_even() -> None:
    assert Money(5, "GBP").percent(50) == Money(2, "GBP")
    assert Money(15, "GBP").percent(50) == Money(8, "GBP")
    assert Money(-15, "GBP").percent(50) == Money(-8, "GBP")


T = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


def test_a_period_is_half_open() -> None:
    first, second = Period.of(T, 60), Period.of(T + timedelta(minutes=60), 60)
    assert not first.overlaps(second)
    assert not second.overlaps(first)
    assert first.overlaps(Period.of(T + timedelta(minutes=59), 60))


@pytest.mark.parametrize("minutes", [0, -15])
def test_an_empty_or_reversed_period_is_refused(minutes: int) -> None:
    with pytest.raises(ValueError):
        Period.of(T, minutes)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError):
        Period(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001


def test_a_period_counts_absolute_minutes_whatever_the_offset() -> None:
    period = Period.of(datetime(2026, 3, 29, 5, 30, tzinfo=timezone(timedelta(hours=5))), 90)
    assert period.start == T
    assert period.duration_min == 90
    assert period.padded(15, 30) == Period(T - timedelta(minutes=15), T + timedelta(minutes=120))


def test_ids_are_version_seven_and_never_go_back() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(i.version == 7 and i.variant == UUID(int=made[0].int).variant for i in made)


def test_permissions_do_not_travel_to_another_organisation() -> None:
    ours, theirs = uuid4(), uuid4()
    ctx = Context(
        Actor(ActorKind.PERSON, account_id=uuid4()), organisation_id=ours, permissions=frozenset({"booking.cancel_any"})
    )
    assert ctx.may("booking.cancel_any")
    assert not ctx.within(theirs).may("booking.cancel_any")
    assert ctx.within(ours) is ctx


def test_two_problems_cannot_share_a_code() -> None:
    with pytest.raises(TypeError, match="conflict"):
        type("Another", (Conflict,), {"code": "conflict"})


def test_a_problem_document_says_what_happened() -> None:
    problem = TooManyRequests("slow down", retry_after_s=7)
    document = problem.document("t1")
    assert document["status"] == 429
    assert document["code"] == "rate_limited"
    assert document["detail"] == "slow down"
    assert problem.headers == {"Retry-After": "7"}
    assert Problem.registered("rate_limited") is TooManyRequests


def test_whoever_is_told_to_come_again_is_told_when() -> None:
    """GW-4. What passes by itself says so; what somebody has to mend first does not."""
    passing = [Unavailable("away"), NoRoom(), DeadlineExceeded(), NoAnswer(), IdempotencyInFlight(), TooManyRequests()]
    assert {p.status for p in passing} == {503, 504, 502, 409, 429}
    assert {p.headers["Retry-After"] for p in passing} == {"1", "30"}
    lasting = [kind() for kind in (Misconfigured, Internal, Conflict, NotFound, Invalid)]
    assert [p.headers for p in lasting] == [{}] * 5
    kinds = [kind for kind in every_kind(Problem) if kind.__module__.startswith("forecourt.")]
    assert len(kinds) > 20
    silent = [kind for kind in kinds if kind.status in (429, 502, 503, 504) and "Retry-After" not in kind().headers]
    assert all(issubclass(kind, Misconfigured) for kind in silent), silent


def every_kind(of: type[Problem]) -> list[type[Problem]]:
    return [kind for below in of.__subclasses__() for kind in (below, *every_kind(below))]


def test_a_disk_that_is_full_is_not_asked_again_as_soon_as_a_database_that_went_away() -> None:
    full = as_problem(asyncpg.DiskFullError("could not extend file"))
    busy = as_problem(asyncpg.TooManyConnectionsError("sorry, too many clients already"))
    ours = as_problem(OSError(errno.ENOSPC, "No space left on device"))
    assert [p.status for p in (full, busy, ours)] == [503, 503, 503]
    assert [p.headers["Retry-After"] for p in (full, busy, ours)] == ["30", "1", "30"]
    assert type(as_problem(OSError(errno.EIO, "Input/output error"))) is Internal


def test_the_seconds_travel_between_two_processes() -> None:
    there = decode_problem(encode_problem(NoRoom("nothing can be written right now")))
    assert (type(there), there.headers) == (Unavailable, {"Retry-After": "30"})
    assert decode_problem(encode_problem(Misconfigured("a key is missing"))).headers == {}
