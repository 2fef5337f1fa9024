-- Promo codes and their uses. Counters decide: a use is a conditional update of `used`, for everybody and per person.

create table payments.promo_code (
    organisation_id uuid not null,
    id uuid not null,
    code text not null check (code = upper(code) and length(code) between 3 and 40),
    kind text not null check (kind in ('percent', 'fixed', 'free_minutes')),
    value bigint not null check (value between 1 and 1000000000),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    label text not null default '' check (length(label) <= 200),
    starts_at timestamptz,
    ends_at timestamptz,
    total_limit int check (total_limit > 0),
    person_limit int check (person_limit > 0),
    first_time_only boolean not null default false,
    venue_ids uuid[] not null default '{}' check (cardinality(venue_ids) <= 1000),
    stacks boolean not null default false,
    active boolean not null default true,
    used int not null default 0 constraint used_is_never_negative check (used >= 0),
    version int not null default 1,
    created_at timestamptz not null,
    primary key (organisation_id, id),
    constraint promo_code_is_unique unique (organisation_id, code),
    constraint percent_is_at_most_a_hundred check (kind <> 'percent' or value <= 100),
    constraint window_is_not_empty check (starts_at < ends_at)
) with (fillfactor = 70);

create table payments.promo_person (
    organisation_id uuid not null,
    promo_id uuid not null,
    account_id uuid not null,
    used int not null check (used >= 0),
    primary key (organisation_id, promo_id, account_id),
    foreign key (organisation_id, promo_id) references payments.promo_code (organisation_id, id)
) with (fillfactor = 70);

create table payments.promo_redemption (
    organisation_id uuid not null,
    charge_id uuid not null,
    promo_id uuid not null,
    payment_id uuid not null,
    account_id uuid,
    discount bigint not null check (discount >= 0),
    at timestamptz not null,
    released_at timestamptz,
    primary key (organisation_id, charge_id),
    foreign key (organisation_id, charge_id) references payments.charge (organisation_id, id),
    foreign key (organisation_id, promo_id) references payments.promo_code (organisation_id, id)
);
create index redemption_of_payment on payments.promo_redemption (organisation_id, payment_id);
create index redemption_of_code on payments.promo_redemption (organisation_id, promo_id);

alter table payments.promo_code enable row level security;
alter table payments.promo_code force row level security;
alter table payments.promo_person enable row level security;
alter table payments.promo_person force row level security;
alter table payments.promo_redemption enable row level security;
alter table payments.promo_redemption force row level security;

grant select, insert on payments.promo_code, payments.promo_person, payments.promo_redemption to fc_payments;
grant update (label, starts_at, ends_at, total_limit, person_limit, first_time_only, venue_ids, stacks, active, used, version)
    on payments.promo_code to fc_payments;
grant update (used) on payments.promo_person to fc_payments;
grant update (released_at) on payments.promo_redemption to fc_payments;

create policy tenant on payments.promo_code to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on payments.promo_person to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on payments.promo_redemption to fc_payments
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
