from __future__ import annotations

import pytest

from forecourt.kernel.errors import TooManyRequests
from forecourt.kernel.ids import new_id
from forecourt.kernel.limits import Limiter, counted_as
from forecourt.kernel.metrics import Metrics


async def test_a_limit_is_shared_by_processes_and_separate_by_name(valkey_url: str) -> None:
    one, other, who = Limiter(valkey_url, Metrics()), Limiter(valkey_url, Metrics()), new_id()
    left = await one.hit("3/hour", "login", who)
    assert (left.limit, left.remaining) == (3, 2)
    await other.hit("3/hour", "login", who)
    await one.hit("3/hour", "login", who)
    with pytest.raises(TooManyRequests) as refused:
        await other.hit("3/hour", "login", who)
    assert refused.value.retry_after_s >= 1 and refused.value.headers["RateLimit"].startswith("limit=3, remaining=0, reset=")
    await other.hit("3/hour", "login", new_id())
    await one.close()
    await other.close()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::FFFF:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:a:b:c:d", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_counts_with_its_neighbours_that_are_the_same_client(address: str, counted: str) -> None:
    assert counted_as(address) == counted


async def test_without_valkey_a_process_still_counts() -> None:
    metrics = Metrics()
    limiter = Limiter("unix:///nowhere/valkey.sock", metrics)
    await limiter.hit("2/hour", "a")
    await limiter.hit("2/hour", "a")
    with pytest.raises(TooManyRequests):
        await limiter.hit("2/hour", "a")
    assert b"valkey_failures_total 1.0" in metrics.render()
    await limiter.close()
