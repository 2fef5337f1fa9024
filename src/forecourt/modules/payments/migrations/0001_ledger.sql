-- The ledger, wallets and lots of credits, payments with their charges and refunds, promo codes.
--
-- Sign of an entry: positive is what the organisation owes or has earned (wallets, revenue, refunds owed at the desk),
-- negative is what it holds or has given away (money at the desk, what is due there, credits granted). A transfer sums to zero.
-- Only wallets keep a balance: a balance of `revenue` would be one row that every sale of an organisation waits for.

create table payments.wallet (
    organisation_id uuid not null,
    account_id uuid not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    balance bigint not null default 0 constraint wallet_is_never_negative check (balance between 0 and 1000000000000000),
    primary key (organisation_id, account_id, currency)
) with (fillfactor = 70);
create index wallet_of_person on payments.wallet (account_id, organisation_id, currency);

create table payments.lot (
    organisation_id uuid not null,
    id uuid not null,
    account_id uuid not null,
    currency text not null,
    kind text not null check (kind in ('granted', 'purchased', 'subscription')),
    amount bigint not null check (amount between 1 and 1000000000000),
    remaining bigint not null default 0,
    reason text not null check (length(reason) between 1 and 500),
    expires_at timestamptz check (isfinite(expires_at)),
    created_at timestamptz not null,
    primary key (organisation_id, id),
    foreign key (organisation_id, account_id, currency) references payments.wallet (organisation_id, account_id, currency),
    constraint lot_of_one_wallet unique (organisation_id, id, account_id, currency),
    constraint lot_holds_no_more_than_it_had check (remaining between 0 and amount)
) with (fillfactor = 70);
create index lot_of_wallet on payments.lot (organisation_id, account_id, currency) where remaining > 0;
create index lot_expiring on payments.lot (organisation_id, expires_at) where remaining > 0 and expires_at is not null;

create table payments.payment (
    organisation_id uuid not null,
    id uuid not null,
    account_id uuid,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    label text not null default '' check (length(label) <= 200),
    created_at timestamptz not null,
    primary key (organisation_id, id)
);
create index payment_of_person on payments.payment (account_id, organisation_id, id);
create index payment_by_id on payments.payment (id);

create table payments.charge (
    organisation_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    account_id uuid,
    pay_with text not null check (pay_with in ('credits', 'desk')),
    currency text not null,
    price bigint not null check (price between 0 and 1000000000000),
    discount bigint not null default 0,
    promo_code text check (length(promo_code) <= 40),
    settled_at timestamptz,
    refunded bigint not null default 0,
    waived bigint not null default 0, -- of `refunded`, what was given back while it was still due at the desk
    handed_back bigint not null default 0, -- of `refunded`, what staff have given back at the desk
    created_at timestamptz not null,
    primary key (organisation_id, id),
    foreign key (organisation_id, payment_id) references payments.payment (organisation_id, id),
    constraint discount_is_at_most_the_price check (discount between 0 and price),
    constraint no_more_comes_back_than_was_charged check (
        refunded between 0 and price - discount and waived between 0 and refunded and handed_back between 0 and refunded - waived
    )
) with (fillfactor = 70);
create index charge_of_payment on payments.charge (organisation_id, payment_id, created_at, id);
create index charge_of_person on payments.charge (account_id, organisation_id, payment_id);

create table payments.refund (
    organisation_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    account_id uuid,
    currency text not null,
    asked bigint check (asked >= 0), -- null: everything that was left
    to_credits bigint not null check (to_credits >= 0),
    at_desk bigint not null check (at_desk >= 0),
    waived bigint not null check (waived >= 0),
    reason text not null check (length(reason) between 1 and 500),
    created_at timestamptz not null,
    primary key (organisation_id, id),
    foreign key (organisation_id, payment_id) references payments.payment (organisation_id, id),
    constraint refund_is_what_was_asked check (asked is null or asked = to_credits + at_desk + waived)
);
create index refund_of_payment on payments.refund (organisation_id, payment_id);

create table payments.transfer (
    organisation_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('grant', 'charge', 'desk_charge', 'desk_settle', 'refund', 'expire', 'reverse')),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    payment_id uuid,
    charge_id uuid,
    account_id uuid, -- the person whom it concerns
    reason text not null default '' check (length(reason) <= 500),
    at timestamptz not null,
    primary key (organisation_id, id)
);
create index transfer_of_payment on payments.transfer (organisation_id, payment_id, charge_id) where payment_id is not null;

create table payments.entry (
    organisation_id uuid not null,
    transfer_id uuid not null,
    seq smallint not null,
    account text not null check (
        account in ('wallet', 'revenue', 'granted', 'purchased', 'subscription', 'expired', 'desk', 'desk_due', 'desk_owed')
    ),
    account_id uuid,
    lot_id uuid,
    currency text not null,
    amount bigint not null check (amount <> 0 and amount between -1000000000000 and 1000000000000),
    at timestamptz not null,
    primary key (organisation_id, transfer_id, seq),
    foreign key (organisation_id, transfer_id) references payments.transfer (organisation_id, id),
    -- The lot is one of this wallet in this currency.
    foreign key (organisation_id, lot_id, account_id, currency) references payments.lot (organisation_id, id, account_id, currency),
    constraint wallets_belong_to_people check ((account = 'wallet') = (account_id is not null)),
    constraint wallets_are_made_of_lots check ((account = 'wallet') = (lot_id is not null))
);
create index entry_by_time on payments.entry (organisation_id, at, transfer_id, seq);
create index entry_of_wallet on payments.entry (account_id, organisation_id, at, transfer_id, seq) where account = 'wallet';
create index entry_of_lot on payments.entry (organisation_id, lot_id) where account = 'wallet';

-- Entries come whole transfers at a time: what one statement adds to a transfer sums to zero in the transfer's currency, so the
-- transfer does. What wallets and lots hold follows from the entries in the same breath and cannot be written otherwise.
create function payments.keep_the_books() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if exists (
        select from added a
        join payments.transfer t on t.organisation_id = a.organisation_id and t.id = a.transfer_id
        group by a.organisation_id, a.transfer_id, t.currency
        having sum(a.amount) <> 0 or min(a.currency) <> t.currency or max(a.currency) <> t.currency
    ) then
        raise exception 'the entries of a transfer do not sum to zero in its currency'
            using errcode = 'check_violation', constraint = 'transfer_sums_to_zero';
    end if;
    update payments.lot l set remaining = l.remaining + s.amount
    from (
        select a.organisation_id, a.lot_id, sum(a.amount) as amount
        from added a where a.account = 'wallet' group by a.organisation_id, a.lot_id
    ) s
    where l.organisation_id = s.organisation_id and l.id = s.lot_id;
    update payments.wallet w set balance = w.balance + s.amount
    from (
        select a.organisation_id, a.account_id, a.currency, sum(a.amount) as amount
        from added a where a.account = 'wallet' group by a.organisation_id, a.account_id, a.currency
    ) s
    where w.organisation_id = s.organisation_id and w.account_id = s.account_id and w.currency = s.currency;
    return null;
end $$;
create trigger keep_the_books after insert on payments.entry
    referencing new table as added for each statement execute function payments.keep_the_books();

create function payments.refuse_change() returns trigger
    language plpgsql set search_path = '' as $$
begin
    raise exception 'payments.% is append-only: write a transfer that reverses it', tg_table_name
        using errcode = 'check_violation', constraint = 'ledger_is_append_only';
end $$;
create trigger append_only before update or delete or truncate on payments.entry
    for each statement execute function payments.refuse_change();
create trigger append_only before update or delete or truncate on payments.transfer
    for each statement execute function payments.refuse_change();

-- What a wallet or a lot holds is moved by the ledger's trigger alone.
create function payments.follow_the_ledger() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception 'what payments.% holds follows from entries', tg_table_name
            using errcode = 'check_violation', constraint = 'holdings_follow_entries';
    end if;
    return new;
end $$;
create trigger balance_changes before update of balance on payments.wallet
    for each row execute function payments.follow_the_ledger();
create trigger remaining_changes before update of remaining on payments.lot
    for each row execute function payments.follow_the_ledger();
create trigger opens_with_something before insert on payments.wallet
    for each row when (new.balance <> 0) execute function payments.follow_the_ledger();
create trigger opens_with_something before insert on payments.lot
    for each row when (new.remaining <> 0) execute function payments.follow_the_ledger();

-- Takes `needed` from a wallet's lots (granted ones first, then the earliest to expire, then the oldest) and enters it; returns
-- whether there was enough. When there was not, nothing is written. The wallet's row is locked first, by everything that touches
-- its lots: later statements of a function see what was committed until then, so nobody spends what somebody else just spent.
create function payments.spend(
    org uuid, person uuid, money text, needed bigint, transfer uuid, payment uuid, charge uuid, why text, now_at timestamptz
) returns boolean
    language plpgsql set search_path = '' as $$
declare
    taken bigint;
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
    select org, transfer, 0::smallint, 'revenue', null, null, money, needed, now_at;
    return true;
end $$;

-- Which organisations have a ledger: what the sweeps go through. Holds no tenant's data, so every transaction may read it.
create table payments.book (
    organisation_id uuid primary key,
    opened_at timestamptz not null
);

alter table payments.wallet enable row level security;
alter table payments.wallet force row level security;
alter table payments.lot enable row level security;
alter table payments.lot force row level security;
alter table payments.payment enable row level security;
alter table payments.payment force row level security;
alter table payments.charge enable row level security;
alter table payments.charge force row level security;
alter table payments.refund enable row level security;
alter table payments.refund force row level security;
alter table payments.transfer enable row level security;
alter table payments.transfer force row level security;
alter table payments.entry enable row level security;
alter table payments.entry force row level security;
alter table payments.book enable row level security;
alter table payments.book force row level security;

grant select, insert on payments.wallet, payments.lot, payments.payment, payments.charge, payments.refund, payments.transfer,
    payments.entry, payments.book to fc_payments;
grant update (balance) on payments.wallet to fc_payments;
grant update (remaining, expires_at) on payments.lot to fc_payments;
grant update (label) on payments.payment to fc_payments; -- `select … for update` needs the right to update something
grant update (settled_at, refunded, waived, handed_back) on payments.charge to fc_payments;

create policy tenant on payments.wallet to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.wallet for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.lot to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.lot for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.payment to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.payment for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.charge to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.charge for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.refund to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.refund for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.transfer to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.transfer for select to fc_payments using (account_id = kernel.current_account());
create policy tenant on payments.entry to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.entry for select to fc_payments using (account_id = kernel.current_account());
create policy known_to_all on payments.book for select to fc_payments using (true);
create policy tenant on payments.book for insert to fc_payments with check (organisation_id = kernel.current_org());

revoke execute on function payments.spend(uuid, uuid, text, bigint, uuid, uuid, uuid, text, timestamptz) from public;
grant execute on function payments.spend(uuid, uuid, text, bigint, uuid, uuid, uuid, text, timestamptz) to fc_payments;
