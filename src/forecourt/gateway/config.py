"""The configuration of HAProxy, made from a plan and the routes of the house. Nothing here runs anything.

Every line that looks unusual answers something a stranger may send; tests/gateway sends it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forecourt.gateway.plan import Limits, Plan, Service, endpoint, server_at
from forecourt.gateway.problems import NoAnswer, body_of
from forecourt.gateway.routes import ASK_PATTERNS, routing_table, shortened
from forecourt.gateway.weights import spread
from forecourt.kernel.contracts import PREFIX as SIDE_DOOR
from forecourt.kernel.errors import (
    BadRequest,
    DeadlineExceeded,
    Internal,
    NotFound,
    Problem,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unavailable,
)
from forecourt.kernel.http.doorman import HEADER as PROOF_HEADER
from forecourt.kernel.http.doorman import SERVED
from forecourt.kernel.http.gate import AUDIENCE, ISSUER, TokenExpired, TokenRefused

CONFIG = "haproxy.cfg"
RUNTIME_SOCKET = "runtime.sock"
ROUTES, PATTERNS, LIMITED, KEYS = "routes.map", "patterns.map", "limits.map", "keys"
CERTIFICATE_FIGURES = "certificate.prom"
SOCKET_PATH = "/v1/socket"
PROOF = "FORECOURT_GATEWAY_PROOF"
"""Where HAProxy's environment has what it shows to services: a configuration is read by more people than an environment."""
UNCLAIMED = "*"
"""Stands where a service's name does, for a path of no module."""
BACKEND = "s_"
"""Before a service's name in HAProxy's."""
NOWHERE = "255.255.255.255"
"""The address of a name that nobody knows yet: nothing connects to it, and that is known at once."""
SAFE_METHODS = "GET HEAD OPTIONS"
_KEY_ID = re.compile(r"^[A-Za-z0-9_-]{1,80}$")
_COMPRESSIBLE = (
    "application/json application/problem+json text/html text/css text/plain text/javascript application/javascript"
    " application/manifest+json image/svg+xml text/calendar text/csv"
)
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_LOG = (
    '{"event":"gateway_request","at":"%trg","method":"%HM","status":%ST,"service":"%b","server":"%s","took_ms":%Ta,"queue_ms":%Tw,'
    '"connect_ms":%Tc,"answer_ms":%Tr,"retries":"%rc","ended":"%ts","trace_id":"%[var(txn.trace)]"}'
)
"""One line of JSON. No paths: some of them are secrets."""


class Rendered(msgspec.Struct, frozen=True):
    """A configuration and the files it names, by name below the folder they are meant for."""

    config: str
    files: dict[str, str]

    def write(self, folder: Path) -> Path:
        """Puts everything into `folder`; returns the configuration's path. Files that are no longer named stay: HAProxy may still
        be reading them."""
        for name, text in {**self.files, CONFIG: self.config}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(path.name + ".new")
            new.write_bytes(text.encode())
            new.replace(path)
        return folder / CONFIG


def render(
    plan: Plan,
    folder: Path,
    *,
    keys: Sequence[Mapping[str, str]] | None = None,
    weights: Mapping[str, Mapping[str, int]] | None = None,
    runtime: Path | None = None,
) -> Rendered:
    """HAProxy's configuration for `plan`, with its files in `folder` (absolute).

    `keys` are our public ES256 keys, as in `/.well-known/jwks.json`; None when nobody could be asked yet: then requests with a
    token are told to come back. `weights` are percentages by service and version that replace the plan's. `runtime` is where the
    runtime socket lies, if not in `folder`. Raises ValueError for keys that are none of ours.
    """
    files = _maps(plan)
    pems = {} if keys is None else {key["kid"]: public_pem(key) for key in keys}
    files |= {f"{KEYS}/{kid}.pem": pem for kid, pem in pems.items()}
    files[CERTIFICATE_FIGURES] = _certificate_figures(plan.certificate)
    at = str(folder)
    parts = [
        _global(plan, runtime or folder / RUNTIME_SOCKET),
        _defaults(plan),
        _tables(plan.limits),
        _public(plan, at, None if keys is None else list(pems)),
        *(_backend(plan, service, (weights or {}).get(service.name)) for service in plan.services),
        _internal(plan, at),
    ]
    return Rendered("\n\n".join(parts) + "\n", files)


# --- files beside it -----------------------------------------------------------------------------------------------------


def _maps(plan: Plan) -> dict[str, str]:
    table = shortened({route.path: plan.home_of(route.module).name for route in routing_table()})
    beginnings = table.beginnings | {SOCKET_PATH + "/": plan.sockets.name}
    return {
        ROUTES: "".join(f"{begins} {service}\n" for begins, service in sorted(beginnings.items())),
        PATTERNS: "".join(f"{pattern} {service}\n" for pattern, service in table.patterns),
        LIMITED: "".join(_limited(route, requests) for route, requests in sorted(plan.limits.routes.items())),
    }


def _limited(route: str, requests: int) -> str:
    """A beginning of paths, how many requests there may be, and whose name the count bears: `/v1/auth/ 100/v1/auth/`."""
    begins = route.rstrip("/") + "/"
    return f"{begins} {requests}{begins}\n"


def public_pem(key: Mapping[str, str]) -> str:
    """A public ES256 key of a JWKS as PEM. Raises ValueError for anything else."""
    if key.get("kty") != "EC" or key.get("crv") != "P-256" or not _KEY_ID.match(key.get("kid", "")):
        raise ValueError("not a public key for ES256 with a key id")
    x, y = (int.from_bytes(urlsafe_b64decode(key[part] + "=" * (-len(key[part]) % 4))) for part in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


# --- sections ------------------------------------------------------------------------------------------------------------


def _section(head: str, lines: Sequence[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _global(plan: Plan, runtime: Path) -> str:
    lines = [
        "log stdout format raw local0",
        # expose-fd: a successor takes over the listening sockets, so that not one connection is refused.
        f"stats socket '{runtime}' mode 600 level admin expose-fd listeners",
        "stats timeout 10s",
        # Two descriptors a connection. Where the system gives fewer, HAProxy takes fewer connections instead of none.
        f"fd-hard-limit {2 * plan.limits.max_connections + 200}",
        # What an old process still has after a reload (sockets, mostly) is cut then; clients come back and resume.
        "hard-stop-after 10m",
        f"ssl-default-bind-ciphers {_CIPHERS}",
        "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
    ]
    if plan.threads:
        lines.append(f"nbthread {plan.threads}")
    return _section("global", lines)


def _defaults(plan: Plan) -> str:
    limits, health = plan.limits, plan.health
    lines = [
        "mode http",
        "log global",
        # Answers of 500 and above, retries and what broke off; the services log the rest.
        "option dontlog-normal",
        "option dontlognull",
        f"log-format '{_LOG}'",
        "timeout connect 1s",
        # Slow is not down: a busy machine must not take all its servers out of their turn.
        "timeout check 3s",
        "timeout queue 2s",
        f"timeout http-request {limits.header_s}s",
        f"timeout http-keep-alive {limits.idle_s}s",
        f"timeout client {limits.idle_s}s",
        f"timeout server {limits.answer_s}s",
        f"timeout tunnel {limits.socket_idle_s}s",
        "http-reuse aggressive",
        f"retries {health.retries}",
        "option redispatch 1",
        # A connection that could not be made has carried nothing: any request may try the next server. What was sent and got no
        # answer may have been done: only reads are sent again (disable-l7-retry below).
        "retry-on conn-failure empty-response junk-response",
        "compression algo gzip",
        f"compression type {_COMPRESSIBLE}",
        *(_own_error(problem) for problem in _OWN_ERRORS),
    ]
    return _section("defaults", lines)


_OWN_ERRORS: tuple[Problem, ...] = (
    BadRequest(),
    TooSlow(),
    TooLarge(),
    Internal(),
    NoAnswer(),
    Unavailable(),
    DeadlineExceeded(),
)
"""What HAProxy answers by itself: no server, no answer. For what is not a whole request it has words of its own (400, 408), which
cannot be replaced."""


def _own_error(problem: Problem) -> str:
    return f"http-error status {problem.status} {_content(problem)}"


def _refuse(problem: Problem, when: str, headers: str = "") -> str:
    return f"http-request return status {problem.status} {_content(problem)}{headers} {when}"


def _content(problem: Problem) -> str:
    body = body_of(problem, "@trace@").replace("%", "%%").replace("'", "\\u0027").replace("@trace@", "%[var(txn.trace)]")
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **problem.headers}
    named = "".join(f" hdr {name} {value}" for name, value in headers.items())
    return f"content-type application/problem+json lf-string '{body}'{named}"


def _spent(limits: Limits, requests: int | str) -> str:
    return (
        f" hdr RateLimit 'limit={requests}, remaining=0, reset={limits.window_s}'"
        f" hdr RateLimit-Policy '{requests};w={limits.window_s}'"
    )


def _tables(limits: Limits) -> str:
    """Who asked how often lately, and which tokens are known to be signed. When a table is full, the oldest entries make room.

    HAProxy keeps three of them in mind for a request, and what a connection began with stays one of them: an address is the
    first, an account the second. The third is the route, where that has a limit; else the token, when its signature is new
    here; else the organisation.
    """
    counted = f"expire {2 * limits.window_s}s store http_req_rate({limits.window_s}s)"
    tables = {
        "per_address": f"type ipv6 size 100k {counted},conn_cur",
        "per_account": f"type string len 64 size 100k {counted}",
        # An address of 39, a blank, and a plan's longest route with its number.
        "per_route": f"type string len 160 size 100k {counted}",
        # Who was let in is known from the answer, so these are counted by hand.
        "per_organisation": f"type string len 32 size 50k expire {2 * limits.window_s}s store gpc0,gpc0_rate({limits.window_s}s)",
        "signatures": "type binary len 32 size 50k expire 60s store gpt0",
    }
    return "\n\n".join(_section(f"backend {name}", [f"stick-table {text}"]) for name, text in tables.items())


def _public(plan: Plan, folder: str, kids: Sequence[str] | None) -> str:
    lines = [
        *_binds(plan),
        *_connections(plan),
        *_redirect(plan),
        *_where_from(plan),
        *_traces(plan),
        *_rates(plan.limits, folder),
        *_paths(),
        *_tokens(folder, kids),
        *_account_rates(plan.limits),
        *_organisation_rates(plan.limits),
        _refuse(TooLarge(), f"if {{ req.body_size gt {plan.limits.max_body_bytes} }}"),
        *_told_to_services(),
        *_ways(plan, folder),
        *_answers(plan),
        f"use_backend {BACKEND}%[var(txn.service)]",
    ]
    return _section("frontend public", lines)


def _binds(plan: Plan) -> list[str]:
    tls = "" if plan.certificate is None else f" ssl crt '{plan.certificate.absolute()}' alpn h2,http/1.1"
    lines = [f"bind {_bindable(address)}{tls}" for address in plan.listen]
    return lines + [f"bind {_bindable(address)}" for address in plan.redirect]


def _redirect(plan: Plan) -> list[str]:
    """To https, at the port that people know."""
    if not plan.redirect:
        return []
    first = endpoint(plan.listen[0])
    known = plan.public_port or (443 if first is None else first.port)
    host = "%[req.hdr(host),regsub(:[0-9]+$,)]" + ("" if known == 443 else f":{known}")
    return [f"http-request redirect location https://{host}%[pathq] code 308 unless {{ ssl_fc }}"]


def _connections(plan: Plan) -> list[str]:
    """How many connections an address has at once. Whoever asks nothing is in no count of requests, and keeps all others out."""
    strangers = f" !{{ src {' '.join(plan.networks)} }}" if plan.trusted_proxies else ""
    return [
        # Which addresses are one is said in `_rates`.
        f"tcp-request connection track-sc0 src table per_address if {{ src ::ffff:0:0/96 }}{strangers}",
        f"tcp-request connection track-sc0 src,ipmask(32,64) table per_address{' if' + strangers if strangers else ''}",
        f"tcp-request connection reject if {{ sc_conn_cur(0) gt {plan.limits.connections_per_address} }}",
    ]


def _bindable(address: str) -> str:
    place = endpoint(address)
    if place is None:
        raise ValueError(f"{address!r} is not an address")
    return str(place)


def _where_from(plan: Plan) -> list[str]:
    """Who asks, and how: what a client says about that is believed from our own proxies only."""
    lines = ["http-request set-var(txn.scheme) str(http)", "http-request set-var(txn.scheme) str(https) if { ssl_fc }"]
    if plan.trusted_proxies:
        ours = " ".join(plan.networks)
        lines += [
            f"http-request set-var(txn.proxied) bool(true) if {{ src {ours} }}",
            "http-request set-var(txn.scheme) str(https)"
            " if { var(txn.proxied) -m bool } { req.hdr(x-forwarded-proto) -m str https }",
            # The last address is what our own proxy saw; whatever stands before it came with the request.
            "http-request set-src req.hdr_ip(x-forwarded-for,-1) if { var(txn.proxied) -m bool }"
            " { req.hdr(x-forwarded-for) -m found }",
        ]
    if plan.cors_origins:
        lines.append(
            f"http-request set-var(txn.origin) req.hdr(origin) if {{ req.hdr(origin) -m str {' '.join(plan.cors_origins)} }}"
        )
    return lines


def _traces(plan: Plan) -> list[str]:
    well_formed = "{ req.fhdr_cnt(traceparent) 1 } { req.fhdr(traceparent) -m reg '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' }"
    # A UUID without what stands in it by rule (version, variant), and a bit of another: who samples traces takes the last eight
    # bytes for a number by chance, and beginning with the variant it would never be below half of the greatest.
    lines = [
        "http-request set-var(txn.more) uuid,bytes(0,8)",
        "http-request set-var(txn.trace) uuid,regsub(-4...-....-,),regsub(-,),concat(,txn.more)",
    ]
    if plan.continue_traces:
        lines += [
            f"http-request set-var(txn.continued) bool(true) if {well_formed}",
            "http-request set-var(txn.trace) req.fhdr(traceparent),field(2,-) if { var(txn.continued) -m bool }",
        ]
    fresh = " unless { var(txn.continued) -m bool }" if plan.continue_traces else ""
    return [
        *lines,
        f"http-request del-header tracestate{fresh}",
        f"http-request set-header traceparent 00-%[var(txn.trace)]-%[uuid,regsub(-,,g),bytes(16,16)]-01{fresh}",
        "http-request set-header X-Request-Id %[var(txn.trace)] unless { req.fhdr_cnt(x-request-id) 1 }"
        " { req.fhdr(x-request-id) -m reg '^[A-Za-z0-9_.:-]{1,80}$' }",
    ]


def _paths() -> list[str]:
    return [
        _refuse(BadRequest(), "unless { var(txn.path) -m found }"),
        _refuse(NotFound(), f"if {{ var(txn.key) -m beg {SIDE_DOOR} /metrics/ }}"),
    ]


def _rates(limits: Limits, folder: str) -> list[str]:
    limited = "{ var(txn.route) -m found }"
    return [
        # Services decode a path before they look at it, so we do too: /%5fcontract/ is no way round.
        "http-request set-var(txn.path) path,url_dec",
        "http-request set-var(txn.key) var(txn.path),concat(/)",
        # A client has a whole /64 of IPv6 to choose from, so that counts as one. The mask would make one of all IPv4 addresses
        # that are written as IPv6; each of them is itself.
        "http-request set-var(txn.client) src,ipmask(32,64)",
        "http-request set-var(txn.client) src if { src ::ffff:0:0/96 }",
        # Whoever comes straight is counted from the connection on. This is for those who come through a proxy of ours.
        "http-request track-sc0 var(txn.client) table per_address",
        _refuse(
            TooManyRequests("too many requests from this address", retry_after_s=limits.window_s),
            f"if {{ sc_http_req_rate(0) gt {limits.requests_per_address} }}",
            _spent(limits, limits.requests_per_address),
        ),
        f"http-request set-var(txn.route) var(txn.key),map_beg({folder}/{LIMITED})",
        f"http-request set-var(txn.allowed) var(txn.route),field(1,/) if {limited}",
        f"http-request set-var(txn.counted) var(txn.client),concat(' ',txn.route) if {limited}",
        f"http-request track-sc2 var(txn.counted) table per_route if {limited}",
        f"http-request set-var(txn.over) sc_http_req_rate(2),sub(txn.allowed) if {limited}",
        _refuse(
            TooManyRequests("too many of these requests from this address", retry_after_s=limits.window_s),
            f"if {limited} {{ var(txn.over) -m int gt 0 }}",
            _spent(limits, "%[var(txn.allowed)]"),
        ),
    ]


def _tokens(folder: str, kids: Sequence[str] | None) -> list[str]:
    """An access token in the header is checked here. Sockets tell theirs in their own way, and are told what is wrong with it by
    the close code, which a browser can read."""
    lines = [
        # Which of two headers a service would read is not for the client to play with.
        _refuse(BadRequest("more than one Authorization"), "if { req.fhdr_cnt(authorization) gt 1 }"),
        f"http-request set-var(txn.token) http_auth_bearer unless {{ var(txn.path) -m str {SOCKET_PATH} }}",
        "acl has_token var(txn.token) -m found",
    ]
    if not kids:
        return [*lines, _refuse(Unavailable("access tokens cannot be checked right now"), "if has_token")]
    challenge = " hdr WWW-Authenticate 'Bearer realm=\"forecourt\"'"
    ours = "{ var(txn.token),jwt_payload_query('$.iss') -m str " + ISSUER + " }"
    ours += " { var(txn.token),jwt_payload_query('$.aud') -m str " + AUDIENCE + " }"
    fresh = "if has_token { var(txn.signed) -m int eq 1 } !{ var(txn.known) -m bool } !{ var(txn.route) -m found }"
    return [
        *lines,
        "http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg') if has_token",
        "http-request set-var(txn.kid) var(txn.token),jwt_header_query('$.kid') if has_token",
        # A signature costs more to check than all the rest together, so one that was good is remembered for a minute. Whether
        # the token is still good otherwise is asked each time; a process that starts after the keys changed remembers nothing.
        "http-request set-var(txn.print) var(txn.token),sha2(256) if has_token",
        "http-request set-var(txn.signed) int(1) if has_token { var(txn.print),table_gpt0(signatures) eq 1 }",
        "http-request set-var(txn.known) bool(true) if { var(txn.signed) -m found }",
        *(
            f"http-request set-var(txn.signed) var(txn.token),jwt_verify(ES256,{folder}/{KEYS}/{kid}.pem)"
            " if has_token !{ var(txn.signed) -m found }"
            f" {{ var(txn.alg) -m str ES256 }} {{ var(txn.kid) -m str {kid} }}"
            for kid in kids
        ),
        f"http-request track-sc2 var(txn.print) table signatures {fresh}",
        f"http-request sc-set-gpt0(2) 1 {fresh}",
        "http-request set-var(txn.expires) var(txn.token),jwt_payload_query('$.exp','int') if has_token",
        # A signature's check says 1, or 0, or a negative number for an error, or was never asked for a key that is not ours.
        "http-request set-var(txn.genuine) bool(true)"
        f" if has_token {{ var(txn.signed) -m int eq 1 }} {ours} {{ var(txn.expires) -m found }}",
        _refuse(TokenRefused(), "if has_token !{ var(txn.genuine) -m bool }", challenge),
        "http-request set-var(txn.now) date()",
        _refuse(TokenExpired(), "if has_token { var(txn.expires),sub(txn.now) -m int le 0 }", challenge),
        "http-request set-var(txn.who) var(txn.token),jwt_payload_query('$.sub') if has_token",
    ]


def _account_rates(limits: Limits) -> list[str]:
    return [
        "http-request set-var(txn.who) req.fhdr(x-api-key),sha2(256),hex if !has_token { req.fhdr(x-api-key) -m found }",
        "http-request track-sc1 var(txn.who) table per_account if { var(txn.who) -m found }",
        _refuse(
            TooManyRequests("too many requests of this account", retry_after_s=limits.window_s),
            f"if {{ sc_http_req_rate(1) gt {limits.requests_per_account} }}",
            _spent(limits, limits.requests_per_account),
        ),
    ]


def _organisation_rates(limits: Limits) -> list[str]:
    """An organisation's part. Counted is what a service says it did for somebody of the organisation: whoever is not let in could
    otherwise use it up for all who are."""
    shown = "has_token", "{ req.fhdr(x-api-key) -m found }", "{ req.fhdr(cookie) -m found }"
    refused = TooManyRequests("too many requests of this organisation", retry_after_s=limits.window_s)
    over = f"{{ var(txn.organisation),table_gpc0_rate(per_organisation) ge {limits.requests_per_organisation} }}"
    return [
        "http-request set-var(txn.organisation) var(txn.key),field(4,/),lower,regsub(-,,g) if { var(txn.key) -m beg /v1/orgs/ }",
        "http-request set-var(txn.organisation) var(txn.key),field(3,/),lower,regsub(-,,g) if { var(txn.key) -m beg /orgs/ }",
        *(_refuse(refused, f"if {over} {whoever}", _spent(limits, limits.requests_per_organisation)) for whoever in shown),
        f"http-response set-var(txn.served) res.hdr({SERVED})",
        "http-response track-sc2 var(txn.served) table per_organisation if { var(txn.served) -m found }",
        "http-response sc-inc-gpc0(2) if { var(txn.served) -m found }",
        "http-response del-header X-Forecourt- -m beg",
    ]


def _ways(plan: Plan, folder: str) -> list[str]:
    """To the service that claims a path. What nobody claims (how the house is, stylesheets, the reference) every service has, so
    it goes to the first that has a server: no single one of them takes all pages along when it is away."""
    nobodys = f"{{ var(txn.service) -m str '{UNCLAIMED}' }}"
    return [
        f"http-request set-var(txn.service) var(txn.key),map_beg({folder}/{ROUTES},{UNCLAIMED})",
        f"http-request set-var(txn.service) var(txn.key),map_reg({folder}/{PATTERNS},{UNCLAIMED})"
        f" if {{ var(txn.service) -m str '{ASK_PATTERNS}' }}",
        *(
            f"http-request set-var(txn.service) str({service.name}) if {nobodys} {{ nbsrv({BACKEND}{service.name}) gt 0 }}"
            for service in plan.alike
        ),
        f"http-request set-var(txn.service) str({plan.rest.name}) if {nobodys}",
    ]


def _told_to_services() -> list[str]:
    strangers = ("Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "Proxy")
    return [
        "http-request del-header X-Forwarded- -m beg",
        "http-request del-header X-Forecourt- -m beg",
        f"http-request set-header {PROOF_HEADER} %[env({PROOF})] if {{ env({PROOF}) -m found }}",
        *(f"http-request del-header {name}" for name in strangers),
        # Compressing makes a tag weak on its way out. On the way back it is again the one that its service knows.
        "http-request replace-value If-None-Match '^W/(.*)$' '\\1'",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Proto %[var(txn.scheme)]",
        "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
    ]


def _answers(plan: Plan) -> list[str]:
    # Every answer of a service has a request id: what has none is ours.
    own = "!{ res.hdr(x-request-id) -m found }"
    ids = f"http-after-response set-header X-Request-Id %[var(txn.trace)] if {{ var(txn.trace) -m found }} {own}"
    lines: list[str] = []
    if plan.cors_origins:
        exposed = "'retry-after, ratelimit, ratelimit-policy, x-request-id'"
        readable = (("Allow-Origin", "%[var(txn.origin)]"), ("Expose-Headers", exposed))
        asked = f"if {{ var(txn.origin) -m found }} {own}"
        lines += [f"http-after-response set-header Access-Control-{name} {value} {asked}" for name, value in readable]
        lines.append(f"http-after-response set-header Vary origin {asked}")
    lines.append(ids)
    if plan.certificate is not None:
        strict = "'max-age=63072000; includeSubDomains'"
        lines.append(f"http-after-response set-header Strict-Transport-Security {strict} if {{ ssl_fc }}")
    return lines


def _ends_a_turn(plan: Plan, service: Service) -> str:
    """What takes a server out beside its health. Not the only one of a service: nobody would be left to ask, also for what it can
    answer while something behind it is away, and a fault of one service would become an outage of all that call it."""
    if sum(len(urls) for urls in service.versions.values()) == 1:
        return ""
    return f" observe layer7 error-limit {plan.health.errors_in_a_row} on-error mark-down"


def _backend(plan: Plan, service: Service, weights: Mapping[str, int] | None) -> str:
    health = plan.health
    shares = weights if weights is not None and set(weights) == set(service.versions) else service.shares
    weighs = spread(shares, {version: len(urls) for version, urls in service.versions.items()})
    lines = [
        "balance roundrobin",
        f"http-request disable-l7-retry unless {{ method {SAFE_METHODS} }}",
        "option httpchk",
        # With our proof: a server that does not take it would tell people that they are not signed in, so nobody is led there.
        f"http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host gateway hdr {PROOF_HEADER} %[env({PROOF})]",
        "http-check expect status 200",
        # pool-purge-delay: our servers drop a connection that was idle for 30 s; ours are gone before.
        f"default-server check inter {health.every_ms} fastinter {max(100, health.every_ms // 4)} fall {health.down_after} rise 1"
        f"{_ends_a_turn(plan, service)} pool-purge-delay 1s",
    ]
    for version, urls in service.versions.items():
        for place, url in enumerate(urls, 1):
            at = server_at(url)
            # A name that nobody knows yet is no reason not to start. HAProxy's own resolver does not know of search domains, such
            # as those of a cluster: names are followed by our supervision, which can change an address but not give a first one.
            looked_up = "" if at.numeric else f" init-addr last,libc,{NOWHERE}"
            lines.append(f"server {version}.{place} {at} weight {weighs[version]}{looked_up}")
    return _section(f"backend {BACKEND}{service.name}", lines)


def _certificate_figures(certificate: Path | None) -> str:
    """What Prometheus is told of what browsers are shown, of which HAProxy tells nothing. Empty without TLS, and for a file that
    HAProxy will refuse."""
    try:
        chain = [] if certificate is None else x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError):
        chain = []
    if not chain:
        return "# No certificate.\n"
    name, ends = "gateway_certificate_ends_seconds", min(link.not_valid_after_utc for link in chain)
    return f"# HELP {name} When the certificate, or one of its chain, ends\n# TYPE {name} gauge\n{name} {ends.timestamp():.0f}\n"


def _internal(plan: Plan, folder: str) -> str:
    lines = [
        f"bind {_bindable(plan.internal)}",
        "monitor-uri /readyz",
        # A gateway that leads to any service is of use: one that is away must not shut the door of all others.
        f"monitor fail if {' '.join(f'{{ nbsrv({BACKEND}{service.name}) lt 1 }}' for service in plan.services)}",
        "http-request use-service prometheus-exporter if { path /metrics }",
        f"http-request return status 200 content-type 'text/plain; version=0.0.4' file '{folder}/{CERTIFICATE_FIGURES}'"
        " if { path /metrics/certificate }",
        "http-request return status 200 content-type text/plain string ok if { path /livez }",
        _refuse(NotFound(), ""),
    ]
    return _section("frontend internal", lines)
