from __future__ import annotations

from pathlib import Path

import pytest

from forecourt.kernel.settings import Settings, SettingsError

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


def test_production_starts_with_what_it_needs_and_makes_nothing(tmp_path: Path) -> None:
    settings = Settings.read(PRODUCTION | {"FORECOURT_DATA": str(tmp_path)})
    assert settings.production and settings.secrets.contract_keys == ()
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
    names = ("PORT", "DATABASE_URL", "VALKEY_URL", "PEERS", "PUBLIC_URL", "SECRET_KEY", "CONTRACT_KEYS")
    assert all(any(name in fault for fault in caught.value.faults) for name in names)


def test_a_peer_may_have_several_addresses() -> None:
    environ = {"FORECOURT_PEERS": "venues=http://a:8000/|http://b:8000,people=http://c:8000", "FORECOURT_MODULES": "booking"}
    peers = Settings.read(environ | {"FORECOURT_CONTRACT_KEYS": STRONG, "FORECOURT_SECRET_KEY": STRONG}).topology.peers
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
