"""What a gateway is told: where people come, which service serves which modules, at which addresses, in which versions.

    plan = Plan(
        listen=("0.0.0.0:8080",),
        services=(
            Service("guests", ("identity", "people"), {"v1": ("http://10.0.0.5:8000",)}),
            Service("courts", ("booking", "payments"), {"v1": ("http://10.0.0.6:8000",), "v2": ("http://10.0.0.7:8000",)}),
            Service("rest", (), {"v1": ("http://10.0.0.8:8000",)}),
        ),
    )

`Plan.read` takes the same from a file (TOML); `Plan.of_peers` from `FORECOURT_PEERS`. Both raise SettingsError with every fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from forecourt.kernel.settings import SettingsError
from forecourt.layout import module_names

MIB = 1024 * 1024
SOCKETS = "realtime"
"""What FORECOURT_PEERS calls the process that has the sockets. It is no module."""
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,40}$")
_VERSION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")
_HOST = re.compile(r"^[A-Za-z0-9.:_-]{1,253}$")
_ROUTE = re.compile(r"^(/[A-Za-z0-9._~-]+)+/?$")
_ORIGIN = re.compile(r"^https?://[A-Za-z0-9.:\[\]_-]{1,253}$")


class Service(msgspec.Struct, frozen=True):
    """Processes that serve the same modules, in one version or several."""

    name: str
    modules: tuple[str, ...]
    """Empty: all that no other service serves; for a service of `sockets`, nothing but them."""
    versions: dict[str, tuple[str, ...]]
    """Version → addresses, `http://host:port`. The first version gets every request, unless `weights` say otherwise."""
    weights: dict[str, int] = {}
    """Version → percent of the requests. 100 in all; a version that is not named gets none."""
    sockets: bool = False
    """WebSockets go here. Without such a service they go where everything unclaimed goes."""

    @property
    def takes_the_rest(self) -> bool:
        return not self.modules and not self.sockets

    @property
    def shares(self) -> dict[str, int]:
        """Percent of every version."""
        if not self.weights:
            return {version: 0 if place else 100 for place, version in enumerate(self.versions)}
        return {version: self.weights.get(version, 0) for version in self.versions}


ROUTES = {"/v1/auth": 100, "/sign-in": 100, "/sign-up": 100, "/v1/venues/suggest": 200, "/v1/chat/search": 100}
"""What guessers try and what costs most. The operations have limits of their own, beyond these: a flood is to end at the door."""
MAX_ROUTES = 50
MAX_ROUTE_CHARS = 100
MAX_ROUTE_REQUESTS = 1_000_000_000
"""A count bears the client's address, this number and the path. HAProxy cuts a longer name, and two paths would share one."""


def _routes() -> dict[str, int]:
    return dict(ROUTES)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one address, account and organisation may ask, and how large and how slow a request may be."""

    window_s: int = 10
    requests_per_address: int = 1000
    """In a window. Many people may share an address."""
    connections_per_address: int = 2000
    """At once, of any kind; not of `trusted_proxies`. One that asks nothing takes the place of one that would."""
    requests_per_account: int = 300
    """In a window, by access token's account or by API key."""
    requests_per_organisation: int = 3000
    """In a window, of an organisation's staff and API keys together: what services answered to those they let in. Then whoever
    shows a token, a key or a session waits, at that organisation's paths; what strangers send counts for nobody."""
    routes: dict[str, int] = msgspec.field(default_factory=_routes)
    """Beginning of a path → requests in a window from one address. The longest beginning counts."""
    max_body_bytes: int = 128 * MIB
    """Of a declared length. What an operation takes is judged by its service, which also counts what declares no length."""
    header_s: int = 5
    """Until a request's head is there."""
    idle_s: int = 30
    """A client in the middle of a request may be silent for so long."""
    answer_s: int = 30
    """A service may take so long to answer, and be silent for so long in the middle of an answer."""
    socket_idle_s: int = 120
    """A WebSocket without a frame in either direction is closed. Ours ping every 25 s."""
    max_connections: int = 10_000


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a server counts as down, and as up again."""

    every_ms: int = 2000
    """Between two questions to /readyz."""
    down_after: int = 2
    """Failed questions in a row."""
    errors_in_a_row: int = 20
    """So many answers of 500 and above (or none) in a row end a server's turn at once, until /readyz answers. Not the turn of the
    only server of its service."""
    withdrawn_after: int = 10
    """So many failures (500 and above, or no answer) within a minute end a version's turn, when they are more than
    `withdrawn_percent` and more than three times the rate of its service's main version."""
    withdrawn_percent: int = 5
    """Of a version's answers."""
    retries: int = 2
    """Of a connection that could not be made, and of a read (GET, HEAD, OPTIONS) that got no answer."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's whole set-up. Made by hand, it is checked by `faults`."""

    services: tuple[Service, ...]
    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    """Where people come: `host:port`, `:port` or `[address]:port`."""
    certificate: Path | None = None
    """A PEM file with certificate, chain and key: `listen` speaks TLS."""
    redirect: tuple[str, ...] = ()
    """Addresses without TLS that send people to https."""
    public_port: int = 0
    """Where `redirect` sends people, when another port than `listen` is known to them; 0: to the first of `listen`."""
    internal: str = "127.0.0.1:9101"
    """/metrics, /livez and /readyz of the gateway itself: not for people."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks in front of this gateway whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    cors_origins: tuple[str, ...] = ()
    """Origins that may read what the gateway itself answers. The services decide about their own answers."""
    continue_traces: bool = True
    """A well-formed `traceparent` of a client is continued; otherwise every trace begins here."""
    threads: int = 0
    """0: one for each core."""
    limits: Limits = Limits()
    health: Health = Health()

    @classmethod
    def read(cls, path: Path, modules: Sequence[str] | None = None) -> Plan:
        """The plan in a TOML file. Raises SettingsError."""
        try:
            file = msgspec.toml.decode(path.read_bytes(), type=_File)
        except OSError as e:
            raise SettingsError([f"{path} cannot be read ({e.strerror})"]) from None
        except UnicodeDecodeError:
            raise SettingsError([f"{path} is no text: a plan is written in TOML"]) from None
        except msgspec.DecodeError as e:
            raise SettingsError([f"{path}: {e}"]) from None
        return file.plan(path.parent).checked(modules)

    @classmethod
    def of_peers(cls, peers: Mapping[str, Sequence[str]], modules: Sequence[str] | None = None) -> Plan:
        """A service for each address (or group of them) of `FORECOURT_PEERS`, named for its first module; what is called
        `realtime` there has the sockets. Raises SettingsError."""
        homes: dict[tuple[str, ...], list[str]] = {}
        for module, urls in peers.items():
            homes.setdefault(tuple(urls), []).append(module)
        services = tuple(
            Service(at[0], tuple(m for m in at if m != SOCKETS), {"v1": urls}, sockets=SOCKETS in at)
            for urls, at in homes.items()
        )
        return cls(services=services).checked(modules)

    def checked(self, modules: Sequence[str] | None = None) -> Plan:
        """This plan. Raises SettingsError with every fault."""
        found = list(self.faults(module_names() if modules is None else modules))
        if found:
            raise SettingsError(found)
        return self

    def home_of(self, module: str) -> Service:
        """The service that serves a module; where everything unclaimed goes for what is in none."""
        return next((s for s in self.services if module in s.modules), self.rest)

    @property
    def rest(self) -> Service:
        """Answers what no other service claims, and first of all what belongs to no module: static files, the reference."""
        without = next((s for s in self.services if s.takes_the_rest), None)
        return without or next((s for s in self.services if s.modules), self.services[0])

    @property
    def alike(self) -> list[Service]:
        """Who can answer what belongs to no module, in the order in which they are asked to."""
        return [self.rest, *(s for s in self.services if s.modules and s is not self.rest)]

    @property
    def divided(self) -> bool:
        """Whether its modules are in several services: the house is split, and each process asks who comes."""
        return len(self.alike) > 1

    @property
    def sockets(self) -> Service:
        return next((s for s in self.services if s.sockets), self.rest)

    @property
    def networks(self) -> list[str]:
        return [str(ip_network(n, strict=False)) for n in self.trusted_proxies]

    def faults(self, modules: Sequence[str]) -> Iterator[str]:
        """What is wrong with the plan, in plain words."""
        if not self.services:
            yield "There is no service: name at least one, with its addresses"
            return
        yield from _service_faults(self.services)
        yield from self._module_faults(modules)
        for what, addresses in (("listen", self.listen), ("redirect", self.redirect), ("internal", (self.internal,))):
            yield from (f"{what}: {a!r} is not an address such as 0.0.0.0:8080" for a in addresses if endpoint(a) is None)
        if not self.listen:
            yield "listen is empty: say where people come, such as 0.0.0.0:8080"
        if self.certificate is not None and not self.certificate.is_file():
            yield f"certificate: {self.certificate} is not there"
        if self.redirect and self.certificate is None:
            yield "redirect sends people to https, which needs a certificate"
        if not 0 <= self.public_port < 65536:
            yield f"public_port is {self.public_port}: give the port that people know, such as 443"
        yield from (
            f"trusted_proxies: {n!r} is not a network such as 10.0.0.0/8" for n in self.trusted_proxies if not _network(n)
        )
        yield from (
            f"cors_origins: {o!r} is not an origin such as https://app.example.org"
            for o in self.cors_origins
            if not _ORIGIN.match(o)
        )
        for group in (self.limits, self.health):
            for name, value in msgspec.structs.asdict(group).items():
                if isinstance(value, int) and value < (0 if name == "retries" else 1):
                    yield f"{name} is {value}: give a whole number above 0"
        yield from _route_faults(self.limits.routes)

    def _module_faults(self, modules: Sequence[str]) -> Iterator[str]:
        homes: dict[str, list[str]] = {module: [] for module in modules}
        for service in self.services:
            for module in service.modules:
                if module in homes:
                    homes[module].append(service.name)
                else:
                    yield f"services.{service.name}: there is no module {module!r}"
        for module, found in homes.items():
            if len(found) > 1:
                yield f"{module} is served by {' and '.join(found)}: a module has one service, with as many servers as it needs"
        rest = [service.name for service in self.services if service.takes_the_rest]
        if len(rest) > 1:
            yield f"{' and '.join(rest)} name no modules: only one service can serve all the rest"
        alone = [module for module, found in homes.items() if not found]
        if alone and not rest:
            yield f"No service serves {', '.join(alone)}"


def _route_faults(routes: Mapping[str, int]) -> Iterator[str]:
    if len(routes) > MAX_ROUTES:
        yield f"limits.routes names {len(routes)} paths: at most {MAX_ROUTES} have limits of their own"
    for route, requests in routes.items():
        if not _ROUTE.match(route):
            yield f"limits.routes: {route!r} is not the beginning of a path such as /v1/auth"
        if len(route.rstrip("/")) > MAX_ROUTE_CHARS:
            yield f"limits.routes: {route!r} has {len(route)} characters: at most {MAX_ROUTE_CHARS} are counted by"
        if requests < 1:
            yield f"limits.routes: {route} is {requests}: give a whole number above 0"
        if requests > MAX_ROUTE_REQUESTS:
            yield f"limits.routes: {route} is {requests}: give at most {MAX_ROUTE_REQUESTS}"
    plain = [route.rstrip("/") for route in routes]
    yield from (f"limits.routes names {route} twice" for route in dict.fromkeys(plain) if plain.count(route) > 1)


def _service_faults(services: Sequence[Service]) -> Iterator[str]:
    names = [service.name for service in services]
    yield from (f"There are two services named {name}" for name in dict.fromkeys(names) if names.count(name) > 1)
    if sum(service.sockets for service in services) > 1:
        yield "Only one service can have the sockets"
    for service in services:
        where = f"services.{service.name}"
        if not _NAME.match(service.name):
            yield f"{where} is not a name of lower-case letters, digits, - and _"
        if not service.versions:
            yield f'{where} has no versions: write versions.v1 = ["http://host:port"]'
        for version, addresses in service.versions.items():
            if not _VERSION.match(version):
                yield f"{where}: {version!r} is not a version's name such as v2"
            if not addresses:
                yield f"{where}: version {version} has no addresses"
            yield from (f"{where}: {a!r} is not an address such as http://10.0.0.5:8000" for a in addresses if not _served(a))
        yield from (f"{where}: weights name {v}, which is no version" for v in service.weights if v not in service.versions)
        if service.weights and (sum(service.weights.values()) != 100 or min(service.weights.values()) < 0):
            yield f"{where}: weights are percentages and add up to 100, not {sum(service.weights.values())}"


class Endpoint(msgspec.Struct, frozen=True):
    """A place on the network."""

    host: str
    port: int

    @property
    def numeric(self) -> bool:
        """Not a name that has to be looked up."""
        return _network(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint(address: str) -> Endpoint | None:
    """`host:port`, `:port` (every address) or `[address]:port`; None for anything else."""
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or "0.0.0.0"  # noqa: S104 - an address without a host is every address
    plain = not (parts.path or parts.query or parts.fragment or parts.username)
    return Endpoint(host, port) if port and plain and _HOST.match(host) else None


def server_at(url: str) -> Endpoint:
    """Where a checked address of a service leads."""
    parts = urlsplit(url)
    return Endpoint(parts.hostname or "", parts.port or 80)


def _served(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        return False
    return (
        parts.scheme == "http"
        and parts.path in ("", "/")
        and not parts.query
        and bool(_HOST.match(parts.hostname or ""))
        and port > 0
    )


def _network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


class _ServiceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    versions: dict[str, list[str]]
    modules: list[str] = []
    weights: dict[str, int] = {}
    sockets: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as written; one address may stand without a list."""

    services: dict[str, _ServiceTable]
    listen: str | list[str] = "127.0.0.1:8080"
    certificate: str | None = None
    redirect: str | list[str] = []
    public_port: int = 0
    internal: str = "127.0.0.1:9101"
    trusted_proxies: list[str] = []
    cors_origins: list[str] = []
    continue_traces: bool = True
    threads: int = 0
    limits: Limits = Limits()
    health: Health = Health()

    def plan(self, folder: Path) -> Plan:
        """Paths are relative to the file's folder."""
        return Plan(
            services=tuple(_service(name, table) for name, table in self.services.items()),
            listen=_several(self.listen),
            certificate=None if self.certificate is None else folder / self.certificate,
            redirect=_several(self.redirect),
            public_port=self.public_port,
            internal=self.internal,
            trusted_proxies=tuple(self.trusted_proxies),
            cors_origins=tuple(self.cors_origins),
            continue_traces=self.continue_traces,
            threads=self.threads,
            limits=self.limits,
            health=self.health,
        )


def _service(name: str, table: _ServiceTable) -> Service:
    versions = {version: tuple(addresses) for version, addresses in table.versions.items()}
    return Service(name, tuple(table.modules), versions, table.weights, table.sockets)


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
