"""What the database itself says about tenants and rights, table by table; each rule with a database in which it is broken.

A rule returns its faults as lines of text. Whoever adds a table that has to be an exception names it here, with the reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from tests.conftest import FreshDatabase

from forecourt.kernel.migrate import APP_ROLE, MODULES_ROLE
from forecourt.layout import module_names

Connection = asyncpg.Connection
Rule = Callable[[Connection], Awaitable[list[str]]]

OUR_SCHEMAS = ("kernel", *module_names())

WITHOUT_ROW_SECURITY = {
    "kernel.migration": "what was applied; the owner's alone, no role of the program has a right to it",
}

KEYS_WITHOUT_ORGANISATION = {
    "chat.room room_pkey": "a room may be of people alone; it is what its messages lie by, and ids are random",
    "booking.resource_feed resource_feed_token": "read by its digest, before the organisation is known",
    "kernel.event event_pkey": "the log of all organisations in one order; read by the kernel alone",
    "kernel.dead_letter dead_letter_pkey": "the kernel's own number",
    "kernel.dead_letter dead_letter_subscriber_event_id_key": "an event dies once per subscriber, whosever it was",
    "identity.staff staff_account_id_fkey": "a person is not an organisation's: accounts are the house's",
    "identity.api_key_place api_key_place_pkey": "read by its digest, before the organisation is known",
    "venues.locator locator_pkey": "from an id to its organisation, before that is known; ids are random",
    "venues.organisation_card organisation_slug": "short names are public addresses, so one name belongs to one organisation",
    "venues.listing listing_pkey": "looked up by venue, before the organisation is known; ids are random",
}

APPEND_ONLY = {"kernel.event", "audit.entry", "audit.mention", "payments.entry", "payments.transfer", "booking.transition"}
"""Nobody but the owner may change or remove a row."""
WORDS_THAT_GO = {
    *("booking.transition detail", "payments.transfer reason"),
    *("audit.entry address", "audit.entry address_salt", "audit.entry words", "audit.entry words_salt"),
    *("kernel.event address", "kernel.event payload"),
}
"""Of these, what was written of a person may be taken away when they are erased. Triggers of booking and payments and a policy of
audit refuse other words in its place; the log is emptied by the kernel alone."""

KERNEL_RIGHTS_OF_MODULES = {"kernel.event INSERT", "kernel.inbox INSERT", "kernel.job INSERT"}
"""What every module may do outside its schema: speak, remember what it heard, ask for work."""


ROLES_OF_TESTS = {"fc_probe", "fc_other"}
"""Of `scratch`: roles are the server's, so they are here when a test of another database has made them."""


async def rows(connection: Connection, sql: str, *args: object) -> list[str]:
    return [r[0] for r in await connection.fetch(sql, *args)]


# --- rules ---------------------------------------------------------------------------------------------------------------


async def row_security_is_on_and_forced(connection: Connection) -> list[str]:
    found = await rows(
        connection,
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any($1) and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity) order by 1",
        list(OUR_SCHEMAS),
    )
    return [t for t in found if t not in WITHOUT_ROW_SECURITY]


async def tables_lie_in_a_module(connection: Connection) -> list[str]:
    """A table in a schema that no rule looks at would pass every rule."""
    return await rows(
        connection,
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where not n.nspname = any($1) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1",
        list(OUR_SCHEMAS),
    )


async def the_program_owns_and_bypasses_nothing(connection: Connection) -> list[str]:
    powers = await rows(
        connection,
        "select rolname || ' is more than a role' from pg_roles where (rolname = $1 or rolname like 'fc\\_%')"
        " and (rolsuper or rolbypassrls or rolcreatedb or rolcreaterole or rolreplication) order by 1",
        APP_ROLE,
    )
    owns = await rows(
        connection,
        "select d.refobjid::regrole::text || ' owns ' || d.classid::regclass || ' ' || d.objid from pg_shdepend d"
        " where d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass"
        " and d.refobjid in (select oid from pg_roles where rolname = $1 or rolname like 'fc\\_%')"
        " and d.dbid in (0, (select oid from pg_database where datname = current_database())) order by 1",
        APP_ROLE,
    )
    return powers + owns


async def the_program_becomes_modules_only_on_purpose(connection: Connection) -> list[str]:
    """The login inherits nothing and may become the modules' roles alone; those inherit only what every module may do."""
    modules = {f"fc_{name}" for name in OUR_SCHEMAS}
    faults: list[str] = []
    for r in await connection.fetch(
        "select member::regrole::text as member, roleid::regrole::text as granted, inherit_option, set_option, admin_option"
        " from pg_auth_members where member::regrole::text = $1 or member::regrole::text like 'fc\\_%' order by 1, 2",
        APP_ROLE,
    ):
        if {r["member"], r["granted"]} & ROLES_OF_TESTS:
            continue
        allowed = (
            r["granted"] in modules and not r["inherit_option"]
            if r["member"] == APP_ROLE
            else r["granted"] == MODULES_ROLE and r["inherit_option"] and not r["set_option"]
        )
        if not allowed or r["admin_option"]:
            faults.append(f"{r['member']} is a member of {r['granted']}")
    return faults


GRANTS = """
with acl as (
    select n.nspname as schema, n.nspname || '.' || c.relname as object, null as field, a.grantee, a.privilege_type
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      cross join aclexplode(c.relacl) a -- none: the owner's alone
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and a.grantee <> c.relowner
    union all
    select n.nspname, n.nspname || '.' || c.relname, t.attname, a.grantee, a.privilege_type
      from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace
      cross join aclexplode(t.attacl) a
     where a.grantee <> c.relowner
    union all
    select n.nspname, n.nspname, null, a.grantee, a.privilege_type
      from pg_namespace n cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
     where a.grantee <> n.nspowner
)
select distinct schema, object, field, coalesce(r.rolname, 'public') as grantee, privilege_type
  from acl left join pg_roles r on r.oid = acl.grantee
 where schema = any($1) order by 1, 2, 4, 5, 3
"""


async def a_module_reaches_its_own_schema_only(connection: Connection) -> list[str]:
    faults: list[str] = []
    for r in await connection.fetch(GRANTS, list(OUR_SCHEMAS)):
        right = f"{r['object']} {r['privilege_type']}"
        own = r["grantee"] == f"fc_{r['schema']}" and r["privilege_type"] in ("SELECT", "INSERT", "UPDATE", "DELETE", "USAGE")
        shared = r["grantee"] == MODULES_ROLE and right in {*KERNEL_RIGHTS_OF_MODULES, "kernel USAGE"}
        if not own and not shared:
            faults.append(f"{r['grantee']} has {right}")
    return faults


async def what_is_append_only_stays(connection: Connection) -> list[str]:
    return [
        f"{r['grantee']} has {r['object']} {r['privilege_type']}"
        for r in await connection.fetch(GRANTS, list(OUR_SCHEMAS))
        if r["object"] in APPEND_ONLY
        and r["privilege_type"] not in ("SELECT", "INSERT")
        and (r["privilege_type"], f"{r['object']} {r['field']}") not in {("UPDATE", words) for words in WORDS_THAT_GO}
    ]


KEYS = """
with mine as (
    select a.attrelid as relid, a.attnum from pg_attribute a where a.attname = 'organisation_id' and not a.attisdropped
)
select n.nspname || '.' || c.relname || ' ' || k.conname
  from pg_constraint k join mine m on m.relid = k.conrelid
  join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any($1) and not c.relispartition and (
    (k.contype in ('p', 'u', 'x') and not m.attnum = any(k.conkey))
    or (k.contype = 'f' and not m.attnum = any(k.conkey))
    -- where the other table has the column too, it is the one that ours points at
    or (k.contype = 'f' and exists (
        select from mine o where o.relid = k.confrelid
          and o.attnum is distinct from k.confkey[array_position(k.conkey, m.attnum)]
    ))
 )
union
select n.nspname || '.' || c.relname || ' ' || i.indexrelid::regclass
  from pg_index i join mine m on m.relid = i.indrelid
  join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any($1) and not c.relispartition and i.indisunique and not m.attnum = any(i.indkey::int2[])
   and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
order by 1
"""


async def keys_of_tenants_tables_contain_the_organisation(connection: Connection) -> list[str]:
    return [k for k in await rows(connection, KEYS, list(OUR_SCHEMAS)) if k not in KEYS_WITHOUT_ORGANISATION]


async def definers_functions_are_closed(connection: Connection) -> list[str]:
    """A function that acts as its owner has a fixed search path and is not everybody's to call."""
    return await rows(
        connection,
        "select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where p.prosecdef and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and ("
        "  not coalesce(p.proconfig, '{}') && array['search_path=', 'search_path=\"\"']"
        "  or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0)) order by 1",
    )


async def views_act_for_who_asks(connection: Connection) -> list[str]:
    views = await rows(
        connection,
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any($1) and c.relkind = 'v'"
        " and not coalesce(c.reloptions, '{}') && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1']",
        list(OUR_SCHEMAS),
    )
    stored = await rows(
        connection,
        "select distinct n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " cross join aclexplode(c.relacl) a where n.nspname = any($1) and c.relkind = 'm' and a.grantee <> c.relowner",
        list(OUR_SCHEMAS),
    )
    return views + stored


async def what_may_be_done_has_a_policy(connection: Connection) -> list[str]:
    """A right without a policy is dead; it was meant to be guarded, or not to be given."""
    policies = {
        (r["table"], verb, role)
        for r in await connection.fetch(
            "select schemaname || '.' || tablename as table, cmd, roles::text[] as roles from pg_policies"
        )
        for role in r["roles"]
        for verb in (("SELECT", "INSERT", "UPDATE", "DELETE") if r["cmd"] == "ALL" else (r["cmd"],))
    }
    return [
        f"{r['grantee']} has {r['object']} {r['privilege_type']} and no policy"
        for r in await connection.fetch(GRANTS, list(OUR_SCHEMAS))
        if r["privilege_type"] in ("SELECT", "INSERT", "UPDATE", "DELETE")
        and (r["object"], r["privilege_type"], r["grantee"]) not in policies
    ]


# Each rule with statements that break it and a word of the fault it must then report.
BROKEN: list[tuple[Rule, str, str]] = [
    (row_security_is_on_and_forced, "create table booking.loose (organisation_id uuid)", "booking.loose"),
    (row_security_is_on_and_forced, "alter table payments.wallet no force row level security", "payments.wallet"),
    (row_security_is_on_and_forced, "alter table audit.entry_default disable row level security", "audit.entry_default"),
    (tables_lie_in_a_module, "create table public.loose (organisation_id uuid)", "public.loose"),
    (the_program_owns_and_bypasses_nothing, f"alter table venues.closure owner to {APP_ROLE}", APP_ROLE),
    (the_program_owns_and_bypasses_nothing, "alter role fc_booking bypassrls", "fc_booking"),
    (the_program_becomes_modules_only_on_purpose, f"grant fc_booking to {APP_ROLE} with inherit true", APP_ROLE),
    (the_program_becomes_modules_only_on_purpose, "grant fc_payments to fc_booking", "fc_payments"),
    (a_module_reaches_its_own_schema_only, "grant usage on schema payments to fc_booking", "payments USAGE"),
    (a_module_reaches_its_own_schema_only, "grant select on booking.booking to public", "public has"),
    (a_module_reaches_its_own_schema_only, "grant select (payload) on kernel.event to fc_module", "kernel.event SELECT"),
    (a_module_reaches_its_own_schema_only, "grant truncate on booking.block to fc_booking", "TRUNCATE"),
    (what_is_append_only_stays, "grant update (amount) on payments.entry to fc_payments", "payments.entry UPDATE"),
    (what_is_append_only_stays, "grant delete on audit.entry to fc_audit", "audit.entry DELETE"),
    (what_is_append_only_stays, "grant update (at) on payments.transfer to fc_payments", "payments.transfer UPDATE"),
    (what_is_append_only_stays, "grant update on booking.transition to fc_booking", "booking.transition UPDATE"),
    (
        keys_of_tenants_tables_contain_the_organisation,
        "alter table booking.quote add constraint loose unique (id)",
        "booking.quote loose",
    ),
    (
        keys_of_tenants_tables_contain_the_organisation,
        "create unique index loose on booking.quote (account_id)",
        "booking.quote",
    ),
    (
        keys_of_tenants_tables_contain_the_organisation,
        "alter table booking.quote add constraint one unique (id);"
        " alter table booking.due add constraint loose foreign key (booking_id) references booking.quote (id)",
        "booking.due loose",
    ),
    (
        keys_of_tenants_tables_contain_the_organisation,
        "alter table booking.due add constraint crossed foreign key (booking_id, organisation_id)"
        " references booking.booking (organisation_id, id)",
        "booking.due crossed",
    ),
    (
        definers_functions_are_closed,
        "create function booking.loose() returns int language sql security definer as 'select 1';"
        " revoke execute on function booking.loose() from public",
        "booking.loose",
    ),
    (
        definers_functions_are_closed,
        "create function booking.loose() returns int language sql security definer set search_path = '' as 'select 1'",
        "booking.loose",
    ),
    (views_act_for_who_asks, "create view booking.loose as select id from booking.booking", "booking.loose"),
    (
        views_act_for_who_asks,
        "create materialized view booking.loose as select id from booking.booking; grant select on booking.loose to fc_booking",
        "booking.loose",
    ),
    (what_may_be_done_has_a_policy, "drop policy tenant on booking.block", "booking.block"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BROKEN))


@pytest.fixture
async def catalogue(admin_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
async def test_the_migrated_database_keeps_the_rule(catalogue: Connection, rule: Rule) -> None:
    assert await rule(catalogue) == []


async def test_a_database_in_which_it_is_broken_is_told_by_each_rule(fresh_database: FreshDatabase) -> None:
    """The control. Everything is rolled back: roles belong to the whole server."""
    connection = await fresh_database.admin()
    try:
        for rule, statements, fault in BROKEN:
            broken = connection.transaction()
            await broken.start()
            await connection.execute(statements)
            found = await rule(connection)
            await broken.rollback()
            assert any(fault in line for line in found), (rule.__name__, statements, found)
    finally:
        await connection.close()


async def test_every_exception_is_still_one(catalogue: Connection) -> None:
    """An exception that no longer applies would hide the next fault of that name."""
    keys = set(await rows(catalogue, KEYS, list(OUR_SCHEMAS)))
    assert keys == set(KEYS_WITHOUT_ORGANISATION)
    for table in (*WITHOUT_ROW_SECURITY, *APPEND_ONLY):
        assert await catalogue.fetchval("select to_regclass($1) is not null", table), table
    assert {
        r["object"] + " " + r["privilege_type"] for r in await catalogue.fetch(GRANTS, ["kernel"])
    } >= KERNEL_RIGHTS_OF_MODULES
