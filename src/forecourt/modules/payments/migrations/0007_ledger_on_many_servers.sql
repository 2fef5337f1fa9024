-- The ledger where other servers have a part of it: deploy/citus makes the trigger of entries call this function there. It does
-- what `keep_the_books` does, an organisation at a time, for no statement may join a transition table with one that is spread.
-- `any` is for the planner: it shall enter the index by it, whatever it thinks of how many there are.
create function payments.keep_the_books_by_house() returns trigger
    language plpgsql set search_path = '' as $$
declare
    house record;
begin
    for house in
        select t.organisation_id, t.currency, array_agg(t.transfer_id) as transfers,
            bool_or(t.total <> 0 or t.currency <> t.other) as wrong
        from (
            select a.organisation_id, a.transfer_id, min(a.currency) as currency, max(a.currency) as other, sum(a.amount) as total
            from added a group by a.organisation_id, a.transfer_id
        ) t group by t.organisation_id, t.currency
    loop
        if house.wrong or exists (
            select 1 from payments.transfer t
            where t.organisation_id = house.organisation_id and t.id = any(house.transfers) and t.currency <> house.currency
        ) then
            raise exception 'the entries of a transfer do not sum to zero in its currency'
                using errcode = 'check_violation', constraint = 'transfer_sums_to_zero';
        end if;
    end loop;
    for house in
        select l.organisation_id, array_agg(l.lot_id) as lots, array_agg(l.amount) as amounts
        from (
            select a.organisation_id, a.lot_id, sum(a.amount)::bigint as amount
            from added a where a.account = 'wallet' group by a.organisation_id, a.lot_id
        ) l group by l.organisation_id
    loop
        update payments.lot l set remaining = l.remaining + s.amount
        from unnest(house.lots, house.amounts) s (id, amount)
        where l.organisation_id = house.organisation_id and l.id = any(house.lots) and l.id = s.id;
    end loop;
    for house in
        select w.organisation_id, array_agg(w.account_id) as people, array_agg(w.currency) as currencies,
            array_agg(w.amount) as amounts
        from (
            select a.organisation_id, a.account_id, a.currency, sum(a.amount)::bigint as amount
            from added a where a.account = 'wallet' group by a.organisation_id, a.account_id, a.currency
        ) w group by w.organisation_id
    loop
        update payments.wallet w set balance = w.balance + s.amount
        from unnest(house.people, house.currencies, house.amounts) s (account_id, currency, amount)
        where w.organisation_id = house.organisation_id and w.account_id = any(house.people)
          and w.account_id = s.account_id and w.currency = s.currency;
    end loop;
    return null;
end $$;

-- Takes `needed` from a wallet's lots (granted ones first, then the earliest to expire, then the oldest) and enters it; returns
-- whether there was enough. When there was not, nothing is written. The wallet's row is locked first, by everything that touches
-- its lots: later statements of a function see what was committed until then, so nobody spends what somebody else just spent.
create or replace function payments.spend(
    org uuid, person uuid, money text, needed bigint, transfer uuid, payment uuid, charge uuid, why text, now_at timestamptz
) returns boolean
    language plpgsql set search_path = '' as $$
declare
    taken bigint;
    written int;
begin
    perform from payments.wallet w
    where w.organisation_id = org and w.account_id = person and w.currency = money for no key update;
    if not found then
        return false;
    end if;
    select coalesce(sum(l.remaining), 0) into taken from payments.lot l
    where l.organisation_id = org and l.account_id = person and l.currency = money and l.remaining > 0
      and (l.expires_at is null or l.expires_at > now_at);
    if taken < needed then
        return false;
    end if;
    insert into payments.transfer (organisation_id, id, kind, currency, payment_id, charge_id, account_id, reason, at)
    values (org, transfer, 'charge', money, payment, charge, person, why, now_at);
    -- Gives back what it wrote, or Citus would copy the rows to where they lie, which row security forbids.
    with entered as (
        insert into payments.entry (organisation_id, transfer_id, seq, account, account_id, lot_id, currency, amount, at)
        select org, transfer, r.seq::smallint, 'wallet', person, r.id, money, -least(r.remaining, needed - r.before), now_at
        from (
            select l.id, l.remaining, row_number() over spending as seq, sum(l.remaining) over spending - l.remaining as before
            from payments.lot l
            where l.organisation_id = org and l.account_id = person and l.currency = money and l.remaining > 0
              and (l.expires_at is null or l.expires_at > now_at)
            window spending as (order by l.kind <> 'granted', l.expires_at nulls last, l.created_at, l.id)
        ) r
        where r.before < needed
        union all
        select org, transfer, 0::smallint, 'revenue', null, null, money, needed, now_at
        returning 1
    )
    select count(*) into written from entered;
    return true;
end $$;
