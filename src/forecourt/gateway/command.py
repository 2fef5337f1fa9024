"""`forecourt gateway run`, `render` and `weight`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from forecourt.kernel.log import configure
from forecourt.kernel.settings import Environment, Secret, SettingsError, gateway_keys

if TYPE_CHECKING:
    from forecourt.gateway.haproxy import Gateway
    from forecourt.gateway.plan import Plan
    from forecourt.gateway.runtime import Share

FOLDER = "gateway"
"""Below the data directory."""
EXAMPLE = """\
listen = "0.0.0.0:8080"

[services.house]
versions.v1 = ["http://127.0.0.1:8000"]
"""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

PlanFile = Annotated[
    Path | None, Parameter(help="What the gateway is told (TOML). Default: FORECOURT_GATEWAY, or FORECOURT_PEERS")
]
Data = Annotated[Path | None, Parameter(help="The gateway's files lie in `gateway/` there. Default: FORECOURT_DATA, or var/")]


def add_to(gateway: App) -> None:
    """Make the commands part of `forecourt gateway`."""
    for command in (run, render, weight):
        gateway.command(command)


def run(plan: PlanFile = None, *, data: Data = None) -> None:
    """Stand in front of the house: HAProxy, set up by the plan, watched and brought back.

    SIGTERM or Ctrl-C ends it in good order, SIGHUP reads plan and certificate anew without refusing a connection.
    Services know it by the first of FORECOURT_GATEWAY_KEYS.

    Example: forecourt gateway run gateway.toml

    Example: FORECOURT_PEERS=identity=http://10.0.0.5:8000,… forecourt gateway run
    """
    import uvloop

    from forecourt.gateway.haproxy import serve
    from forecourt.process import die_with_parent

    settings = _environment(data)
    configure(settings.choice("FORECOURT_LOG_LEVEL", ("debug", "info", "warning", "error"), "info"))
    if os.environ.get("FORECOURT_CHILD"):
        die_with_parent()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reading = serve(
            lambda: read_plan(plan, os.environ), settings.data / FOLDER, _greet, proof=lambda told: read_proof(told, data)
        )
        runner.run(reading)


def render(
    plan: PlanFile = None,
    *,
    data: Data = None,
    into: Annotated[Path | None, Parameter(help="Write it there with the files it names, and let HAProxy check it.")] = None,
) -> None:
    """Print the configuration that `gateway run` gives to HAProxy.

    Example: forecourt gateway render gateway.toml

    Example: forecourt gateway render gateway.toml --into /etc/haproxy/forecourt
    """
    from forecourt.gateway import haproxy
    from forecourt.gateway.keys import KeySource
    from forecourt.gateway.runtime import Runtime, socket_of

    told = read_plan(plan, os.environ)
    home = _environment(data).data / FOLDER
    folder = home if into is None else into.absolute()
    source = KeySource(told, home / haproxy.KEPT_KEYS, None if into is None else read_proof(told, data))
    keys = source.last() if into is None else asyncio.run(source.ask()) or source.last()
    made = haproxy.render(told, folder, keys=keys, weights=Runtime(home).weights(), runtime=socket_of(folder))
    if into is None:
        sys.stdout.write(made.config)
        return
    with haproxy.writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = made.write(folder)
    asyncio.run(haproxy.check(config))
    out.print(f"{config} is in order." + ("" if keys else " Nobody told the keys of access tokens: they are refused until then."))


def weight(
    service: Annotated[str, Parameter(help="As the plan names it.")],
    *wishes: Annotated[str, Parameter(help="Version and whole percents, such as v2=10%.")],
    data: Data = None,
) -> None:
    """Share a service's requests out between its versions, now and from now on; without wishes, show how they are.

    Versions that are not named share the rest as they did before.

    Example: forecourt gateway weight booking v2=10%

    Example: forecourt gateway weight booking
    """
    from forecourt.gateway.runtime import Runtime
    from forecourt.gateway.weights import WeightsWrong

    runtime = Runtime(_environment(data).data / FOLDER)
    try:
        shares = asyncio.run(runtime.weigh(service, wishes) if wishes else runtime.shares(service))
    except WeightsWrong as e:
        err.print(str(e), style="bold red", markup=False, soft_wrap=True)
        sys.exit(2)
    tell_shares(shares)


def tell_shares(shares: list[Share]) -> None:
    """Versions, their part of the requests, and their servers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("version", "requests", "servers", "answered"):
        table.add_column(head, justify="right" if head == "answered" else "left")
    for share in shares:
        states = ", ".join(f"{server.name.rsplit('.', 1)[1]} {server.status.lower()}" for server in share.servers)
        table.add_row(share.version, f"{share.percent:g} %", states, str(sum(server.requests for server in share.servers)))
    out.print(table)


def read_plan(path: Path | None, environ: Mapping[str, str]) -> Plan:
    """The plan in `path`, in the file that FORECOURT_GATEWAY names, or of FORECOURT_PEERS. Raises SettingsError."""
    from forecourt.gateway.plan import Plan

    given = path or (Path(environ["FORECOURT_GATEWAY"]) if environ.get("FORECOURT_GATEWAY") else None)
    if given is not None:
        return Plan.read(given)
    e = Environment(environ)
    peers = {name: urls.split("|") for name, _, urls in (entry.partition("=") for entry in e.names("FORECOURT_PEERS"))}
    if not peers:
        raise SettingsError(
            [f"Nobody says where the services are: give a plan, or set FORECOURT_PEERS. The least plan:\n\n{EXAMPLE}"]
        )
    plan = msgspec.structs.replace(
        Plan.of_peers(peers),
        listen=(f"{e.text('FORECOURT_HOST', '127.0.0.1')}:{e.whole('FORECOURT_PORT', 8080, 1, 65_535)}",),
        trusted_proxies=e.names("FORECOURT_TRUSTED_PROXIES"),
        cors_origins=e.names("FORECOURT_CORS_ORIGINS"),
    )
    e.refuse_faults()
    return plan.checked()


def read_proof(plan: Plan, data: Path | None) -> Secret | None:
    """What the gateway of a plan shows to its services: the first of FORECOURT_GATEWAY_KEYS, which may be a file that changes.

    Raises SettingsError, also when a divided house has none in production.
    """
    settings = _environment(data)
    keys = gateway_keys(settings, split=plan.divided)
    settings.refuse_faults()
    return keys[0] if keys else None


def _environment(data: Path | None) -> Environment:
    """What the environment says; a gateway needs few settings, and one secret."""
    environ = {**os.environ, **({"FORECOURT_DATA": str(data)} if data else {})}
    settings = Environment(environ)
    settings.refuse_faults()
    return settings


def _greet(gateway: Gateway) -> None:
    scheme = "http" if gateway.plan.certificate is None else "https"
    out.print(f"  The gateway is open: [bold]{scheme}://{', '.join(gateway.plan.listen)}[/]")
    for service in gateway.plan.services:
        what = ", ".join(service.modules) or ("sockets" if service.sockets else "the rest")
        places = ", ".join(f"{version} {' '.join(urls)}" for version, urls in service.versions.items())
        out.print(f"    {service.name:<16} [dim]{what}: {places}[/]", soft_wrap=True)
