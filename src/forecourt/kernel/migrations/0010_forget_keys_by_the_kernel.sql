-- Keys that are over are swept by the kernel's own role, in whosever name they were. The sweep was the owner's before, and where the
-- owner is no superuser policies hid every key from it. What is over is said by the sweep, for as long as it takes.
create policy over_keys on kernel.idempotency to fc_kernel
    using (expires_at < nullif(current_setting('forecourt.forget_before', true), '')::timestamptz);

-- At most `most` rows a call.
create or replace function kernel.forget_idempotency(before timestamptz, most int) returns bigint
    language plpgsql security invoker set search_path = '' as $$
declare
    gone bigint;
begin
    perform set_config('forecourt.forget_before', before::text, true);
    with old as (
        select account_id, key from kernel.idempotency where expires_at < before order by expires_at limit most
        for update skip locked
    ), went as (
        delete from kernel.idempotency i using old o where i.account_id = o.account_id and i.key = o.key returning 1
    )
    select count(*) into gone from went;
    perform set_config('forecourt.forget_before', '', true);
    return gone;
end $$;
