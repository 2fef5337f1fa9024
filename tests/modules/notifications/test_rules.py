from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecourt.modules.notifications import rules, wording
from forecourt.modules.notifications.contract import Channel, DeliveryStatus, Digest, Topic
from forecourt.modules.notifications.rules import KINDS, Quiet

LONDON, NEW_YORK, KARACHI = ZoneInfo("Europe/London"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Karachi")
NIGHT = Quiet(time(22), time(7))
CONFIRMED, SECURITY, REMINDER, DUE = (
    KINDS[k] for k in ("booking.confirmed", "security.noted", "booking.in_2_hours", "payment.due")
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_quiet_hours_run_past_midnight_on_the_persons_clock() -> None:
    assert rules.quiet_until(NIGHT, KARACHI, at("2026-11-21T23:00+05:00")) == at("2026-11-22T07:00+05:00")
    assert rules.quiet_until(NIGHT, KARACHI, at("2026-11-22T06:59+05:00")) == at("2026-11-22T07:00+05:00")
    assert rules.quiet_until(NIGHT, KARACHI, at("2026-11-22T07:00+05:00")) is None, "half-open: at the end it is over"
    assert rules.quiet_until(NIGHT, LONDON, at("2026-11-21T23:00+05:00")) is None, "it is six in the evening in London"


@pytest.mark.parametrize(
    ("hours", "start", "end", "quiet"),
    [
        (("22:00", "07:00"), "2026-11-25T21:00", "2026-11-25T22:00", False),
        (("22:00", "07:00"), "2026-11-25T21:30", "2026-11-25T22:30", True),
        (("22:00", "07:00"), "2026-11-25T06:30", "2026-11-25T07:30", True),
        (("22:00", "07:00"), "2026-11-25T07:00", "2026-11-25T08:00", False),
        (("22:00", "24:00"), "2026-11-25T23:30", "2026-11-26T00:30", True),
        (("22:00", "24:00"), "2026-11-26T00:00", "2026-11-26T01:00", False),
        (("13:00", "15:00"), "2026-11-25T12:00", "2026-11-25T16:00", True),
        (("13:00", "15:00"), "2026-11-25T15:00", "2026-11-26T12:00", False),
        (("00:00", "24:00"), "2026-11-25T15:00", "2026-11-25T16:00", True),
        # The night of 25 hours: half past one comes twice.
        (("01:30", "02:00"), "2026-10-25T01:45", "2026-10-25T03:00", True),
    ],
)
def test_a_house_is_quiet_each_day_by_its_own_clock(hours: tuple[str, str], start: str, end: str, quiet: bool) -> None:
    begins, ends = (datetime.fromisoformat(moment).replace(tzinfo=LONDON) for moment in (start, end))
    assert rules.in_quiet_hours(hours, begins, ends, LONDON) is quiet


def test_quiet_hours_within_a_day() -> None:
    siesta = Quiet(time(13), time(15))
    assert rules.quiet_until(siesta, LONDON, at("2026-07-01T14:00+01:00")) == at("2026-07-01T15:00+01:00")
    assert rules.quiet_until(siesta, LONDON, at("2026-07-01T15:00+01:00")) is None
    assert rules.quiet_until(siesta, LONDON, at("2026-07-01T12:59+01:00")) is None


def test_an_end_that_the_clock_skips_in_spring_comes_when_the_gap_is_over() -> None:
    # London goes from 01:00 GMT to 02:00 BST on 29 March 2026: 01:30 never comes.
    quiet = Quiet(time(22), time(1, 30))
    assert rules.quiet_until(quiet, LONDON, at("2026-03-28T23:00+00:00")) == at("2026-03-29T01:00+00:00")
    assert rules.quiet_until(quiet, LONDON, at("2026-03-27T23:00+00:00")) == at("2026-03-28T01:30+00:00"), "the night before"


def test_an_end_that_comes_twice_in_autumn_is_the_second_one() -> None:
    # New York goes from 02:00 EDT back to 01:00 EST on 1 November 2026: 01:30 comes twice.
    quiet = Quiet(time(22), time(1, 30))
    evening = at("2026-10-31T23:00-04:00")
    end = rules.quiet_until(quiet, NEW_YORK, evening)
    assert end == at("2026-11-01T01:30-05:00")
    assert end is not None
    assert rules.quiet_until(quiet, NEW_YORK, at("2026-11-01T01:10-05:00")) == end, "the hour is quiet the second time too"
    assert rules.quiet_until(quiet, NEW_YORK, end) is None


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.times(timezones=st.none()),
    st.times(timezones=st.none()),
    st.integers(0, 2 * 366 * 24 * 60).map(lambda n: at("2026-01-01T00:00+00:00") + timedelta(minutes=n)),
    st.sampled_from([LONDON, NEW_YORK, KARACHI, ZoneInfo("Australia/Lord_Howe")]),
)
def test_after_quiet_hours_it_is_not_quiet_and_the_wait_is_short(start: time, end: time, now: datetime, tz: ZoneInfo) -> None:
    quiet = Quiet(start.replace(microsecond=0, second=0), end.replace(microsecond=0, second=0))
    over = rules.quiet_until(quiet, tz, now)
    if over is not None:
        assert now < over <= now + timedelta(hours=26)
        always = quiet.start == quiet.end
        assert always or rules.quiet_until(quiet, tz, over) is None


def test_who_is_quiet_gets_the_inbox_at_once_and_the_rest_in_the_morning() -> None:
    now, morning = at("2026-11-21T23:00+05:00"), at("2026-11-22T07:00+05:00")
    assert rules.send_at(CONFIRMED, Channel.EMAIL, NIGHT, KARACHI, now) == morning
    assert rules.send_at(CONFIRMED, Channel.IN_APP, NIGHT, KARACHI, now) == now
    assert rules.send_at(SECURITY, Channel.EMAIL, NIGHT, KARACHI, now) == now, "what is critical always passes"
    assert rules.send_at(CONFIRMED, Channel.EMAIL, None, KARACHI, now) == now
    assert rules.send_at(CONFIRMED, Channel.EMAIL, NIGHT, KARACHI, morning) == morning


def test_chosen_channels_are_used_and_security_cannot_be_switched_off() -> None:
    assert rules.wanted(CONFIRMED, {Topic.BOOKINGS: frozenset({Channel.SMS})}) == [Channel.SMS]
    assert Channel.EMAIL in rules.wanted(CONFIRMED, {})
    assert Channel.SMS not in rules.wanted(CONFIRMED, {}), "nobody gets texts unasked"
    assert rules.wanted(REMINDER, {Topic.REMINDERS: frozenset({Channel.EMAIL})}) == [], "two hours before, a mail is too slow"
    security = rules.wanted(SECURITY, {Topic.SECURITY: frozenset({Channel.SMS})})
    assert set(security) == {Channel.IN_APP, Channel.EMAIL, Channel.SMS, Channel.WEB_PUSH}


def test_only_what_can_wait_waits_for_a_digest() -> None:
    assert rules.in_digest(DUE, Digest.DAILY)
    assert not rules.in_digest(DUE, Digest.OFF)
    assert not rules.in_digest(DUE, Digest.NEVER)
    assert not rules.in_digest(CONFIRMED, Digest.WEEKLY)
    assert not rules.in_digest(SECURITY, Digest.DAILY)


def test_who_wants_no_mails_that_can_wait_gets_none_of_them_and_the_others() -> None:
    joined, confirmed = rules.KINDS["staff.joined"], rules.KINDS["booking.confirmed"]
    assert rules.wanted(joined, {}, Digest.NEVER) == [Channel.IN_APP]
    assert rules.wanted(joined, {}, Digest.OFF) == rules.wanted(joined, {}, Digest.DAILY) == [Channel.IN_APP, Channel.EMAIL]
    for kind in (confirmed, SECURITY, rules.KINDS["booking.approval_waits"]):
        assert Channel.EMAIL in rules.wanted(kind, {}, Digest.NEVER), "what cannot wait"


def test_digests_come_at_eight_on_the_persons_clock() -> None:
    friday = at("2026-11-20T09:00+05:00")
    assert rules.next_digest(Digest.DAILY, KARACHI, friday) == at("2026-11-21T08:00+05:00")
    assert rules.next_digest(Digest.DAILY, KARACHI, at("2026-11-20T07:59+05:00")) == at("2026-11-20T08:00+05:00")
    assert rules.next_digest(Digest.WEEKLY, KARACHI, friday) == at("2026-11-23T08:00+05:00")
    assert rules.next_digest(Digest.WEEKLY, LONDON, at("2026-03-23T08:00+00:00")) == at("2026-03-30T08:00+01:00"), (
        "over the change"
    )


def test_five_tries_with_growing_pauses_that_spread() -> None:
    pauses = [rules.pause_after(n, 0) for n in range(1, 6)]
    assert [p and p.total_seconds() for p in pauses] == [10, 60, 360, 2160, None]
    assert rules.pause_after(1, 0.999) > rules.pause_after(1, 0)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("was", "said", "after"),
    [
        ("sent", "delivered", "delivered"),
        ("opened", "delivered", "opened"),
        ("queued", "opened", "opened"),
        ("sent", "failed", "failed"),
        ("queued", "failed", "failed"),
        ("delivered", "failed", "delivered"),
        ("failed", "delivered", "delivered"),
        ("failed", "sent", "failed"),
        ("failed", "failed", "failed"),
    ],
)
def test_callbacks_in_any_order_end_with_what_is_furthest(was: str, said: str, after: str) -> None:
    assert rules.heard(DeliveryStatus(was), DeliveryStatus(said)) is DeliveryStatus(after)


def test_every_kind_has_words_and_samples_in_every_language() -> None:
    assert set(wording.SAMPLES) == set(KINDS)
    for name, kind in KINDS.items():
        for channel in kind.channels:
            for locale in wording.LOCALES:
                words = wording.shipped(name, channel, locale)
                around = wording.Surround(locale, "Baradari", "https://b.example.org/x", "https://b.example.org/u")
                content = wording.compose(channel, words, wording.SAMPLES[name], around)
                assert content.subject
                assert content.text
                assert bool(content.html) is (channel is Channel.EMAIL)
                assert locale != "ur" or not content.html or 'dir="rtl"' in content.html
