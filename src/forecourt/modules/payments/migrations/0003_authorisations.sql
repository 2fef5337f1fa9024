-- Credits set aside for something that somebody still has to agree to. They leave their lots for the ledger's account `reserved`
-- and go on to revenue when they are captured, or back to the lots when they are released. The row decides which: it is locked by
-- either, and its id is the charge's that a capture makes. One that was released before it was made is there as well, with
-- nothing in it, so that an authorisation on its way comes too late.

create table payments.authorisation (
    organisation_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    account_id uuid,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    label text not null default '' check (length(label) <= 200),
    price bigint not null constraint authorised_price_is_bounded check (price between 0 and 1000000000000),
    discount bigint not null default 0,
    promo_id uuid,
    promo_code text check (length(promo_code) <= 40),
    state text not null check (state in ('held', 'captured', 'released')),
    expires_at timestamptz not null check (isfinite(expires_at)),
    created_at timestamptz not null,
    ended_at timestamptz,
    primary key (organisation_id, id),
    foreign key (organisation_id, promo_id) references payments.promo_code (organisation_id, id),
    constraint authorised_discount_is_at_most_the_price check (discount between 0 and price),
    constraint authorised_by_somebody check (account_id is not null or state = 'released'),
    constraint what_is_held_has_not_ended check ((state = 'held') = (ended_at is null))
) with (fillfactor = 70);
create index authorisation_of_person on payments.authorisation (account_id, organisation_id) where state = 'held';
create index authorisation_expiring on payments.authorisation (organisation_id, expires_at) where state = 'held';
create index authorisation_of_code on payments.authorisation (organisation_id, promo_id) where promo_id is not null;

alter table payments.authorisation enable row level security;
alter table payments.authorisation force row level security;
create policy tenant on payments.authorisation to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on payments.authorisation for select to fc_payments using (account_id = kernel.current_account());
grant select, insert on payments.authorisation to fc_payments;
grant update (state, ended_at) on payments.authorisation to fc_payments;

-- What has ended stays as it ended, and what was set aside stays what it was.
create function payments.end_once() returns trigger
    language plpgsql set search_path = '' as $$
begin
    raise exception 'this authorisation was % already', old.state
        using errcode = 'check_violation', constraint = 'authorisation_ends_once';
end $$;
create trigger ends_once before update on payments.authorisation
    for each row when (old.state <> 'held') execute function payments.end_once();

-- The same rules with new words among those allowed. Rows that are there keep them already; 0004 says so to the database.
-- squawk-ignore ban-drop-constraint
alter table payments.transfer drop constraint transfer_kind_check;
alter table payments.transfer add constraint transfer_kind_check check (
    kind in ('grant', 'charge', 'desk_charge', 'desk_settle', 'refund', 'expire', 'reverse', 'reserve', 'capture', 'release')
) not valid;
-- squawk-ignore ban-drop-constraint
alter table payments.entry drop constraint entry_account_check;
alter table payments.entry add constraint entry_account_check check (
    account in (
        'wallet', 'revenue', 'granted', 'purchased', 'subscription', 'expired', 'desk', 'desk_due', 'desk_owed', 'reserved'
    )
) not valid;
