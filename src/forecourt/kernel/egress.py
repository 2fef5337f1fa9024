"""Requests to addresses that strangers name. The name is resolved once, every address it has is judged, and the connection goes
to the address that was judged: a name that answers differently a moment later gains nothing. What is posted is not redirected;
what is read may be, a few times, and every address on the way is judged like the first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx
from msgspec import Struct

from forecourt.kernel.errors import AddressRefused

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_URL = 2_000
RESOLVE_S = 5.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")
"""Deprecated (RFC 3879), and still somebody's inside."""
_LOCAL_NAME = re.compile(r"(^|\.)(localhost|local|internal|intranet|lan|home|corp|home\.arpa|localdomain)\.?$", re.IGNORECASE)
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_HOST = re.compile(r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?$", re.IGNORECASE)


class Refused(Exception):
    """It will never be taken there: the address is wrong, gone, or not reached from here. Its text is safe to show to staff."""


class NotTaken(Exception):
    """It is not taken there now. Its text is safe to show to staff: no address, no secret."""


class Fetched(Struct, frozen=True):
    """What stands at an address, after redirects."""

    url: str
    status: int
    type: str
    """The media type, lower case, without parameters."""
    charset: str
    body: bytes
    """The first of it, as much as was asked for; empty for another media type than was asked for."""


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
            follow_redirects=False,
            timeout=timeout_s,
            trust_env=False,
            # Hosts are asked by address, and many share one: a connection kept open, and a cookie, would be used for another
            # host than the one whose certificate was judged, and who gave it.
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=0),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        )

    async def close(self) -> None:
        await self._client.aclose()

    def may_reach(self, address: Address) -> bool:
        """Public unicast addresses, and those of the named networks."""
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        return all(a.is_global and not a.is_multicast and not a.is_reserved and a not in _SITE_LOCAL for a in inner(address))

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

    async def get(
        self, url: str, headers: Mapping[str, str], *, types: frozenset[str], max_bytes: int, redirects: int = 0
    ) -> Fetched:
        """What stands at `url`, of one of the media `types`. All of it together takes no longer than one answer may.

        Raises Refused for an address, also one on the way, that is not reached from here; NotTaken when nobody answers in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(redirects + 1):
                    found = await self._get(url, headers, types, max_bytes)
                    if isinstance(found, Fetched):
                        return found
                    url = found
        except (httpx.HTTPError, OSError, TimeoutError) as e:
            raise NotTaken(f"nobody answered ({type(e).__name__})") from None
        raise NotTaken("it leads on and on")

    async def _get(self, url: str, headers: Mapping[str, str], types: frozenset[str], max_bytes: int) -> Fetched | str:
        """One answer, or where it leads."""
        answer = await self._client.send(await self._request("GET", url, None, headers), stream=True)
        try:
            kind, _, parameters = answer.headers.get("content-type", "").partition(";")
            kind, charset = kind.strip().lower(), _CHARSET.search(parameters)
            if answer.has_redirect_location:
                return urljoin(url, answer.headers["location"]).partition("#")[0]
            body = b""
            if kind in types and answer.headers.get("content-encoding", "identity") == "identity":
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) >= max_bytes:
                        break
        finally:
            await answer.aclose()
        return Fetched(url, answer.status_code, kind, charset[1] if charset else "", body[:max_bytes])

    async def _request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> httpx.Request:
        """To the one address that was judged, by number. Raises Refused, NotTaken."""
        try:
            parts = self.check(url)
        except AddressRefused as e:
            raise Refused(f"the address {e.detail}") from None
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self.pin(host, port)
        there = f"[{address}]" if ":" in address else address
        return self._client.build_request(
            method,
            f"{parts.scheme}://{there}:{port}{parts.path or '/'}{'?' + parts.query if parts.query else ''}",
            content=body,
            headers={**headers, "Host": parts.netloc, "Accept-Encoding": "identity"},
            extensions={"sni_hostname": host},
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises Refused for an address that is not reached from here, NotTaken when nobody answers in time."""
        request = await self._request("POST", url, body, headers)
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
