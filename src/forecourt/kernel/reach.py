"""Where and when a right counts: networks of the client, and hours of the week on a local clock (ID-7, ID-10). Pure.

A `Reach` is what is stored and sent; `Bounds` is the same, made ready to judge a request with.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta, Struct, field

from forecourt.kernel.errors import FieldError

MAX_NETWORKS = 20
MAX_WINDOWS = 20
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By `datetime.weekday()`: 0 is Monday."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Cidr = Annotated[str, Meta(min_length=2, max_length=43, description="A network: 192.0.2.0/24, 2001:db8::/32")]
FromTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", min_length=5, max_length=5)]
UntilTime = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", min_length=5, max_length=5)]


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """From `start` until just before `end` by the clock on the wall; an end before the start is the next morning's."""

    days: Annotated[list[Day], Meta(min_length=1, max_length=7, description="Days on which the window starts")]
    start: FromTime
    end: UntilTime


class Reach(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a right. Without networks it counts from anywhere, without hours at any time."""

    networks: Annotated[list[Cidr], Meta(max_length=MAX_NETWORKS)] = field(default_factory=list[str])
    hours: Annotated[list[Window], Meta(max_length=MAX_WINDOWS)] = field(default_factory=list[Window])
    time_zone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone of the hours")] = "UTC"

    @property
    def limited(self) -> bool:
        return bool(self.networks or self.hours)


ANYWHERE = Reach()


def faults(reach: Reach, path: str) -> list[FieldError]:
    """What is wrong with a reach that came in, by place."""
    found: list[FieldError] = []
    for i, text in enumerate(reach.networks):
        said = _fault_of_network(text)
        if said:
            found.append(FieldError(f"{path}.networks[{i}]", said))
    for i, window in enumerate(reach.hours):
        if window.start == window.end:
            found.append(FieldError(f"{path}.hours[{i}].end", "is when the window starts; a whole day is 00:00 to 24:00"))
    if reach.time_zone not in _zones():
        found.append(FieldError(f"{path}.time_zone", "is not an IANA time zone, such as Europe/London"))
    return found


class Bounds:
    """A reach made ready."""

    __slots__ = ("_networks", "_windows", "_zone")

    def __init__(self, reach: Reach) -> None:
        self._networks = [ip_network(text) for text in reach.networks]
        self._windows = [(frozenset(map(DAYS.index, w.days)), _minute(w.start), _minute(w.end)) for w in reach.hours]
        self._zone = ZoneInfo(reach.time_zone)

    def admit(self, address: str, now: datetime) -> bool:
        """Whether a request from `address` at `now` lies within. An address that cannot be read lies in no network."""
        return self._from_here(address) and self._at_this_hour(now)

    def _from_here(self, address: str) -> bool:
        if not self._networks:
            return True
        ip = _read_address(address)
        return ip is not None and any(ip in network for network in self._networks)

    def _at_this_hour(self, now: datetime) -> bool:
        if not self._windows:
            return True
        local = now.astimezone(self._zone)
        today, yesterday = local.weekday(), (local - timedelta(days=1)).weekday()
        minute = local.hour * 60 + local.minute
        for days, start, end in self._windows:
            if start < end:
                if today in days and start <= minute < end:
                    return True
            elif (today in days and minute >= start) or (yesterday in days and minute < end):
                return True
        return False


def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _fault_of_network(text: str) -> str:
    """Why `text` is not a network that a client can be in; empty when it is one."""
    try:
        network: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError:
        return "is not a network, such as 192.0.2.0/24 or 2001:db8::/32"
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        return "is IPv4 written as IPv6; write it as IPv4"
    if network.network_address != ip_address(text.partition("/")[0]):
        return f"names an address inside a network; the network is {network}"
    return ""


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


__all__ = ["ANYWHERE", "Bounds", "Reach", "Window", "faults"]
