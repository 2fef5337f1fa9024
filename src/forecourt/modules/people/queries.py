"""All SQL of people, one typed function per statement."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.modules.people.contract import PlayedSport, Preferences, PreferredTime, ProfileField, Visibility


class ProfileRow(Struct, frozen=True):
    account_id: UUID
    display_name: str
    handle: str | None
    bio: str
    photo_id: UUID | None
    city: str
    sports: list[PlayedSport]
    preferred_times: list[PreferredTime]
    languages: list[str]
    visibility: dict[ProfileField, Visibility]
    version: int


class ChosenRow(Struct, frozen=True):
    account_id: UUID
    chosen: Preferences


PROFILE = Query(
    ProfileRow,
    "select account_id, display_name, handle, bio, photo_id, city, sports, preferred_times, languages, visibility, version"
    " from people.profile where account_id = $1",
)
PROFILE_BY_HANDLE = Query(
    ProfileRow,
    "select account_id, display_name, handle, bio, photo_id, city, sports, preferred_times, languages, visibility, version"
    " from people.profile where handle_key = $1",
)
PROFILES_BY_HANDLE = Query(
    ProfileRow,
    "select account_id, display_name, handle, bio, photo_id, city, sports, preferred_times, languages, visibility, version"
    " from people.profile where handle_key = any($1::text[]) limit 50",
)
LOCK_PROFILE = Query(
    ProfileRow,
    "select account_id, display_name, handle, bio, photo_id, city, sports, preferred_times, languages, visibility, version"
    " from people.profile where account_id = $1 for update",
)
PROFILES = Query(
    ProfileRow,
    "select account_id, display_name, handle, bio, photo_id, city, sports, preferred_times, languages, visibility, version"
    " from people.profile where account_id = any($1::uuid[]) limit 200",
)
BEGIN_PROFILE = Statement(
    "insert into people.profile (account_id, display_name, updated_at) values ($1, $2, $3) on conflict (account_id) do nothing"
)
SAVE_PROFILE = Statement(
    "update people.profile set display_name = $2, handle = $3, handle_key = $4, bio = $5, photo_id = $6, city = $7,"
    " sports = $8::text::jsonb, preferred_times = $9::text::jsonb, languages = $10, visibility = $11::text::jsonb,"
    " version = $12, updated_at = $13 where account_id = $1"
)
PREFERENCES = Query(ChosenRow, "select account_id, chosen from people.preferences where account_id = $1")
SAVE_PREFERENCES = Statement(
    "insert into people.preferences (account_id, chosen, updated_at) values ($1, $2::text::jsonb, $3)"
    " on conflict (account_id) do update set chosen = excluded.chosen, updated_at = excluded.updated_at"
)
BEGIN_PREFERENCES = Statement(
    "insert into people.preferences (account_id, chosen, updated_at) values ($1, $2::text::jsonb, $3) on conflict do nothing"
)
REMOVE_PROFILE = Statement("delete from people.profile where account_id = $1")
REMOVE_PREFERENCES = Statement("delete from people.preferences where account_id = $1")


async def profile(tx: Tx, account_id: UUID) -> ProfileRow | None:
    return await tx.maybe(PROFILE, account_id)


async def profile_by_handle(tx: Tx, handle_key: str) -> ProfileRow | None:
    return await tx.maybe(PROFILE_BY_HANDLE, handle_key)


async def profiles_by_handle(tx: Tx, handle_keys: list[str]) -> list[ProfileRow]:
    return await tx.all(PROFILES_BY_HANDLE, handle_keys)


async def lock_profile(tx: Tx, account_id: UUID) -> ProfileRow:
    return await tx.one(LOCK_PROFILE, account_id)


async def profiles(tx: Tx, account_ids: list[UUID]) -> list[ProfileRow]:
    return await tx.all(PROFILES, account_ids)


async def begin_profile(tx: Tx, account_id: UUID, name: str, at: datetime) -> None:
    """Makes the row when there is none."""
    await tx.run(BEGIN_PROFILE, account_id, name, at)


async def save_profile(tx: Tx, row: ProfileRow, handle_key: str | None, at: datetime) -> None:
    await tx.run(
        SAVE_PROFILE,
        row.account_id,
        row.display_name,
        row.handle,
        handle_key,
        row.bio,
        row.photo_id,
        row.city,
        to_json(row.sports),
        to_json(row.preferred_times),
        row.languages,
        to_json(row.visibility),
        row.version,
        at,
    )


async def preferences(tx: Tx, account_id: UUID) -> Preferences | None:
    row = await tx.maybe(PREFERENCES, account_id)
    return None if row is None else row.chosen


async def save_preferences(tx: Tx, account_id: UUID, chosen: Preferences, at: datetime) -> None:
    await tx.run(SAVE_PREFERENCES, account_id, to_json(chosen), at)


async def begin_preferences(tx: Tx, account_id: UUID, chosen: Preferences, at: datetime) -> None:
    """For somebody who has chosen nothing yet; nothing happens when they have."""
    await tx.run(BEGIN_PREFERENCES, account_id, to_json(chosen), at)


async def remove(tx: Tx, account_id: UUID) -> None:
    """A person's profile and preferences; the handle is free again."""
    await tx.run(REMOVE_PROFILE, account_id)
    await tx.run(REMOVE_PREFERENCES, account_id)
