-- What row policies read. `language sql`, `stable`, a single expression and no `set` clause: the planner inlines them, so a
-- policy `organisation_id = kernel.current_org()` is compared once per statement and uses an index
-- (tests/kernel/test_db.py checks it with explain).
-- nullif: after a `set local` has ended the setting reads as an empty string, which is no uuid.

create function kernel.current_org() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('forecourt.org', true), '')::uuid;

create function kernel.current_account() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('forecourt.account', true), '')::uuid;

grant usage on schema kernel to fc_module;
revoke execute on all functions in schema kernel from public;
grant execute on function kernel.current_org(), kernel.current_account() to fc_module, fc_kernel;
