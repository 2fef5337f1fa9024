-- Bookings, what they cost and what happened to them. A row is seen by its organisation and by the person whose it is: the
-- second policy is what lets `GET /v1/bookings/{id}` find a booking in one select without knowing the organisation.
-- Look-ups by id alone go through booking_by_id; ids are UUIDv7, so the index grows at its end.

create table booking.booking (
    organisation_id uuid not null,
    id uuid not null,
    venue_id uuid not null,
    resource_id uuid not null,
    account_id uuid,
    guest_name text check (length(guest_name) between 1 and 120),
    status text not null check (status in (
        'draft', 'pending_approval', 'payment_pending', 'upcoming', 'in_progress', 'completed', 'declined', 'cancelled', 'expired',
        'no_show'
    )),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    -- The venue's when the booking was made: a reader needs no other table to tell the local time.
    timezone text not null check (length(timezone) between 1 and 64),
    purpose text not null,
    team_size int not null check (team_size between 1 and 1000),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    -- Before a promo code; `price_minor` is what it costs.
    list_minor bigint not null check (list_minor >= 0),
    price_minor bigint not null check (price_minor >= 0),
    paid_minor bigint not null default 0 check (paid_minor >= 0),
    -- Still to be received at the desk.
    due_minor bigint not null default 0 check (due_minor >= 0),
    -- Of what was paid; `paid_minor` stays what came in, so that both can be held against the ledger.
    refunded_minor bigint not null default 0 check (refunded_minor between 0 and paid_minor),
    lines jsonb not null check (jsonb_typeof(lines) = 'array'),
    tax jsonb not null check (jsonb_typeof(tax) = 'array'),
    pay_with text,
    promo_code text check (length(promo_code) between 1 and 40),
    quote_id uuid,
    note text check (length(note) <= 1000),
    invitees jsonb not null default '[]' check (jsonb_typeof(invitees) = 'array'),
    hold_expires_at timestamptz,
    -- Where its claims lie: the resource with its parts, and the time with the buffers of the day it was made.
    claimed uuid[] not null check (cardinality(claimed) between 1 and 51),
    claim_starts_at timestamptz not null,
    claim_ends_at timestamptz not null,
    made_by uuid,
    version int not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organisation_id, id),
    check (starts_at < ends_at),
    check (claim_starts_at <= starts_at and ends_at <= claim_ends_at),
    check ((account_id is null) or (guest_name is null)),
    check (status <> 'payment_pending' or hold_expires_at is not null)
) with (fillfactor = 85);
create index booking_by_id on booking.booking (id);
create index booking_of_account on booking.booking (account_id, starts_at, id);
create index booking_of_venue on booking.booking (organisation_id, venue_id, starts_at, id);
create index booking_of_organisation on booking.booking (organisation_id, starts_at, id);

-- The claims on places, for holds, bookings and blocks alike. Releasing deletes the row; the booking keeps its history.
-- The primary key is what refuses a second claim; the stored bounds are what reads go through, because `&&` is not leakproof
-- and would look at every row under row security. The 31 days let a read begin at a bound.
create extension if not exists btree_gist with schema public;

create table booking.block (
    organisation_id uuid not null,
    id uuid not null,
    venue_id uuid not null,
    resource_ids uuid[] not null check (cardinality(resource_ids) between 1 and 100),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    -- The end of the last occurrence.
    until timestamptz not null,
    reason text not null check (length(reason) between 1 and 500),
    rrule text check (length(rrule) between 1 and 500),
    made_by uuid,
    created_at timestamptz not null,
    primary key (organisation_id, id),
    check (starts_at < ends_at and ends_at <= until)
);
create index block_of_venue on booking.block (organisation_id, venue_id, until, id);

create table booking.occupancy (
    organisation_id uuid not null,
    resource_id uuid not null,
    during tstzrange not null,
    starts_at timestamptz not null generated always as (lower(during)) stored,
    ends_at timestamptz not null generated always as (upper(during)) stored,
    booking_id uuid,
    block_id uuid,
    -- A hold's end; none once the place is somebody's.
    expires_at timestamptz,
    primary key (organisation_id, resource_id, during without overlaps),
    -- Deferred: of a combined resource some claims may be won and the booking not written; the statement says so and rolls back.
    constraint occupancy_of_booking foreign key (organisation_id, booking_id) references booking.booking (organisation_id, id)
        deferrable initially deferred,
    constraint occupancy_of_block foreign key (organisation_id, block_id) references booking.block (organisation_id, id),
    constraint occupancy_has_one_owner check (num_nonnulls(booking_id, block_id) = 1),
    constraint occupancy_is_half_open check (
        not isempty(during) and lower_inc(during) and not upper_inc(during) and not lower_inf(during) and not upper_inf(during)
    ),
    constraint occupancy_is_bounded check (
        lower(during) >= timestamptz '1999-12-31 00:00:00+00'
        and upper(during) <= timestamptz '2200-02-02 00:00:00+00'
        and upper(during) - lower(during) <= interval '31 days'
    )
) with (fillfactor = 85);
create index occupancy_by_time on booking.occupancy (organisation_id, resource_id, ends_at, starts_at);
create index occupancy_of_block on booking.occupancy (organisation_id, block_id) where block_id is not null;

create table booking.quote (
    organisation_id uuid not null,
    id uuid not null,
    account_id uuid not null,
    resource_id uuid not null,
    starts_at timestamptz not null,
    duration_min int not null check (duration_min between 5 and 1440),
    purpose text not null,
    team_size int not null check (team_size between 1 and 1000),
    promo_code text check (length(promo_code) between 1 and 40),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    list_minor bigint not null check (list_minor >= 0),
    total_minor bigint not null check (total_minor >= 0),
    lines jsonb not null,
    tax jsonb not null,
    expires_at timestamptz not null,
    primary key (organisation_id, id)
);
create index quote_by_expiry on booking.quote (organisation_id, expires_at);

-- Who moved which booking from where to where, and why. Append-only; the booking's version is its key, so no step is told twice.
create table booking.transition (
    organisation_id uuid not null,
    booking_id uuid not null,
    version int not null,
    at timestamptz not null,
    action text not null,
    from_status text not null,
    to_status text not null,
    actor text not null check (actor in ('customer', 'staff', 'house')),
    account_id uuid,
    detail text not null default '' check (length(detail) <= 1000),
    primary key (organisation_id, booking_id, version),
    constraint transition_of_booking foreign key (organisation_id, booking_id) references booking.booking (organisation_id, id)
);

-- Money on its way because a booking changes. `charge`: about to be taken for a move; the move's transaction removes the row.
-- `back`: the move did not happen, what was taken is given back. `refund`: decided together with a change of the booking. A
-- row goes when its money has arrived. The id is what payments know it by, so carrying it out twice changes nothing.
create table booking.errand (
    organisation_id uuid not null,
    id uuid not null,
    booking_id uuid not null,
    kind text not null check (kind in ('charge', 'back', 'refund')),
    amount_minor bigint not null check (amount_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    reason text not null default '' check (length(reason) <= 500),
    created_at timestamptz not null,
    primary key (organisation_id, id),
    constraint errand_of_booking foreign key (organisation_id, booking_id) references booking.booking (organisation_id, id)
);
create index errand_by_booking on booking.errand (organisation_id, booking_id, created_at);

-- When each live booking next needs the house: its hold ends, it begins, it ends, or money is still to be moved. The keeper
-- of time reads it across organisations, and it holds ids and times alone.
create table booking.due (
    organisation_id uuid not null,
    booking_id uuid not null,
    at timestamptz not null,
    primary key (organisation_id, booking_id),
    constraint due_of_booking foreign key (organisation_id, booking_id) references booking.booking (organisation_id, id)
) with (fillfactor = 70);
create index due_by_time on booking.due (at, organisation_id, booking_id);

-- Private calendar addresses: the hash of a token, and whose calendar it opens. Read before anybody is known.
create table booking.feed (
    account_id uuid primary key,
    token_hash bytea not null check (length(token_hash) = 32),
    created_at timestamptz not null,
    constraint feed_token unique (token_hash)
);

alter table booking.booking enable row level security;
alter table booking.booking force row level security;
alter table booking.block enable row level security;
alter table booking.block force row level security;
alter table booking.occupancy enable row level security;
alter table booking.occupancy force row level security;
alter table booking.quote enable row level security;
alter table booking.quote force row level security;
alter table booking.transition enable row level security;
alter table booking.transition force row level security;
alter table booking.errand enable row level security;
alter table booking.errand force row level security;
alter table booking.due enable row level security;
alter table booking.due force row level security;
alter table booking.feed enable row level security;
alter table booking.feed force row level security;

create policy tenant on booking.booking to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on booking.booking for select to fc_booking using (account_id = kernel.current_account());
create policy tenant on booking.block to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on booking.occupancy to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on booking.quote to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on booking.transition to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on booking.errand to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on booking.due to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
-- Only a transaction that is about nobody sees what is due everywhere.
create policy keeper on booking.due for select to fc_booking
    using (kernel.current_org() is null and kernel.current_account() is null);
-- A token opens its calendar to who presents it: whoever reads knows the hash already.
create policy presented on booking.feed for select to fc_booking using (true);
create policy own on booking.feed to fc_booking
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());

grant select, insert, update on booking.booking to fc_booking;
grant select, insert, delete on booking.block to fc_booking;
grant select, insert, delete on booking.occupancy to fc_booking;
grant update (expires_at) on booking.occupancy to fc_booking;
grant select, insert, delete on booking.quote to fc_booking;
grant select, insert on booking.transition to fc_booking;
grant select, insert, update, delete on booking.errand to fc_booking;
grant select, insert, update, delete on booking.due to fc_booking;
grant select, insert, update, delete on booking.feed to fc_booking;
