"""Where each table would lie in a database of many servers: what its rows are spread by, and what stays together on one.

`deploy/citus/distribution.sql` and the lint of keys are made from this and from the catalogue of a migrated database. The rule
is short: rows go where their organisation is, rooms' where their room is, files' where their holder is, a person's where the
person is. What has to be an exception is named below, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import msgspec

from forecourt.layout import module_names

Connection = Any  # asyncpg.Connection[asyncpg.Record], which is no type at run time

BY_RULE = ("organisation_id", "room_id", "holder_id", "account_id")
"""The first of these columns that a table has is what its rows are spread by."""

BY_ANOTHER_COLUMN = {
    "booking.guest": ("account_id", "asked for by the person, to learn which organisations to ask"),
    "payments.customer": ("account_id", "the same"),
    "chat.seat": ("account_id", "asked for by the person, to learn which rooms to ask"),
    "chat.trace": ("account_id", "asked for by the person too, of rooms that they have left"),
    "media.locator": ("id", "asked for by the file, before its holder is known"),
    "booking.invited_address": ("address", "asked for by the address, to learn where it was invited"),
}

EVERYWHERE = {
    "chat.room": "what a room is called and may: read with everything in it, written when it is made and edited;"
    " one for each booking, which only a table that is whole can promise",
    "chat.pair": "which room two people have: asked for by the two before it is known, and by the room for a list of either;"
    " written once, with the room, which is everywhere too",
    "chat.setting": "what a person does not want others to see: read with the members of a room; written when somebody minds",
}
"""Copied to every server, so that spread tables may point at them."""

AT_HOME = {
    "kernel": "one log, one queue and one set of cursors; past one log, an installation each (forecourt org export)",
    "identity": "accounts are the house's, one for each address, token and number; ten million of them fit one server",
    "people": "handles are unique in the whole house; a row for each person",
    "venues": "searched across organisations, changed a few times a day, small: a row for each venue and court",
    "booking.feed": "opened by a token, before the person is known",
    "booking.resource_feed": "opened by a token, before the organisation is known",
    "notifications.outbox": "development's mailbox",
    "notifications.unwanted": "asked for by an address that is no account's; a row for each that wants no mail",
}
"""Schemas and tables that stay on the first server. Modules never join another's tables, so a schema may."""


SETTINGS = {
    "citus.propagate_set_commands": (
        "local",
        "Tenants are set with `set local`; without this the other servers would not hear of them",
    ),
    "citus.enable_unsafe_triggers": (
        "on",
        "The ledger keeps its books with triggers that touch rows of the same organisation only, so on the same server",
    ),
    "citus.override_table_visibility": (
        "off",
        "The driver asks the catalogue what a type is; with the parts of tables hidden from it that takes ten seconds",
    ),
}
"""What every session of the program needs, and why."""


class Mend(msgspec.Struct, frozen=True):
    """A key that a spread table cannot have, why we keep it on one server, and what takes its place on many."""

    why: str
    instead: tuple[str, ...]


MENDED = {
    "booking.occupancy occupancy_pkey": Mend(
        "Citus 14 spreads a table whose key is `without overlaps` and leaves that key out without a word: two bookings would"
        " have one place. It keeps an exclusion constraint, which is the same in older words",
        (
            "alter table booking.occupancy drop constraint occupancy_pkey;",
            "alter table booking.occupancy add constraint occupancy_pkey"
            " exclude using gist (organisation_id with =, resource_id with =, during with &&);",
        ),
    ),
    "chat.message message_id": Mend(
        "ids are random: nobody has to look for a second one in other rooms",
        (
            "alter table chat.message drop constraint message_id;",
            "alter table chat.message add constraint message_id unique (room_id, id);",
            "create index message_by_id on chat.message (id);",
        ),
    ),
}


POLICIES_MENDED = {
    "chat.room seen_by_members": Mend(
        "a policy of a spread or copied table may ask no other table: the transaction names the rooms of its person instead",
        (
            "create or replace function chat.is_asked_room(id uuid) returns boolean language sql stable parallel safe"
            " return strpos(current_setting('forecourt.rooms', true), id::text) > 0;",
            "revoke execute on function chat.is_asked_room(uuid) from public;",
            "grant execute on function chat.is_asked_room(uuid) to fc_chat;",
            "drop policy seen_by_members on chat.room;",
            "create policy seen_by_members on chat.room for select to fc_chat using (id = chat.current_room()"
            " or (public and kernel.current_account() is not null) or chat.is_asked_room(id));",
        ),
    ),
    "chat.message seen_by_members": Mend(
        "the same",
        (
            "drop policy seen_by_members on chat.message;",
            "create policy seen_by_members on chat.message for select to fc_chat"
            " using (room_id = chat.current_room() or chat.is_asked_room(room_id));",
        ),
    ),
    "chat.setting own_or_of_who_is_here": Mend(
        "the same: it names the members of the room that it opened",
        (
            "create or replace function chat.is_asked_person(id uuid) returns boolean language sql stable parallel safe"
            " return strpos(current_setting('forecourt.people', true), id::text) > 0;",
            "revoke execute on function chat.is_asked_person(uuid) from public;",
            "grant execute on function chat.is_asked_person(uuid) to fc_chat;",
            "drop policy own_or_of_who_is_here on chat.setting;",
            "create policy own_or_of_who_is_here on chat.setting for select to fc_chat"
            " using (account_id = kernel.current_account() or chat.is_asked_person(account_id));",
        ),
    ),
    "chat.house_rule of_the_organisation_or_the_room_opened": Mend(
        "the same: it names the organisation of the room that it opened",
        (
            "create or replace function chat.current_house() returns uuid language sql stable parallel safe"
            " return nullif(current_setting('forecourt.house', true), '')::uuid;",
            "revoke execute on function chat.current_house() from public;",
            "grant execute on function chat.current_house() to fc_chat;",
            "drop policy of_the_organisation_or_the_room_opened on chat.house_rule;",
            "create policy of_the_organisation_or_the_room_opened on chat.house_rule for select to fc_chat"
            " using (organisation_id = kernel.current_org() or organisation_id = chat.current_house());",
        ),
    ),
}
"""Policies that hold a sub-select, which spread and copied tables may not have. On one server they ask the membership itself; on
many they go by settings that the program makes from what row security has shown it (`Tx.pass_on`). `forecourt.rooms` and
`forecourt.people` are ids with commas between them: one id cannot be found across two."""

TRIGGERS_MENDED = {
    "payments.entry keep_the_books": Mend(
        "no statement joins a transition table with a spread one: this one goes by organisation",
        (
            "drop trigger keep_the_books on payments.entry;",
            "create trigger keep_the_books after insert on payments.entry referencing new table as added"
            " for each statement execute function payments.keep_the_books_by_house();",
        ),
    ),
}
"""Triggers whose function other servers cannot run, and what does the same there."""

RIGHTS_MENDED = {
    "chat.pair fc_chat": Mend(
        "who adds to a copied table `on conflict` locks it, for which Citus wants a right to change it; no policy lets anybody",
        ("grant update (room_id) on chat.pair to fc_chat;",),
    ),
}
"""Who may add to a copied table and change nothing of it."""


WRITES_ELSEWHERE = {
    "booking.booking guest_is_noted": "the program notes a guest itself, where the person is (kernel/whereabouts.py)",
    "payments.payment customer_is_noted": "the same for whoever pays",
    "payments.wallet customer_is_noted": "the same for whoever has credits",
    "chat.member seat_follows": "the program seats who comes, unseats who leaves and notes that itself (chat/queries.py)",
}
"""Triggers of spread tables that write rows which lie elsewhere, so only one server can have them; what takes their place."""


class TableFacts(msgspec.Struct, frozen=True):
    name: str
    columns: list[str]
    keys: list[KeyFacts]
    triggers: list[str] = []
    asking_policies: list[str] = []
    """Row policies that hold a sub-select."""
    adders: list[str] = []
    """Roles that may add rows, and change or remove none."""


class KeyFacts(msgspec.Struct, frozen=True):
    """A primary key, a unique or exclusion constraint or index, or a foreign key with what it points at."""

    name: str
    kind: str
    """`p`, `u`, `x`, `f`, as the catalogue has it; `i` for a unique index without a constraint."""
    columns: list[str]
    other: str | None = None
    other_columns: list[str] = []
    without_overlaps: bool = False


_TABLES = """
select n.nspname || '.' || c.relname as name,
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    array(select t.tgname::text from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal order by 1) as triggers,
    array(select p.polname::text from pg_policy p where p.polrelid = c.oid
             and coalesce(p.polqual::text, '') || coalesce(p.polwithcheck::text, '') like '%{SUBLINK %'
           order by 1) as asking_policies,
    array(select r.rolname::text from pg_roles r
           where starts_with(r.rolname::text, 'fc_') and has_table_privilege(r.oid, c.oid, 'insert')
             and not has_any_column_privilege(r.oid, c.oid, 'update') and not has_table_privilege(r.oid, c.oid, 'delete')
           order by 1) as adders
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""
_KEYS = """
with named as (
    select c.oid, n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition
)
select t.name as table_name, k.conname::text as name, k.contype::text as kind,
    (select array_agg(a.attname::text order by u.place) from unnest(k.conkey) with ordinality u (num, place)
       join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num) as columns,
    o.name as other,
    (select array_agg(a.attname::text order by u.place) from unnest(k.confkey) with ordinality u (num, place)
       join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num) as other_columns,
    k.conperiod as without_overlaps
  from pg_constraint k join named t on t.oid = k.conrelid left join named o on o.oid = k.confrelid
 where k.contype in ('p', 'u', 'x', 'f')
union all
select t.name, i.indexrelid::regclass::text, 'i',
    (select array_agg(coalesce(a.attname::text, '(expression)')) from unnest(i.indkey::int2[]) u (num)
       left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.num and u.num > 0), null, null, false
  from pg_index i join named t on t.oid = i.indrelid
 where i.indisunique and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
order by 1, 2
"""


async def tables(connection: Connection) -> list[TableFacts]:
    """Every table of ours with its keys, by name. Partitions are their parents' affair."""
    schemas = ["kernel", *module_names()]
    keys: dict[str, list[KeyFacts]] = {}
    for r in await connection.fetch(_KEYS, schemas):
        key = KeyFacts(r["name"], r["kind"], r["columns"], r["other"], r["other_columns"] or [], r["without_overlaps"])
        keys.setdefault(r["table_name"], []).append(key)
    found = await connection.fetch(_TABLES, schemas)
    return [
        TableFacts(r["name"], r["columns"], keys.get(r["name"], []), r["triggers"], r["asking_policies"], r["adders"])
        for r in found
    ]


_QUIET = """
select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname = any($1) and p.prosrc like '%set_config(''forecourt.%' and p.prosrc not like '%set local forecourt.%'
 order by 1
"""


async def quiet_functions(connection: Connection) -> list[str]:
    """Functions of schemas with spread tables that set a tenant in a way of which no other server hears."""
    schemas = [name for name in module_names() if name not in AT_HOME]
    return [r[0] for r in await connection.fetch(_QUIET, schemas)]


def at_home(name: str) -> bool:
    return name in AT_HOME or name.partition(".")[0] in AT_HOME


def spread_by(table: TableFacts) -> str | None:
    """The column that a table's rows are spread by; None for one that is not spread. Raises LookupError when nobody has said."""
    if at_home(table.name) or table.name in EVERYWHERE:
        return None
    if table.name in BY_ANOTHER_COLUMN:
        return BY_ANOTHER_COLUMN[table.name][0]
    found = next((column for column in BY_RULE if column in table.columns), None)
    if found is None:
        raise LookupError(f"{table.name} has none of {', '.join(BY_RULE)}: say in forecourt/spread.py where its rows lie")
    return found


def faults(found: list[TableFacts]) -> list[str]:
    """What keeps these tables from being spread, a line each, but for what is mended."""
    wrong: list[str] = []
    by: dict[str, str | None] = {}
    for table in found:
        try:
            by[table.name] = spread_by(table)
        except LookupError as e:
            wrong.append(str(e))
    for table in found:
        column = by.get(table.name)
        for key in table.keys if column is not None else ():
            fault = _fault(key, column, by)
            if fault and f"{table.name} {key.name}" not in MENDED:
                wrong.append(f"{table.name} {key.name} {fault}")
    there = {f"{table.name} {key.name}" for table in found for key in table.keys}
    wrong += [f"{name} is mended in forecourt/spread.py and is no key" for name in MENDED if name not in there]
    wrong += _mended_or_not(
        {f"{table.name} {policy}" for table in found if not at_home(table.name) for policy in table.asking_policies},
        POLICIES_MENDED,
        "is a policy with a sub-select, which a spread or copied table may not have",
    )
    wrong += _mended_or_not(
        {f"{table.name} {role}" for table in found if table.name in EVERYWHERE for role in table.adders},
        RIGHTS_MENDED,
        "may add to a copied table and change nothing, which is refused `on conflict`",
    )
    triggers = {f"{table.name} {trigger}" for table in found for trigger in table.triggers}
    wrong += [
        f"{name} is named in forecourt/spread.py and is no trigger"
        for name in (*WRITES_ELSEWHERE, *TRIGGERS_MENDED)
        if name not in triggers
    ]
    names = {table.name for table in found} | {table.name.partition(".")[0] for table in found}
    wrong += [
        f"{name} is named in forecourt/spread.py and is not there"
        for name in (*AT_HOME, *EVERYWHERE, *BY_ANOTHER_COLUMN)
        if name not in names
    ]
    return wrong


def _mended_or_not(found: set[str], mended: Mapping[str, Mend], fault: str) -> list[str]:
    """What is wrong and not mended, and what is mended and not wrong."""
    unmended = [f"{name} {fault}" for name in sorted(found - set(mended))]
    return unmended + [f"{name} is mended in forecourt/spread.py and needs it not" for name in sorted(set(mended) - found)]


def _fault(key: KeyFacts, column: str | None, by: dict[str, str | None]) -> str:
    if key.other in EVERYWHERE:
        return ""
    if column not in key.columns:
        return f"does not contain {column}"
    if key.without_overlaps:
        return "is a key without overlaps, which is lost without a word when the table is spread"
    return "" if key.other is None else _leads_away(key, str(column), key.other, by)


def _leads_away(key: KeyFacts, column: str, other: str, by: dict[str, str | None]) -> str:
    """What is wrong with where a foreign key leads."""
    if by.get(other) is None:
        return f"points at {other}, which stays at home"
    if dict(zip(key.columns, key.other_columns, strict=True)).get(column) != by[other]:
        return f"does not lead from {column} to {by[other]} of {other}"
    return ""


def distribution(found: list[TableFacts]) -> str:
    """The statements that spread the tables, for a superuser of the coordinator, on a database that was just migrated."""
    lines = [
        "-- Made by `python -m tools.lint_distribution --write` from the migrated catalogue and src/forecourt/spread.py.",
        "-- For a database that was just migrated, before anything is in it: psql -v database=NAME -f distribution.sql, as a",
        "-- superuser of the first server, when the others are known to it. Step by step, with reasons: docs/scale.md.",
        "",
        "\\set ON_ERROR_STOP on",
        "create extension if not exists citus;",
        "do $$ begin",
        "    if (select count(distinct sign(n.groupid)) from pg_dist_node n) < 2 then",
        "        raise exception 'first citus_set_coordinator_host(…), then citus_add_node(…) for each other server';",
        "    end if;",
        "end $$;",
    ]
    for name, (value, why) in SETTINGS.items():
        lines += [f"-- {why}.", f"alter database :\"database\" set {name} = '{value}';", f"set {name} = '{value}';"]
    lines += [
        "-- Rooms are copied; what points at them is spread in its turn, and not turned into something else before.",
        "set citus.enable_local_reference_table_foreign_keys = 'off';",
        "",
    ]
    for name, mend in (*MENDED.items(), *POLICIES_MENDED.items(), *RIGHTS_MENDED.items(), *TRIGGERS_MENDED.items()):
        lines += [f"-- {name}: {mend.why}.", *mend.instead, ""]
    lines.append("-- These write rows that lie elsewhere, which only one server can do; the program writes them itself.")
    lines += [f"drop trigger {name.split()[1]} on {name.split()[0]};" for name in WRITES_ELSEWHERE]
    lines.append("")
    first: dict[str, str] = {}
    for table in in_order(found):
        column = spread_by(table)
        if table.name in EVERYWHERE:
            lines.append(f"select create_reference_table('{table.name}');")
        if column is None:
            continue
        group = table.name if table.name in BY_ANOTHER_COLUMN else column
        beside = first.setdefault(group, table.name)
        together = "none" if beside == table.name else beside
        lines.append(f"select create_distributed_table('{table.name}', '{column}', colocate_with => '{together}');")
    home = ", ".join(table.name for table in found if at_home(table.name))
    lines += ["", "-- These stay on the first server as they are:", *(f"-- {line}" for line in wrap(home, 120))]
    lines += ["", "-- Nothing was lost on the way: every part has the keys and checks that the table has here."]
    lines += [
        "do $$ declare",
        "    part record;",
        "begin",
        "    for part in select t.name, r.result from unnest(array[",
        *(f"        '{table.name}'," for table in found if spread_by(table) is not None),
        "        'chat.room']) t (name) cross join lateral run_command_on_shards(t.name::regclass, $part$",
        "            select count(*) from pg_constraint k where k.conrelid = '%s'::regclass and k.contype <> 'n' $part$) r",
        "        where r.result <> (select count(*)::text from pg_constraint k",
        "                            where k.conrelid = t.name::regclass and k.contype <> 'n')",
        "    loop",
        "        raise exception 'a part of % has % keys and checks, and not as many as the table', part.name, part.result;",
        "    end loop;",
        "end $$;",
        "do $$ begin",
        "    if exists (select from (values",
        *(f"        ({key})," for key in keys_to_be_kept(found)),
        "        ('chat.room', 'room_pkey')) k (tab, con)",
        "        where not exists (select from pg_constraint c where c.conrelid = k.tab::regclass and c.conname = k.con)) then",
        "        raise exception 'a key was lost when its table was spread';",
        "    end if;",
        "end $$;",
    ]
    lines += ["", "-- The first server asks the others as the role of the module; on the first nobody logs in as one."]
    lines += [
        "do $first$ declare",
        "    said record;",
        "begin",
        "    for said in select w.nodename, w.result from run_command_on_workers($other$ do $each$ begin",
        "        set local citus.enable_alter_role_propagation = 'off';",
        *(f"        alter role {role} login;" for role in roles()),
        "    end $each$ $other$) w where not w.success loop",
        "        raise exception '%: %', said.nodename, said.result;",
        "    end loop;",
        "end $first$;",
    ]
    return "\n".join(lines) + "\n"


def keys_to_be_kept(found: list[TableFacts]) -> list[str]:
    """Table and name, as SQL, of what decides who is first."""
    return [
        f"'{table.name}', '{key.name}'"
        for table in found
        if spread_by(table) is not None
        for key in table.keys
        if key.kind in ("p", "u", "x")
    ]


def roles() -> list[str]:
    """Those that ask for rows."""
    return [f"fc_{name}" for name in ("kernel", *module_names())]


def in_order(found: list[TableFacts]) -> list[TableFacts]:
    """Tables behind those that their foreign keys point at, otherwise by name."""
    left = {table.name: table for table in sorted(found, key=lambda t: t.name)}
    done: list[TableFacts] = []
    while left:
        ready = [t for t in left.values() if not any(k.other in left and k.other != t.name for k in t.keys if k.kind == "f")]
        if not ready:
            raise ValueError(f"foreign keys go round in a circle: {', '.join(left)}")
        done += [left.pop(table.name) for table in ready]
    return done
