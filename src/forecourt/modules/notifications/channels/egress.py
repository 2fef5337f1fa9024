"""Requests to addresses that strangers name. The name is resolved once, every address it has is judged, and the connection goes
to the address that was judged: a name that answers differently a moment later gains nothing. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

import httpx
from msgspec import Struct

from forecourt.modules.notifications.channels import NotTaken, Refused
from forecourt.modules.notifications.contract import AddressRefused

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_URL = 2_000
RESOLVE_S = 5.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAME = re.compile(r"(^|\.)(localhost|local|internal|intranet|lan|home|corp|home\.arpa|localdomain)\.?$", re.IGNORECASE)
_HOST = re.compile(r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?$", re.IGNORECASE)


class Answer(Struct, frozen=True):
    status: int
    body: bytes
    """At most MAX_ANSWER_BYTES of it."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def inner(address: Address) -> list[Address]:
    """The address, and the IPv4 address that some IPv6 addresses carry: mapped, 6to4, Teredo, NAT64."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found += address.teredo
        if address in _NAT64:
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


class Egress:
    """`networks` are those that may be reached although they are not public: for installations that mean it, and for tests."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        plain_http: bool = False,
        resolver: Resolver = resolve,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._networks = networks
        self._plain_http = plain_http
        self._resolve = resolver
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            follow_redirects=False, timeout=timeout_s, trust_env=False, limits=httpx.Limits(max_connections=50)
        )

    async def close(self) -> None:
        await self._client.aclose()

    def may_reach(self, address: Address) -> bool:
        """Public unicast addresses, and those of the named networks."""
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        return all(a.is_global and not a.is_multicast and not a.is_reserved for a in inner(address))

    def check(self, url: str, field: str = "url") -> SplitResult:
        """What can be said of an address before it is asked for. Raises AddressRefused at `field`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise AddressRefused.field(field, "is no address") from None
        host = parts.hostname or ""
        if len(url) > MAX_URL or any(c <= " " or c in "\x7f\\" for c in url) or not url.isascii():
            raise AddressRefused.field(field, "is no address")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._plain_http):
            raise AddressRefused.field(field, "must start with https://")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise AddressRefused.field(field, "must hold no name, password or fragment")
        if port == 0:
            raise AddressRefused.field(field, "has no such port")
        literal = literal_address(host)
        if literal is not None:
            if not self.may_reach(literal):
                raise AddressRefused.field(field, "lies in a network that is not reached from here")
        elif not _HOST.match(host) or "." not in host.rstrip(".") or _LOCAL_NAME.search(host):
            raise AddressRefused.field(field, "must name a host of the public internet")
        return parts

    async def pin(self, host: str, port: int) -> str:
        """The one address to connect to. Raises Refused when any of the name's may not be reached, NotTaken without one."""
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await self._resolve(host, port)
        except (OSError, TimeoutError, UnicodeError):
            raise NotTaken("the name is not known") from None
        try:
            addresses = [ipaddress.ip_address(text.split("%", 1)[0]) for text in found]
        except ValueError:
            raise Refused("the name leads nowhere") from None
        if not addresses:
            raise NotTaken("the name is not known")
        if not all(self.may_reach(a) for a in addresses):
            raise Refused("the name leads into a network that is not reached from here")
        return str(addresses[0])

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises Refused for an address that is not reached from here, NotTaken when nobody answers in time."""
        try:
            parts = self.check(url)
        except AddressRefused as e:
            raise Refused(f"the address {e.detail}") from None
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self.pin(host, port)
        there = f"[{address}]" if ":" in address else address
        target = f"{parts.scheme}://{there}:{port}{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        request = self._client.build_request(
            "POST",
            target,
            content=body,
            headers={**headers, "Host": parts.netloc, "Accept-Encoding": "identity"},
            extensions={"sni_hostname": host},
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.send(request, stream=True)
                try:
                    taken = b""
                    async for chunk in answer.aiter_raw():
                        taken += chunk
                        if len(taken) >= MAX_ANSWER_BYTES:
                            break
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, OSError, TimeoutError) as e:
            raise NotTaken(f"nobody answered ({type(e).__name__})") from None
        return Answer(answer.status_code, taken[:MAX_ANSWER_BYTES])


def literal_address(host: str) -> Address | None:
    """The address that a host *is*, in whatever form a resolver would take: dotted, decimal, octal, hexadecimal, IPv6."""
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
