"""squawk, as `make lint` runs it, refuses what would hurt a running system and lets a new module's first file pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SOUND = """
create table venues.court (
    organisation_id uuid not null,
    id uuid not null,
    name text not null check (length(name) between 1 and 80),
    capacity int not null,
    during tstzrange not null,
    seq bigint generated always as identity,
    primary key (organisation_id, id),
    foreign key (organisation_id) references venues.organisation (id)
);
create index court_name on venues.court (organisation_id, name);
alter table venues.court enable row level security;
alter table venues.court force row level security;
create policy tenant on venues.court using (organisation_id = nullif(current_setting('forecourt.org', true), '')::uuid);
grant select, insert on venues.court to fc_venues;
"""


def lint(folder: Path, sql: str) -> tuple[int, str]:
    file = folder / "modules" / "venues" / "migrations" / "0001_courts.sql"
    file.parent.mkdir(parents=True)
    file.write_text(sql)
    done = subprocess.run(
        [sys.executable, "-m", "tools.lint_migrations", folder], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "squawk: 1 migrations" in done.stdout, f"the file was not looked at:\n{done.stdout}{done.stderr}"
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "sql",
    [
        SOUND,
        "-- forecourt: no transaction\nset lock_timeout = '3s';\nset statement_timeout = '10min';\n"
        "create index concurrently if not exists court_name on venues.court (name);\n",
        "alter table venues.court add column surface text;\n",
        "-- last read by release 0.3\n-- squawk-ignore ban-drop-column\nalter table venues.court drop column surface;\n",
    ],
    ids=["a new table", "a concurrent index on its own", "a nullable column", "a drop with its reason"],
)
def test_a_safe_migration_passes(tmp_path: Path, sql: str) -> None:
    code, words = lint(tmp_path, sql)
    assert code == 0, words


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("create index court_name on venues.court (name);", "require-concurrent-index-creation"),
        (
            "-- forecourt: no transaction\ncreate index concurrently if not exists c on venues.court (name);",
            "require-lock-timeout",
        ),
        ("alter table venues.court add column surface text not null;", "adding-required-field"),
        ("alter table venues.court drop column name;", "ban-drop-column"),
        ("alter table venues.court rename column name to title;", "renaming-column"),
        ("alter table venues.court alter column capacity type bigint;", "changing-column-type"),
        ("alter table venues.court add constraint c check (capacity > 0);", "constraint-missing-not-valid"),
        ("create table court (id uuid primary key);", "require-table-schema"),
        ("create table venues.visit (at timestamp not null);", "prefer-timestamp-tz"),
        ("create table venues.visit (id bigserial primary key);", "prefer-identity"),
    ],
)
def test_an_unsafe_migration_is_refused(tmp_path: Path, sql: str, rule: str) -> None:
    code, words = lint(tmp_path, f"{sql}\n")
    assert code != 0
    assert rule in words
