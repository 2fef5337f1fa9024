"""What a plan may say, which way a path goes, and how weights come about: nothing here runs HAProxy."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey

from forecourt.engines import EngineError
from forecourt.gateway import command
from forecourt.gateway.canary import Watch
from forecourt.gateway.command import read_plan
from forecourt.gateway.config import public_pem, render
from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.keys import checked
from forecourt.gateway.plan import Health, Limits, Plan, Service
from forecourt.gateway.routes import Route, Table, routing_table, shortened
from forecourt.gateway.runtime import MAX_SOCKET_PATH, ServerState, Share, socket_of
from forecourt.gateway.weights import GREATEST, WeightsWrong, spread, wished
from forecourt.kernel.settings import SettingsError

A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000"
MODULES = ("identity", "booking")


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    return routing_table()


# --- routes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("services", [1, 2, 3, 20])
def test_the_short_table_leads_where_the_long_one_does(routes: list[Route], services: int) -> None:
    dice = random.Random(services)
    homes = {module: f"s{dice.randrange(services)}" for module in sorted({route.module for route in routes})}
    table = shortened({route.path: homes[route.module] for route in routes})
    long = [(re.compile(route.pattern), homes[route.module]) for route in routes]
    for route in routes:
        path = re.sub(r"\{\w+\}", "0190a000-0000-7000-8000-000000000001", route.path)
        wanted = next(home for pattern, home in long if pattern.match(path))
        assert table.service(path) == wanted, path


def test_one_service_for_all_needs_no_patterns(routes: list[Route]) -> None:
    table = shortened(dict.fromkeys((route.path for route in routes), "house"))
    assert table.patterns == [] and set(table.beginnings.values()) == {"house"}


def test_a_word_and_a_parameter_may_belong_to_different_services() -> None:
    table = shortened({"/orgs": "a", "/orgs/new": "b", "/orgs/{id}": "a", "/orgs/{id}/day": "c", "/orgs/{id}/day/{n}": "c"})
    places = {"/orgs": "a", "/orgs/new": "b", "/orgs/newer": "a", "/orgs/1": "a", "/orgs/1/day": "c", "/orgs/1/day/2": "c"}
    assert {path: table.service(path) for path in places} == places
    assert table.service("/orgsx") is None and table.service("/") is None


def test_a_path_that_only_begins_like_another_is_nobodys() -> None:
    table = shortened({"/v1/me": "a", "/v1/media/{id}": "b"})
    assert (table.service("/v1/me"), table.service("/v1/media/1"), table.service("/v1/men")) == ("a", "b", None)
    assert Table({}, []).service("/v1/me") is None


# --- plans -----------------------------------------------------------------------------------------------------------------


def faults_of(plan: Plan) -> list[str]:
    return list(plan.faults(MODULES))


def plan(*services: Service, **more: object) -> Plan:
    return Plan(services=services or (Service("house", (), {"v1": (A,)}),), **more)  # type: ignore[arg-type]


def test_a_plan_in_order_has_no_fault() -> None:
    courts = Service("courts", ("booking",), {"v1": (A, "http://[::1]:8000"), "v2": ("http://courts:80",)}, {"v1": 90, "v2": 10})
    assert faults_of(plan(courts, Service("rest", (), {"v1": (B,)}), listen=(":8080", "[::]:8443"))) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Plan(services=()), "no service"),
        (plan(Service("courts", ("booking",), {"v1": (A,)})), "No service serves identity"),
        (plan(Service("courts", ("bookings",), {"v1": (A,)}), Service("rest", (), {"v1": (A,)})), "no module 'bookings'"),
        (plan(Service("a", ("booking",), {"v1": (A,)}), Service("b", MODULES, {"v1": (A,)})), "booking is served by a and b"),
        (plan(Service("a", (), {"v1": (A,)}), Service("b", (), {"v1": (A,)})), "only one service can serve all the rest"),
        (plan(Service("a", (), {"v1": (A,)}), Service("a", ("booking",), {"v1": (A,)})), "two services named a"),
        (plan(Service("A b", (), {"v1": (A,)})), "not a name"),
        (plan(Service("a", (), {})), "has no versions"),
        (plan(Service("a", (), {"v 1": (A,)})), "not a version's name"),
        (plan(Service("a", (), {"v1": ()})), "version v1 has no addresses"),
        (plan(Service("a", (), {"v1": ("10.0.0.1:8000",)})), "is not an address such as http://"),
        (plan(Service("a", (), {"v1": ("https://10.0.0.1",)})), "is not an address such as http://"),
        (plan(Service("a", (), {"v1": ("http://a:99999",)})), "is not an address such as http://"),
        (plan(Service("a", (), {"v1": (A,)}, {"v2": 100})), "weights name v2, which is no version"),
        (plan(Service("a", (), {"v1": (A,), "v2": (B,)}, {"v1": 60, "v2": 60})), "add up to 100, not 120"),
        (plan(listen=()), "listen is empty"),
        (plan(listen=("8080",)), "is not an address such as 0.0.0.0:8080"),
        (plan(listen=("a:1/x",)), "is not an address such as 0.0.0.0:8080"),
        (plan(certificate=Path("/nowhere.pem")), "certificate: /nowhere.pem is not there"),
        (plan(redirect=(":80",)), "which needs a certificate"),
        (plan(public_port=65536), "public_port is 65536"),
        (plan(trusted_proxies=("10.0.0.0/99",)), "is not a network"),
        (plan(cors_origins=("app.example.org",)), "is not an origin"),
        (plan(limits=Limits(routes={"v1/auth": 5})), "'v1/auth' is not the beginning of a path"),
        (plan(limits=Limits(routes={"/v1/a b": 5})), "'/v1/a b' is not the beginning of a path"),
        (plan(limits=Limits(routes={"/": 5})), "'/' is not the beginning of a path"),
        (plan(limits=Limits(routes={"/v1/auth": 0})), "/v1/auth is 0"),
        (plan(limits=Limits(routes={"/v1/auth": 10**9 + 1})), "/v1/auth is 1000000001"),
        (plan(limits=Limits(routes={"/v1/".ljust(101, "a"): 5})), "has 101 characters: at most 100"),
        (plan(limits=Limits(routes={"/v1/auth": 5, "/v1/auth/": 6})), "names /v1/auth twice"),
        (plan(limits=Limits(routes={f"/v1/{n}": 5 for n in range(51)})), "names 51 paths"),
        (plan(limits=Limits(requests_per_organisation=0)), "requests_per_organisation is 0"),
        (plan(Service("a", (), {"v1": (A,)}), Service("b", ("booking",), {"v1": (A,)}, sockets=True), limits=0), ""),
    ],
)
def test_each_fault_is_said_in_words(wrong: Plan, said: str) -> None:
    if not said:
        wrong = msgspec.structs.replace(wrong, limits=msgspec.structs.replace(Plan(services=()).limits, idle_s=0))
        said = "idle_s is 0"
    assert any(said in fault for fault in faults_of(wrong)), faults_of(wrong)


def test_a_file_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    file = tmp_path / "gateway.toml"
    file.write_text(
        f"""
        listen = "0.0.0.0:8443"
        certificate = "cert.pem"
        limits.window_s = 5
        limits.routes = {{ "/v1/auth/login" = 7 }}

        [services.courts]
        modules = ["booking"]
        versions.v1 = ["{A}"]
        versions.v2 = ["{B}"]
        weights = {{ v1 = 80, v2 = 20 }}

        [services.rest]
        versions.v1 = ["{A}"]
        """
    )
    read = Plan.read(file, MODULES)
    assert (read.listen, read.certificate, read.limits.window_s) == (("0.0.0.0:8443",), tmp_path / "cert.pem", 5)
    assert read.limits.routes == {"/v1/auth/login": 7} and Plan(services=()).limits.routes["/v1/auth"] == 100
    assert read.services[0] == Service("courts", ("booking",), {"v1": (A,), "v2": (B,)}, {"v1": 80, "v2": 20})
    assert (read.home_of("booking").name, read.home_of("identity").name) == ("courts", "rest")


@pytest.mark.parametrize(
    ("listen", "known", "port"), [(":8443", 0, ":8443"), (":443", 0, ""), (":8443", 443, ""), (":443", 444, ":444")]
)
def test_people_are_sent_to_the_port_that_they_know(listen: str, known: int, port: str) -> None:
    """In a container `listen` is a port that nobody outside has heard of."""
    secured = plan(listen=(listen,), redirect=(":8080",), certificate=Path("/tls.pem"), public_port=known)
    made = render(secured, Path("/run/gateway"), keys=[])
    assert f"location https://%[req.hdr(host),regsub(:[0-9]+$,)]{port}%[pathq] code 308" in made.config


@pytest.mark.parametrize("text", ["", "listen = [", "[services.a]\nversion = 1", '[services.a]\nversions.v1 = ["x"]', "\xff"])
def test_a_file_that_is_no_plan_is_refused_with_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError):
        Plan.read(file, MODULES)
    with pytest.raises(SettingsError, match="cannot be read"):
        Plan.read(tmp_path / "nowhere.toml")


def test_peers_make_a_plan_of_their_own() -> None:
    made = Plan.of_peers({"identity": (A,), "booking": (A,), "realtime": (B,)}, MODULES)
    assert [(s.name, s.modules, s.sockets) for s in made.services] == [("identity", MODULES, False), ("realtime", (), True)]
    assert (made.rest.name, made.sockets.name) == ("identity", "realtime")
    with pytest.raises(SettingsError, match="No service serves booking"):
        Plan.of_peers({"identity": (A,)}, MODULES)


def test_where_the_plan_comes_from(tmp_path: Path) -> None:
    from forecourt.layout import module_names

    peers = ",".join(f"{module}={A}|{B}" for module in module_names())
    told = {"FORECOURT_PEERS": peers, "FORECOURT_PORT": "9000", "FORECOURT_TRUSTED_PROXIES": "10.0.0.0/8"}
    made = read_plan(None, told)
    assert (made.listen, made.services[0].versions, made.networks) == (("127.0.0.1:9000",), {"v1": (A, B)}, ["10.0.0.0/8"])
    file = tmp_path / "gateway.toml"
    file.write_text(f'[services.house]\nversions.v1 = ["{A}"]')
    assert read_plan(None, {**told, "FORECOURT_GATEWAY": str(file)}).services[0].name == "house"
    with pytest.raises(SettingsError, match="Nobody says where the services are"):
        read_plan(None, {})


# --- keys and files ----------------------------------------------------------------------------------------------------------


def test_keys_that_are_none_of_ours_are_refused() -> None:
    ours = dict(ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=False))
    assert public_pem(ours).startswith("-----BEGIN PUBLIC KEY-----")
    other_curve = dict(ECKey.generate_key("P-384", {"kid": "k1"}).as_dict(private=False))
    for wrong in (
        other_curve,
        OctKey.generate_key(256, {"kid": "k"}).as_dict(),
        {**ours, "kid": "../../etc"},
        {**ours, "x": "AAAA"},
    ):
        with pytest.raises(ValueError, match=r"."):
            public_pem(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"."):
            checked(msgspec.json.encode({"keys": [ours, wrong]}))
    with pytest.raises(ValueError, match=r"."):
        checked(b"<html>")


def test_nothing_from_outside_can_leave_its_quotes() -> None:
    made = render(plan(), Path("/run/gateway"), keys=[])
    for line in made.config.splitlines():
        assert line.count("'") % 2 == 0, line


def test_a_long_way_to_the_socket_is_cut_short(tmp_path: Path) -> None:
    assert socket_of(Path("/run/gateway")) == Path("/run/gateway/runtime.sock")
    long = socket_of(tmp_path / ("x" * 90))
    assert len(str(long)) <= MAX_SOCKET_PATH and long != socket_of(tmp_path / ("y" * 90))


@pytest.mark.parametrize("length", [4, 90])
def test_every_name_of_a_folder_leads_to_one_socket(tmp_path: Path, length: int) -> None:
    (folder := tmp_path / ("x" * length)).mkdir()
    (other := tmp_path / "other").symlink_to(folder)
    assert socket_of(other) == socket_of(folder)


# --- weights -----------------------------------------------------------------------------------------------------------------


def test_weights_come_close_to_the_percentages() -> None:
    dice = random.Random(1)
    for _ in range(500):
        cuts = sorted(dice.randint(0, 100) for _ in range(dice.randint(0, 3)))
        shares = {f"v{n}": high - low for n, (low, high) in enumerate(zip([0, *cuts], [*cuts, 100], strict=True))}
        servers = {version: dice.randint(1, 4) for version in shares}
        weights = spread(shares, servers)
        total = sum(weights[v] * servers[v] for v in shares)
        for version, share in shares.items():
            assert 0 <= weights[version] <= GREATEST
            assert (weights[version] == 0) == (share == 0)
            assert abs(100 * weights[version] * servers[version] / total - share) < 2.5, (shares, servers, weights)


def test_round_percentages_are_exact() -> None:
    assert spread({"v1": 90, "v2": 10}, {"v1": 1, "v2": 1}) == {"v1": 9, "v2": 1}
    assert spread({"v1": 90, "v2": 10}, {"v1": 3, "v2": 1}) == {"v1": 3, "v2": 1}
    assert spread({"v1": 0, "v2": 100}, {"v1": 2, "v2": 1}) == {"v1": 0, "v2": 1}


def test_versions_that_are_not_named_share_the_rest() -> None:
    assert wished(["v2=10%"], {"v1": 100, "v2": 0}) == {"v1": 90, "v2": 10}
    assert wished(["v3=10"], {"v1": 80, "v2": 20, "v3": 0}) == {"v1": 72, "v2": 18, "v3": 10}
    assert wished(["v2=0%"], {"v1": 0, "v2": 100}) == {"v1": 100, "v2": 0}
    assert wished(["v2=100%"], {"v1": 100, "v2": 0}) == {"v1": 0, "v2": 100}
    assert wished(["v1=40%", "v2=60%"], {"v1": 100, "v2": 0}) == {"v1": 40, "v2": 60}


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (["v9=10%"], "no version v9. There are v1, v2"),
        (["v1=60%", "v2=60%"], "makes 120%"),
        (["v1=60%", "v2=30%"], "makes 90%"),
        (["v2=101%"], "makes 101%"),
        (["v2=10%", "v2=10%"], "named twice"),
        (["v2"], "not written like v2=10%"),
        (["v2=-1%"], "not written like v2=10%"),
    ],
)
def test_wishes_that_cannot_be_are_refused_with_words(wishes: list[str], said: str) -> None:
    with pytest.raises(WeightsWrong, match=re.escape(said)):
        wished(wishes, {"v1": 100, "v2": 0})


def test_percentages_always_add_up() -> None:
    dice = random.Random(2)
    for _ in range(500):
        now = {"new": 0, **{f"v{n}": dice.randint(0, 100) for n in range(dice.randint(1, 4))}}
        assert sum(wished([f"new={dice.randint(0, 100)}%"], now).values()) == 100


def test_the_plan_in_the_manual_is_one(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    text = manual.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "tls.pem").write_text("")
    file = tmp_path / "gateway.toml"
    file.write_text(text.replace("/etc/forecourt/tls.pem", "tls.pem"))
    read = Plan.read(file)
    assert (read.sockets.name, read.rest.name, read.home_of("chat").name) == ("realtime", "rest", "rest")
    assert read.home_of("booking").shares == {"v1": 100, "v2": 0}


# --- a version that fails ------------------------------------------------------------------------------------------------


def looked(*looks: dict[str, tuple[float, int, int]], health: Health | None = None) -> list[str]:
    """The versions that are withdrawn when `booking` was seen like this one look after the other: percent, answers, failures."""
    watch = Watch()
    found: list[str] = []
    for look in looks:
        shares = [
            Share(version, percent, (ServerState(f"{version}.1", "UP", 1, answers, 0, answers, failures),))
            for version, (percent, answers, failures) in look.items()
        ]
        found += [failing.version for failing in watch.look({"booking": shares}, health or Health())]
    return found


BEGUN = {"v1": (90.0, 1000, 500), "v2": (10.0, 1000, 500)}
"""What was before nobody looked counts for nothing."""


def test_a_version_that_raises_the_rate_of_errors_is_withdrawn() -> None:
    assert looked(BEGUN, {"v1": (90.0, 1900, 500), "v2": (10.0, 1100, 510)}) == ["v2"]
    rare = [{"v1": (90.0, 1000 + 90 * n, 500), "v2": (10.0, 1000 + 10 * n, 500 + n)} for n in range(1, 13)]
    assert looked(BEGUN, *rare) == ["v2"], "one failure a look, ten within a minute"
    assert looked(BEGUN, {"v1": (90.0, 1000, 500), "v2": (10.0, 1010, 510)}) == ["v2"], "also while nobody asks the other"


@pytest.mark.parametrize(
    "now",
    [
        {"v1": (90.0, 1900, 950), "v2": (10.0, 1100, 550)},  # both fail: a database, say
        {"v1": (90.0, 1900, 530), "v2": (10.0, 1100, 509)},  # too few
        {"v1": (90.0, 10_000, 500), "v2": (10.0, 2000, 540)},  # 4 %
        {"v1": (90.0, 1100, 600), "v2": (10.0, 1100, 500)},  # the main one stays whatever it does
        {"v1": (50.0, 1100, 600), "v2": (50.0, 1100, 500)},  # the first of several alike is the main one
        {"v1": (100.0, 1900, 500), "v2": (0.0, 1100, 600)},  # has no requests any more
        {"v1": (90.0, 50, 0), "v2": (10.0, 20, 20)},  # another process counts from nought
    ],
)
def test_a_version_stays_when_it_does_no_worse_or_nobody_can_tell(now: dict[str, tuple[float, int, int]]) -> None:
    assert looked(BEGUN, now) == []


def test_failures_of_long_ago_are_forgotten_and_a_house_says_what_is_many() -> None:
    bad, later = {"v1": (90.0, 1900, 500), "v2": (10.0, 1100, 505)}, {"v1": (90.0, 9000, 500), "v2": (10.0, 1900, 510)}
    assert looked(BEGUN, bad, *[{**bad}] * 12, later) == []
    assert looked(BEGUN, bad, health=Health(withdrawn_after=5, withdrawn_percent=4)) == ["v2"]
    assert looked(BEGUN, bad, health=Health(withdrawn_after=5)) == [], "5 % is not more than 5 %"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\x1f\x8b\xff", "is no text: a plan is written in TOML"),
        (b"hello", "Expected '='"),
    ],
)
def test_a_file_that_is_no_plan_is_called_that(content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(words)) as refused:
        read_plan(file, {})
    assert str(file) in str(refused.value)
    file.write_text(command.EXAMPLE)
    assert read_plan(file, {}).services[0].name == "house", "the control"


async def test_a_folder_that_cannot_be_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "gateway.toml").write_text(command.EXAMPLE)
    for place in ("file", "file/below"):
        with pytest.raises(EngineError, match=rf"{place}: (File exists|Not a directory)") as refused:
            await asyncio.to_thread(command.render, tmp_path / "gateway.toml", data=tmp_path / "var", into=tmp_path / place)
        assert "Choose another" in str(refused.value)
        with pytest.raises(EngineError, match=rf"{place}: (File exists|Not a directory)"):
            await Gateway(read_plan(tmp_path / "gateway.toml", {}), tmp_path / place).start()
