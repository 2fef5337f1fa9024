"""Where each table would lie in a database of many servers: what its rows are spread by, and what stays together on one.

`deploy/citus/distribution.sql` and the lint of keys are made from this and from the catalogue of a migrated database. The rule
is short: rows go where their organisation is, rooms' where their room is, files' where their holder is, a person's where the
person is. What has to be an exception is named below, with the reason.
"""

from __future__ import annotations

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


class Mend(msgspec.Struct, frozen=True):
    """A key that a spread table cannot have, why we keep it on one server, and what takes its place on many."""

    why: str
    instead: tuple[str, ...]


MENDED = {
    "chat.message message_id": Mend(
        "ids are random: nobody has to look for a second one in other rooms",
        (
            "alter table chat.message drop constraint message_id;",
            "alter table chat.message add constraint message_id unique (room_id, id);",
            "create index message_by_id on chat.message (id);",
        ),
    ),
}


WRITES_ELSEWHERE = {
    "booking.booking guest_is_noted": "the program notes a guest itself, where the person is (kernel/whereabouts.py)",
    "payments.payment customer_is_noted": "the same for whoever pays",
    "payments.wallet customer_is_noted": "the same for whoever has credits",
    "chat.member seat_follows": "the program seats who comes and unseats who leaves itself (chat/queries.py)",
}
"""Triggers of spread tables that write rows which lie elsewhere, so only one server can have them; what takes their place."""


class TableFacts(msgspec.Struct, frozen=True):
    name: str
    columns: list[str]
    keys: list[KeyFacts]
    triggers: list[str] = []


class KeyFacts(msgspec.Struct, frozen=True):
    """A primary key, a unique or exclusion constraint or index, or a foreign key with what it points at."""

    name: str
    kind: str
    """`p`, `u`, `x`, `f`, as the catalogue has it; `i` for a unique index without a constraint."""
    columns: list[str]
    other: str | None = None
    other_columns: list[str] = []


_TABLES = """
select n.nspname || '.' || c.relname as name,
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    array(select t.tgname::text from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal order by 1) as triggers
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
       join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num) as other_columns
  from pg_constraint k join named t on t.oid = k.conrelid left join named o on o.oid = k.confrelid
 where k.contype in ('p', 'u', 'x', 'f')
union all
select t.name, i.indexrelid::regclass::text, 'i',
    (select array_agg(coalesce(a.attname::text, '(expression)')) from unnest(i.indkey::int2[]) u (num)
       left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.num and u.num > 0), null, null
  from pg_index i join named t on t.oid = i.indrelid
 where i.indisunique and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
order by 1, 2
"""


async def tables(connection: Connection) -> list[TableFacts]:
    """Every table of ours with its keys, by name. Partitions are their parents' affair."""
    schemas = ["kernel", *module_names()]
    keys: dict[str, list[KeyFacts]] = {}
    for r in await connection.fetch(_KEYS, schemas):
        key = KeyFacts(r["name"], r["kind"], r["columns"], r["other"], r["other_columns"] or [])
        keys.setdefault(r["table_name"], []).append(key)
    found = await connection.fetch(_TABLES, schemas)
    return [TableFacts(r["name"], r["columns"], keys.get(r["name"], []), r["triggers"]) for r in found]


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
    triggers = {f"{table.name} {trigger}" for table in found for trigger in table.triggers}
    wrong += [f"{name} is named in forecourt/spread.py and is no trigger" for name in WRITES_ELSEWHERE if name not in triggers]
    names = {table.name for table in found} | {table.name.partition(".")[0] for table in found}
    wrong += [
        f"{name} is named in forecourt/spread.py and is not there"
        for name in (*AT_HOME, *EVERYWHERE, *BY_ANOTHER_COLUMN)
        if name not in names
    ]
    return wrong


def _fault(key: KeyFacts, column: str | None, by: dict[str, str | None]) -> str:
    if key.other in EVERYWHERE:
        return ""
    if column not in key.columns:
        return f"does not contain {column}"
    if key.kind != "f" or key.other is None:
        return ""
    other = by.get(key.other)
    if other is None:
        return f"points at {key.other}, which stays at home"
    if dict(zip(key.columns, key.other_columns, strict=True)).get(column) != other:
        return f"does not lead from {column} to {other} of {key.other}"
    return ""


def distribution(found: list[TableFacts]) -> str:
    """The statements that spread the tables, for a superuser of the coordinator, on a database that was just migrated."""
    lines = [
        "-- Made by `python -m tools.lint_distribution --write` from the migrated catalogue and src/forecourt/spread.py.",
        "-- For a database that was just migrated, before anything is in it. Reasons and limits: docs/scale.md.",
        "",
        "create extension if not exists citus;",
        "-- Roles and tenants are set with `set local`; without this the other servers would not hear of them.",
        "alter database :\"database\" set citus.propagate_set_commands = 'local';",
        "-- The ledger keeps its books with triggers that touch rows of the same organisation only, so on the same server.",
        "alter database :\"database\" set citus.enable_unsafe_triggers = 'on';",
        "",
    ]
    for name, mend in MENDED.items():
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
    lines += ["", "-- These stay on the first server, and every other one finds them there."]
    home = [table.name for table in found if at_home(table.name)]
    lines += [f"select citus_add_local_table_to_metadata('{name}');" for name in home]
    return "\n".join(lines) + "\n"


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
