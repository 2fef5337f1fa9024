from __future__ import annotations

from pathlib import Path

import pytest

from forecourt.kernel.settings import Secret, Settings, SettingsError

STRONG = "f3Zr8Qk1vN0yTqLw7HsXb2Jd6MgPc9Ue4Ra5"
PRODUCTION = {"FORECOURT_ENV": "production", "FORECOURT_PUBLIC_URL": "https://book.example.org", "FORECOURT_SECRET_KEY": STRONG}


def test_development_makes_its_secrets_once(tmp_path: Path) -> None:
    environ = {"FORECOURT_DATA": str(tmp_path)}
    first = Settings.read(environ)
    path = tmp_path / "secrets" / "forecourt_secret_key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Settings.read(environ).secrets == first.secrets
    assert path.read_text() == first.secrets.secret_key.reveal()
    assert first.secrets.secret_key.reveal() not in repr(first)


def test_a_secret_that_is_there_and_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    environ = {"FORECOURT_DATA": str(tmp_path), "FORECOURT_CONTRACT_KEYS": "a:b"}
    (tmp_path / "secrets" / "forecourt_secret_key").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"FORECOURT_SECRET_KEY is kept in .*, which cannot be read \(Is a directory\)"):
        Settings.read(environ)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="FORECOURT_SECRET_KEY is missing and cannot be made"):
        Settings.read(environ | {"FORECOURT_DATA": str(tmp_path / "file")})


def test_production_starts_with_what_it_needs_and_makes_nothing(tmp_path: Path) -> None:
    settings = Settings.read(PRODUCTION | {"FORECOURT_DATA": str(tmp_path)})
    assert settings.production and settings.secrets.contract_keys == () and settings.secrets.gateway_keys == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("secret", ["", "short", "change-me-" * 5, "a" * 40])
def test_production_refuses_a_missing_or_default_secret(secret: str) -> None:
    with pytest.raises(SettingsError, match="FORECOURT_SECRET_KEY"):
        Settings.read(PRODUCTION | {"FORECOURT_SECRET_KEY": secret})


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("DATABASE_URL", "postgresql://app:{}@db/app"),
        ("VALKEY_URL", "valkey://:{}@cache:6379/0"),
        ("FORECOURT_SMTP_URL", "smtps://house:{}@mail.example.org"),
    ],
)
def test_production_refuses_an_address_with_a_well_known_password(name: str, address: str) -> None:
    Settings.read(PRODUCTION | {name: address.format("bR7-kq2xTz")})
    Settings.read({"FORECOURT_SECRET_KEY": "x", "FORECOURT_CONTRACT_KEYS": "a:b", name: address.format("changeme")})
    with pytest.raises(SettingsError, match=f"{name} has a well-known password"):
        Settings.read(PRODUCTION | {name: address.format("changeme")})


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://cdn.example.org/shop/", ""),
        ("https://cdn.example.org:8443", ""),
        ("http://cdn.example.org", "browsers refuse"),
        ("cdn.example.org", "starts with http"),
        ("https://cdn.example.org;script-src *", "give an address such as"),
        ("https://cdn.example.org/a, https://evil.example", "give an address such as"),
        ("https://me:word@cdn.example.org", "give an address such as"),
        ("https://cdn.example.org/?v=1", "give an address such as"),
        ("https://*.example.org", "give an address such as"),
    ],
)
def test_static_files_come_from_an_address_that_a_policy_can_name(address: str, said: str) -> None:
    environ = PRODUCTION | {"FORECOURT_ASSETS_URL": address}
    if not said:
        assert Settings.read(environ).http.assets_url == address.rstrip("/")
        return
    with pytest.raises(SettingsError, match=f"FORECOURT_ASSETS_URL .*{said}"):
        Settings.read(environ)


def test_every_fault_is_named_at_once() -> None:
    environ = {
        "FORECOURT_ENV": "production",
        "FORECOURT_PORT": "x",
        "DATABASE_URL": "postgresql://app:postgres@db/app",
        "VALKEY_URL": "http://cache",
        "FORECOURT_MODULES": "venues",
        "FORECOURT_PEERS": "booking",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.read(environ)
    names = ("PORT", "DATABASE_URL", "VALKEY_URL", "PEERS", "PUBLIC_URL", "SECRET_KEY", "CONTRACT_KEYS", "GATEWAY_KEYS")
    assert all(any(name in fault for fault in caught.value.faults) for name in names)


def test_a_peer_may_have_several_addresses() -> None:
    environ = {"FORECOURT_PEERS": "venues=http://a:8000/|http://b:8000,people=http://c:8000", "FORECOURT_MODULES": "booking"}
    environ |= dict.fromkeys(("FORECOURT_CONTRACT_KEYS", "FORECOURT_GATEWAY_KEYS", "FORECOURT_SECRET_KEY"), STRONG)
    peers = Settings.read(environ).topology.peers
    assert peers == {"venues": ("http://a:8000", "http://b:8000"), "people": ("http://c:8000",)}
    for wrong in ("venues=http://a:8000|", "venues=http://a:8000|b:8000", "venues=|"):
        with pytest.raises(SettingsError, match="FORECOURT_PEERS"):
            Settings.read(environ | {"FORECOURT_PEERS": wrong})


@pytest.mark.parametrize(("given", "drain_s"), [({}, 5), ({"FORECOURT_DRAIN_S": "0"}, 0), ({"FORECOURT_DRAIN_S": "20"}, 20)])
def test_a_server_in_production_leaves_slowly_unless_told_otherwise(given: dict[str, str], drain_s: int) -> None:
    assert Settings.read(PRODUCTION | given).http.drain_s == drain_s


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(STRONG + "\n")
    environ = PRODUCTION | {"FORECOURT_SECRET_KEY": "", "FORECOURT_SECRET_KEY_FILE": str(path)}
    assert Settings.read(environ).secrets.secret_key.reveal() == STRONG
    with pytest.raises(SettingsError, match="both"):
        Settings.read(environ | {"FORECOURT_SECRET_KEY": STRONG})
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.read(environ | {"FORECOURT_SECRET_KEY_FILE": str(tmp_path / "none")})


SPLIT = {
    "one of several modules": {"FORECOURT_MODULES": "booking"},
    "calls others": {"FORECOURT_PEERS": "venues=http://venues:8000"},
}
PLAIN = "q7Rz4kV1nX0yTpLw8HsCb2Jd6MgPa9Ue3Fi5"


@pytest.mark.parametrize("kind", SPLIT)
def test_a_split_house_in_production_does_not_start_without_gateway_keys(kind: str, tmp_path: Path) -> None:
    environ = PRODUCTION | SPLIT[kind] | {"FORECOURT_CONTRACT_KEYS": STRONG, "FORECOURT_DATA": str(tmp_path)}
    with pytest.raises(SettingsError, match="FORECOURT_GATEWAY_KEYS is missing: set it, or FORECOURT_GATEWAY_KEYS_FILE"):
        Settings.read(environ)
    assert list(tmp_path.iterdir()) == []
    assert Settings.read(environ | {"FORECOURT_GATEWAY_KEYS": PLAIN}).secrets.gateway_keys == (Secret(PLAIN),)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("short", "key 1 is too short"),
        (f"a:{PLAIN},b:change-me-{PLAIN}", "key 2 is a default or a placeholder"),
        (f"a:{PLAIN},a:{PLAIN[::-1]}", "id of key 2 is not a short name of its own"),
        (f"a:{PLAIN} {PLAIN}", "key 1 holds a blank"),
        (f"a:ключ{PLAIN}", "key 1 holds a blank or a letter beyond ASCII"),
        (",", "holds no key"),
    ],
)
def test_gateway_keys_that_cannot_be_are_refused_and_never_repeated(keys: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        Settings.read(PRODUCTION | {"FORECOURT_GATEWAY_KEYS": keys})
    assert PLAIN not in str(refused.value) and len(refused.value.faults) == 1


def test_a_gateway_shows_the_first_key_and_all_are_good(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"new:{STRONG}, old:{PLAIN}\n")
    settings = Settings.read(PRODUCTION | {"FORECOURT_GATEWAY_KEYS_FILE": str(path)})
    assert settings.secrets.gateway_keys == (Secret(STRONG), Secret(PLAIN))
    assert STRONG not in repr(settings.secrets)


def test_one_process_has_gateway_keys_only_when_it_is_told_and_several_in_development_share_theirs(tmp_path: Path) -> None:
    environ = {"FORECOURT_DATA": str(tmp_path)}
    silent = environ | {"FORECOURT_PEERS": "realtime=http://b:8000,worker=http://c:8000"}
    for alone in (environ, silent):
        assert Settings.read(alone).secrets.gateway_keys == ()
    assert not (tmp_path / "secrets" / "forecourt_gateway_keys").exists()
    assert Settings.read(environ | {"FORECOURT_GATEWAY_KEYS": "x"}).secrets.gateway_keys == (Secret("x"),)
    one, other = (Settings.read(environ | {"FORECOURT_MODULES": name}).secrets.gateway_keys for name in ("booking", "venues"))
    assert one == other != ()


BROKEN = [
    ("DATABASE_URL", "postgresql://app:s3cr3t@[broken/house"),
    ("DATABASE_URL", "postgresql://app:s3cr3t@db:many/house"),
    ("DATABASE_URL", "postgresql://app:s3cr3t@one:5432,two:70000/house"),
    ("DATABASE_URL", "postgresql://app:s3cr3t/with-a-slash@db/house"),
    ("VALKEY_URL", "valkey://:s3cr3t@cache:many"),
    ("FORECOURT_SMTP_URL", "smtp://app:s3cr3t@[x"),
    ("FORECOURT_PUBLIC_URL", "http://[x"),
    ("FORECOURT_PUBLIC_URL", "https://book.example.org:many"),
    ("FORECOURT_CORS_ORIGINS", "http://[x"),
    ("FORECOURT_PEERS", "venues=http://[x"),
    ("FORECOURT_MEDIA_URL", "s3://[x"),
]
WHOLE = [
    ("DATABASE_URL", "postgresql://app:p%2Fw@one:5432,[2001:db8::1]:5433/house?target_session_attrs=read-write"),
    ("DATABASE_URL", "postgresql:///house?host=/run/postgresql"),
    ("VALKEY_URL", "unix:///run/valkey.sock?db=0"),
    ("FORECOURT_PUBLIC_URL", "http://[::1]:8000"),
    ("FORECOURT_PEERS", "venues=http://[fd00::2]:8000"),
]


@pytest.mark.parametrize(("name", "address", "taken"), [(*a, False) for a in BROKEN] + [(*a, True) for a in WHOLE])
def test_an_address_that_cannot_be_read_is_a_fault_with_a_name_and_shows_no_password(
    name: str, address: str, taken: bool, tmp_path: Path
) -> None:
    environ = {"FORECOURT_SECRET_KEY": "x", "FORECOURT_CONTRACT_KEYS": "a:b", "FORECOURT_GATEWAY_KEYS": "a:b"}
    environ |= {"FORECOURT_DATA": str(tmp_path), name: address}
    if taken:
        Settings.read(environ)
        return
    with pytest.raises(SettingsError) as refused:
        Settings.read(environ)
    assert [fault.startswith(name) for fault in refused.value.faults] == [True]
    assert "s3cr3t" not in str(refused.value)


def test_a_secret_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    environ = {"FORECOURT_CONTRACT_KEYS": "a:b", "FORECOURT_DATA": str(tmp_path)}
    with pytest.raises(
        SettingsError, match=r"FORECOURT_SECRET_KEY_FILE: /nowhere/key cannot be read \(No such file or directory\)"
    ):
        Settings.read(environ | {"FORECOURT_SECRET_KEY_FILE": "/nowhere/key"})
    (tmp_path / "noise").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"noise cannot be read \(it is no text\)"):
        Settings.read(environ | {"FORECOURT_SECRET_KEY_FILE": str(tmp_path / "noise")})
