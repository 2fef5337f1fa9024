"""Settings: one frozen struct per concern, read once from the environment.

    settings = Settings.read(os.environ)

Every fault is found before any is reported, in plain words (SettingsError). A secret comes from `NAME`, from the file that
`NAME_FILE` names, or, outside production, from `<data>/secrets/`, where it is made once. Production starts with neither a
missing secret nor a well-known one.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

MIN_SECRET_CHARS = 32
_WELL_KNOWN = re.compile(
    r"change.?me|secret.?key|default|example|password|insecure|placeholder|your.?secret|forecourt|0123456789", re.IGNORECASE
)
_WEAK_PASSWORDS = frozenset({"", "postgres", "password", "forecourt", "changeme", "change-me", "secret", "admin", "root"})
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")
_KEY_ID = re.compile(r"^[A-Za-z0-9_.-]{1,40}$")
_ASSETS_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*")
"""Nothing that would mean something in a policy's list of sources."""
_HOST = re.compile(r"(\[[0-9A-Za-z:.%]+\]|[^\[\]:]*)(?::([0-9]{0,5}))?")
_SHOWABLE = re.compile(r"[!-~]+")
"""What a header's value may be."""


class SettingsError(Exception):
    """The settings do not let the program start. `faults` says all of what is wrong, each with its name and a remedy."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("These settings need attention:\n" + "\n".join(f"  - {fault}" for fault in faults))


class Env(StrEnum):
    DEV = "dev"
    TEST = "test"
    PRODUCTION = "production"


class Secret:
    """Text that does not show itself in a log, a traceback or a repr."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._text))


class HttpSettings(msgspec.Struct, frozen=True):
    host: str
    port: int
    public_url: str
    """Where people reach the house, without a slash at the end."""
    assets_url: str
    """Where browsers get stylesheets, scripts, fonts and drawings from, without a slash at the end; empty: from the house."""
    trusted_proxies: tuple[str, ...]
    """Networks whose `X-Forwarded-For` is believed."""
    cors_origins: tuple[str, ...]
    max_body_bytes: int
    drain_s: int
    """How long a server that is told to stop goes on answering, while `/readyz` already says that it leaves."""


class DatabaseSettings(msgspec.Struct, frozen=True):
    url: Secret | None
    """None: the program runs its own PostgreSQL under the data directory."""
    admin_url: Secret | None
    """The owner of the schema, for migrations; None: `url`."""
    replica_url: Secret | None
    pool_size: int


class ValkeySettings(msgspec.Struct, frozen=True):
    url: Secret | None
    """None: the program runs its own Valkey under the data directory."""


class ContractKey(msgspec.Struct, frozen=True):
    """A key that signs calls between processes. The first of a list signs; all of them verify."""

    id: str
    secret: Secret


class SecretSettings(msgspec.Struct, frozen=True):
    secret_key: Secret
    """Seals cookies and links."""
    contract_keys: tuple[ContractKey, ...]
    gateway_keys: tuple[Secret, ...]
    """What a gateway may show to be let in: it shows its first, and all are good. Without any, whoever comes is let in."""


class MailSettings(msgspec.Struct, frozen=True):
    smtp_url: Secret | None
    """`smtp[s]://user:password@host:port`; None: mail goes to the outbox at `/dev/outbox`, outside production only."""
    sender: str


class ChannelSettings(msgspec.Struct, frozen=True):
    """The house's own gateways, for organisations without their own. Each list is tried in its order."""

    sms: tuple[Secret, ...]
    """Apprise addresses in which `{to}` stands for the recipient's number."""
    whatsapp: tuple[Secret, ...]
    push: tuple[Secret, ...]
    networks: tuple[str, ...]
    """Networks that webhooks, web pushes and organisations' mail servers may reach although they are not public."""


class MediaSettings(msgspec.Struct, frozen=True):
    url: str | None
    """`s3://bucket/prefix`; None: the folder `media` of the data directory."""
    account_bytes: int
    """What one person's files may take, variants included."""
    organisation_bytes: int


class LogSettings(msgspec.Struct, frozen=True):
    level: str


class TelemetrySettings(msgspec.Struct, frozen=True):
    endpoint: str | None
    """OTLP over HTTP; None: nothing is exported."""


SILENT = frozenset({"realtime", "worker"})
"""Names of processes that are no module's: they answer no calls, so nobody needs a key for them."""


class TopologySettings(msgspec.Struct, frozen=True):
    modules: tuple[str, ...]
    """Modules that live in this process; empty means all."""
    peers: dict[str, tuple[str, ...]]
    """Where the other modules live: name → base URLs, one for each process that serves it."""

    @property
    def called(self) -> dict[str, tuple[str, ...]]:
        """The peers that answer calls. The others are there to be asked how they are."""
        return {name: urls for name, urls in self.peers.items() if name not in SILENT}

    @property
    def split(self) -> bool:
        return bool(self.modules or self.called)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    env: Env
    data: Path
    """Where the program keeps its files: embedded engines, media, generated secrets."""
    http: HttpSettings
    database: DatabaseSettings
    valkey: ValkeySettings
    secrets: SecretSettings
    mail: MailSettings
    channels: ChannelSettings
    media: MediaSettings
    log: LogSettings
    telemetry: TelemetrySettings
    topology: TopologySettings

    @property
    def production(self) -> bool:
        return self.env is Env.PRODUCTION

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in `environ`. Raises SettingsError with every fault."""
        e = Environment(environ)
        topology = _topology(e)
        settings = cls(
            env=e.env,
            data=e.data,
            http=_http(e),
            database=_database(e),
            valkey=ValkeySettings(e.address("VALKEY_URL", ("valkey", "valkeys", "redis", "rediss", "unix"))),
            secrets=SecretSettings(
                e.secret("FORECOURT_SECRET_KEY"), _contract_keys(e, topology), gateway_keys(e, split=topology.split)
            ),
            mail=_mail(e),
            channels=_channels(e),
            media=_media(e),
            log=LogSettings(e.choice("FORECOURT_LOG_LEVEL", ("debug", "info", "warning", "error"), "info")),
            telemetry=TelemetrySettings(e.url("OTEL_EXPORTER_OTLP_ENDPOINT", None)),
            topology=topology,
        )
        e.refuse_faults()
        return settings


def _http(e: Environment) -> HttpSettings:
    port = e.whole("FORECOURT_PORT", 8000, 1, 65_535)
    public = e.url("FORECOURT_PUBLIC_URL", None if e.production else f"http://localhost:{port}")
    if public is None:
        if not e.given("FORECOURT_PUBLIC_URL"):
            e.fault("FORECOURT_PUBLIC_URL is missing: set it to the address people use, such as https://book.example.org")
        public = ""
    proxies = e.names("FORECOURT_TRUSTED_PROXIES")
    for proxy in proxies:
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            e.fault(f"FORECOURT_TRUSTED_PROXIES: {proxy!r} is not an address or a network such as 10.0.0.0/8")
    origins = e.names("FORECOURT_CORS_ORIGINS")
    for origin in origins:
        parts = parts_of(origin)
        if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            e.fault(f"FORECOURT_CORS_ORIGINS: {origin!r} is not an origin such as https://app.example.org")
    assets = e.url("FORECOURT_ASSETS_URL", "") or ""
    if assets and not _ASSETS_URL.fullmatch(assets):
        e.fault(f"FORECOURT_ASSETS_URL is {assets!r}: give an address such as https://cdn.example.org, without a question mark")
    elif assets.startswith("http://") and public.startswith("https://"):
        e.fault("FORECOURT_ASSETS_URL starts with http://, which browsers refuse on pages of https://")
    return HttpSettings(
        host=e.text("FORECOURT_HOST", "127.0.0.1"),
        port=port,
        public_url=public,
        assets_url=assets,
        trusted_proxies=proxies,
        cors_origins=origins,
        max_body_bytes=e.whole("FORECOURT_MAX_BODY_BYTES", 32 * 1024 * 1024, 1024, 1024**3),
        drain_s=e.whole("FORECOURT_DRAIN_S", 5 if e.production else 0, 0, 300),
    )


def _database(e: Environment) -> DatabaseSettings:
    schemes = ("postgresql", "postgres")
    urls = {name: e.address(name, schemes) for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "DATABASE_REPLICA_URL")}
    if urls["DATABASE_URL"] is None and (urls["DATABASE_ADMIN_URL"] or urls["DATABASE_REPLICA_URL"]):
        e.fault("DATABASE_URL is missing while DATABASE_ADMIN_URL or DATABASE_REPLICA_URL is set: set all or none")
    return DatabaseSettings(
        url=urls["DATABASE_URL"],
        admin_url=urls["DATABASE_ADMIN_URL"],
        replica_url=urls["DATABASE_REPLICA_URL"],
        pool_size=e.whole("FORECOURT_DATABASE_POOL", 10, 2, 200),
    )


def _mail(e: Environment) -> MailSettings:
    smtp = e.address("FORECOURT_SMTP_URL", ("smtp", "smtps"))
    return MailSettings(smtp, e.text("FORECOURT_MAIL_FROM", "Forecourt <forecourt@localhost>"))


def _channels(e: Environment) -> ChannelSettings:
    networks = e.names("FORECOURT_CHANNEL_NETWORKS")
    for network in networks:
        try:
            ip_network(network)
        except ValueError:
            e.fault(f"FORECOURT_CHANNEL_NETWORKS: {network!r} is not a network such as 10.0.0.0/8")
    return ChannelSettings(
        sms=e.addresses("FORECOURT_SMS_URL"),
        whatsapp=e.addresses("FORECOURT_WHATSAPP_URL"),
        push=e.addresses("FORECOURT_PUSH_URL"),
        networks=networks,
    )


def _media(e: Environment) -> MediaSettings:
    url = e.text("FORECOURT_MEDIA_URL", "").rstrip("/") or None
    parts = parts_of(url or "s3://bucket")
    if parts is None or parts.scheme != "s3" or not parts.hostname or parts.query:
        e.fault("FORECOURT_MEDIA_URL is not an address such as s3://bucket/prefix")
    mib = 1024 * 1024
    return MediaSettings(
        url=url,
        account_bytes=mib * e.whole("FORECOURT_MEDIA_PERSON_MIB", 1024, 1, 10**7),
        organisation_bytes=mib * e.whole("FORECOURT_MEDIA_ORGANISATION_MIB", 20 * 1024, 1, 10**8),
    )


def _topology(e: Environment) -> TopologySettings:
    modules = e.names("FORECOURT_MODULES")
    for name in modules:
        if not _NAME.match(name):
            e.fault(f"FORECOURT_MODULES: {name!r} is not a module's name")
    peers: dict[str, tuple[str, ...]] = {}
    for entry in e.names("FORECOURT_PEERS"):
        name, _, listed = entry.partition("=")
        urls = tuple(dict.fromkeys(url.strip().rstrip("/") for url in listed.split("|")))
        if not _NAME.match(name) or not all(map(_is_base_url, urls)):
            e.fault(f"FORECOURT_PEERS: {entry!r} is not written like venues=http://venues:8000, or =http://a:8000|http://b:8000")
        elif name in modules:
            e.fault(f"FORECOURT_PEERS: {name} also lives in this process (FORECOURT_MODULES)")
        else:
            peers[name] = urls
    return TopologySettings(modules, peers)


def _is_base_url(url: str) -> bool:
    parts = parts_of(url)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def _contract_keys(e: Environment, topology: TopologySettings) -> tuple[ContractKey, ...]:
    """One process alone needs none in production."""
    name = "FORECOURT_CONTRACT_KEYS"
    if e.production and not topology.split and not e.given(name):
        return ()
    return _keys(e, name)


def gateway_keys(e: Environment, *, split: bool) -> tuple[Secret, ...]:
    """What a gateway shows to the processes behind it, the first first. A house that is not `split` need not have any."""
    name = "FORECOURT_GATEWAY_KEYS"
    if not split and not e.given(name):
        return ()
    faults = len(e.faults)
    keys = tuple(key.secret for key in _keys(e, name))
    for place, key in enumerate(keys, 1):
        if not _SHOWABLE.fullmatch(key.reveal()):
            e.fault(f"{name}: key {place} holds a blank or a letter beyond ASCII, which no header can carry")
    if not keys and len(e.faults) == faults:
        # Commas alone must not mean that everybody is let in.
        e.fault(f"{name} holds no key: set it to a random text of {MIN_SECRET_CHARS} or more characters, or take it away")
    return keys


def _keys(e: Environment, name: str) -> tuple[ContractKey, ...]:
    """`id:secret`, comma-separated; without an id the place in the list is the id."""
    keys: list[ContractKey] = []
    for place, entry in enumerate(part.strip() for part in e.secret(name, check=False).reveal().split(",")):
        if not entry:
            continue
        key_id, _, text = entry.partition(":")
        if not text:
            key_id, text = f"k{place + 1}", entry
        if not _KEY_ID.match(key_id) or key_id in {k.id for k in keys}:
            e.fault(f"{name}: the id of key {place + 1} is not a short name of its own")
        e.refuse_weak(f"{name}: key {place + 1}", text)
        keys.append(ContractKey(key_id, Secret(text)))
    return tuple(keys)


class Environment:
    """Reads values by name and collects what is wrong with them. Modules with settings of their own read them the same way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []
        self.env = Env(self.choice("FORECOURT_ENV", tuple(Env), Env.DEV))
        self.data = Path(self.text("FORECOURT_DATA", "var")).absolute()

    @property
    def production(self) -> bool:
        return self.env is Env.PRODUCTION

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def refuse_faults(self) -> None:
        """Raises SettingsError when anything was wrong."""
        if self.faults:
            raise SettingsError(self.faults)

    def given(self, name: str) -> bool:
        return bool(self._environ.get(name, "").strip() or self._environ.get(f"{name}_FILE", "").strip())

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def names(self, name: str) -> tuple[str, ...]:
        """A comma-separated list, without blanks and repetitions."""
        parts = (part.strip() for part in self._environ.get(name, "").split(","))
        return tuple(dict.fromkeys(part for part in parts if part))

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name, default).lower()
        if value in allowed:
            return value
        self.fault(f"{name} is {value!r}: choose one of {', '.join(allowed)}")
        return default

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            self.fault(f"{name} is {value!r}: give a whole number from {least} to {most}")
            return default
        return int(value)

    def url(self, name: str, default: str | None) -> str | None:
        """An http(s) address without a slash at the end."""
        value = self.text(name, "")
        if not value:
            return default
        parts = parts_of(value)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            self.fault(f"{name} is {value!r}: give an address that starts with http:// or https://")
            return default
        return value.rstrip("/")

    def address(self, name: str, schemes: tuple[str, ...]) -> Secret | None:
        """An engine's address, which may hold a password; None when it is not set."""
        value = self._secret_text(name)
        if value is None:
            return None
        if value.partition(":")[0].lower() not in schemes:
            self.fault(f"{name} does not start with {schemes[0]}://")
            return None
        parts = parts_of(value)
        if parts is None:
            self.fault(
                f"{name} has no host and port that can be read: in a password write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D"
            )
            return None
        if self.production and parts.password in _WEAK_PASSWORDS:
            self.fault(f"{name} has a well-known password: choose one of your own")
        return Secret(value)

    def addresses(self, name: str) -> tuple[Secret, ...]:
        """Addresses separated by blanks, which may hold passwords."""
        found = tuple((self._secret_text(name) or "").split())
        if any("://" not in address for address in found):
            self.fault(f"{name} holds something that is no address such as twilio://…")
        return tuple(Secret(address) for address in found)

    def secret(self, name: str, *, check: bool = True) -> Secret:
        """A secret that the program cannot do without. `check=False` when the caller judges its strength itself."""
        value = self._secret_text(name)
        if value is None:
            if self.given(f"{name}"):
                return Secret("")  # the fault is already noted
            if self.production:
                self.fault(
                    f"{name} is missing: set it, or {name}_FILE, to a random text of {MIN_SECRET_CHARS} or more characters"
                )
                return Secret("")
            return Secret(self._generated(name))
        if check:
            self.refuse_weak(name, value)
        return Secret(value)

    def refuse_weak(self, what: str, value: str) -> None:
        """Notes a fault when `value` is short, monotonous or a well-known placeholder; in production only."""
        if not self.production:
            return
        if len(value) < MIN_SECRET_CHARS:
            self.fault(f"{what} is too short: use {MIN_SECRET_CHARS} or more random characters")
        elif len(set(value)) < 10 or _WELL_KNOWN.search(value):
            self.fault(f"{what} is a default or a placeholder: use {MIN_SECRET_CHARS} or more random characters")

    def _secret_text(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        path = self._environ.get(f"{name}_FILE", "").strip()
        if value and path:
            self.fault(f"{name} and {name}_FILE are both set: keep one")
            return value
        if value or not path:
            return value or None
        try:
            text = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as e:
            self.fault(f"{name}_FILE: {path} cannot be read ({_reason(e)})")
            return None
        if not text:
            self.fault(f"{name}_FILE: {path} is empty")
        return text or None

    def _generated(self, name: str) -> str:
        folder = self.data / "secrets"
        path = folder / name.lower()
        try:
            return _read_or_make(folder, path)
        except OSError as e:
            if _kept(path):
                self.fault(f"{name} is kept in {path}, which cannot be read ({_reason(e)}): run as the user who owns it")
                return ""
            self.fault(f"{name} is missing and cannot be made in {folder} ({_reason(e)}): set it, or make the folder writable")
            return ""


def parts_of(url: str) -> SplitResult | None:
    """An address in its parts; None for one of which nobody can tell host and port. Several hosts may stand in it: `a:1,b:2`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    hosts = [_HOST.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    return parts if all(host is not None and int(host[2] or 0) <= 65_535 for host in hosts) else None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else "it is no text") or type(error).__name__


def _kept(path: Path) -> bool:
    """Whether a secret is there, or in a folder into which only its owner looks."""
    folder = path.parent
    hidden = os.path.isdir(folder) and not os.access(folder, os.X_OK)  # noqa: PTH112 - a Path raises where it may not look
    return hidden or os.path.exists(path)  # noqa: PTH110


def _read_or_make(folder: Path, path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked: of two processes starting together one wins, and nobody reads half a secret.
    handle, aside = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)  # noqa: PTH108 - a name, not a Path
    return path.read_text().strip()
