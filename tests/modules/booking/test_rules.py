"""The state machine, refunds, tax and what may be asked for."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.kernel.errors import Invalid, Problem
from forecourt.kernel.money import Money
from forecourt.modules.booking import rules
from forecourt.modules.booking.contract import FINAL, BookingAction, BookingActor, BookingStatus, InvalidTransition, QuoteLine
from forecourt.modules.venues.contract import Policies, Purpose, RefundTier, Tax

START = datetime(2026, 6, 1, 18, tzinfo=UTC)
EVERY_STEP = list(itertools.product(BookingStatus, BookingAction, BookingActor))


def gbp(amount: int) -> Money:
    return Money(amount, "GBP")


@pytest.mark.parametrize(("status", "action", "actor"), EVERY_STEP)
def test_a_step_is_in_the_table_for_that_actor_or_it_is_refused(
    status: BookingStatus, action: BookingAction, actor: BookingActor
) -> None:
    after, actors = rules.TRANSITIONS.get((status, action), (None, frozenset()))
    if actor in actors:
        assert rules.advance(status, action, actor) is after
    else:
        with pytest.raises(InvalidTransition):
            rules.advance(status, action, actor)


@pytest.mark.parametrize("asked_for", [False, True])
def test_what_is_offered_is_what_is_permitted(asked_for: bool) -> None:
    for (status, action, actor), now in itertools.product(EVERY_STEP, (START - timedelta(hours=1), START)):
        booking = rules.Standing(status, START, asked_for)
        try:
            after = rules.permit(booking, action, actor, now)
        except InvalidTransition:
            assert not rules.permitted(booking, action, actor, now)
        else:
            assert rules.permitted(booking, action, actor, now)
            assert after is rules.advance(status, action, actor)


def test_nobody_can_have_stayed_away_before_it_began_nor_after_it_was_completed() -> None:
    def offered(status: BookingStatus, now: datetime) -> bool:
        return rules.permitted(rules.Standing(status, START, False), BookingAction.MARK_NO_SHOW, BookingActor.STAFF, now)

    assert not offered(BookingStatus.UPCOMING, START - timedelta(microseconds=1))
    assert offered(BookingStatus.UPCOMING, START) and offered(BookingStatus.IN_PROGRESS, START)
    assert not offered(BookingStatus.COMPLETED, START)


@pytest.mark.parametrize("action", [BookingAction.RESCHEDULE, BookingAction.EXTEND])
def test_what_staff_agreed_to_is_changed_by_staff_alone(action: BookingAction) -> None:
    asked, plain = (rules.Standing(BookingStatus.UPCOMING, START, asked_for) for asked_for in (True, False))
    assert not rules.permitted(asked, action, BookingActor.CUSTOMER, START)
    assert rules.permitted(asked, action, BookingActor.STAFF, START)
    assert rules.permitted(plain, action, BookingActor.CUSTOMER, START)


def test_nothing_leaves_a_final_status_and_everything_else_is_reached_from_a_draft() -> None:
    assert not any(status in FINAL for status, _ in rules.TRANSITIONS)
    reached = {BookingStatus.DRAFT}
    for _ in BookingStatus:
        reached |= {after for (before, _), (after, _) in rules.TRANSITIONS.items() if before in reached}
    assert reached == set(BookingStatus)


@pytest.mark.parametrize(
    ("notice", "refund"),
    [(timedelta(days=2), 1001), (timedelta(hours=24), 1001),
     (timedelta(hours=24, microseconds=-1), 500), (timedelta(hours=2), 500),
     (timedelta(hours=2, microseconds=-1), 0), (timedelta(hours=-1), 0)],
)  # fmt: skip
def test_a_refund_follows_the_tier_at_the_very_instant(notice: timedelta, refund: int) -> None:
    assert rules.refund_due(Policies(), gbp(1001), START, START - notice) == gbp(refund)
    assert rules.refund_preview(Policies(), gbp(1001), gbp(0), START, START - notice).refund == gbp(refund)


def test_a_preview_says_until_when_it_holds() -> None:
    assert rules.refund_preview(Policies(), gbp(1000), gbp(0), START, START - timedelta(days=3)).until == START - timedelta(
        hours=24
    )
    assert rules.refund_preview(Policies(), gbp(1000), gbp(0), START, START).until is None


@given(list_price=st.integers(0, 10**6), price=st.integers(0, 10**6), new=st.integers(0, 10**6), fee=st.integers(0, 10**5))
def test_a_change_costs_what_the_list_asks_more_and_the_fee_and_nothing_of_what_was_agreed(
    list_price: int, price: int, new: int, fee: int
) -> None:
    was = rules.Agreed(gbp(list_price), gbp(price), gbp(price))
    for less in (rules.fallen(was, gbp(new)), rules.given_up(was, gbp(new))):
        r = rules.reprice(was, gbp(new), gbp(fee), less)
        assert gbp(price) + r.due - r.back == r.price
        assert r.price >= gbp(0)
        assert min(r.due.amount, r.back.amount) == 0
    same = rules.reprice(was, gbp(list_price), gbp(fee), rules.given_up(was, gbp(list_price)))
    assert (same.due, same.back) == (gbp(fee), gbp(0))


def test_who_pays_half_by_a_code_gives_up_half_and_a_shorter_time_is_not_free() -> None:
    half, whole = rules.Agreed(gbp(2000), gbp(1000), gbp(1000)), rules.Agreed(gbp(2000), gbp(2200), gbp(2200))
    assert (rules.given_up(half, gbp(1000)), rules.given_up(whole, gbp(1000))) == (gbp(500), gbp(1000))
    assert (rules.given_up(half, gbp(3000)), rules.fallen(half, gbp(500))) == (gbp(0), gbp(1000))


def test_moving_costs_a_share_of_the_old_price() -> None:
    assert rules.reschedule_fee(Policies(reschedule_fee_pct=10), gbp(2500)) == gbp(250)
    assert rules.reschedule_fee(Policies(), gbp(2500)) == gbp(0)


@given(amount=st.integers(0, 10**8), rates=st.lists(st.sampled_from(["0", "5", "7.7", "20"]), max_size=3))
def test_included_taxes_are_taken_out_and_leave_the_total_alone(amount: int, rates: list[str]) -> None:
    tax = rules.tax_lines([Tax(rate) for rate in rates], gbp(amount))
    assert [t.rate for t in tax] == rates
    assert 0 <= sum(t.amount.amount for t in tax) <= amount
    assert rules.quote_total([QuoteLine("Court", gbp(amount))], tax, "GBP") == gbp(amount)


def test_taxes_are_what_the_till_says() -> None:
    assert rules.tax_lines([Tax("20")], gbp(1200))[0].amount == gbp(200)
    added = rules.tax_lines([Tax("20", included=False)], gbp(1200))
    assert rules.quote_total([QuoteLine("Court", gbp(1200))], added, "GBP") == gbp(1440)
    assert rules.quote_total([QuoteLine("Code", gbp(-5))], [], "GBP") == gbp(0)


def test_a_hold_is_over_at_the_instant_it_ends() -> None:
    end = rules.hold_expiry(Policies(hold_min=10), START)
    assert not rules.hold_is_over(end, end - timedelta(microseconds=1))
    assert rules.hold_is_over(end, end)


def test_years_no_calendar_holds_are_refused() -> None:
    assert rules.requested_period(START, 60).duration_min == 60
    for start in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(Invalid):
            rules.requested_period(start, 60)


def test_only_the_purposes_named_need_approval() -> None:
    assert rules.needs_approval(Policies(), Purpose.CONTENT)
    assert not rules.needs_approval(Policies(cancellation=[RefundTier(1, 1)]), Purpose.MATCH)


def test_problems_keep_their_codes() -> None:
    assert Problem.registered("invalid_transition") is InvalidTransition
    assert msgspec.to_builtins(BookingStatus.NO_SHOW) == "no_show"
