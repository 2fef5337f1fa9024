-- Private calendar addresses of courts, rooms and tables, for staff: the hash of a token, and what it opens. Read before anybody
-- is known; who presents the token has it already.
create table booking.resource_feed (
    organisation_id uuid not null,
    resource_id uuid not null,
    venue_id uuid not null,
    token_hash bytea not null check (length(token_hash) = 32),
    made_by uuid,
    created_at timestamptz not null,
    primary key (organisation_id, resource_id),
    constraint resource_feed_token unique (token_hash)
);
alter table booking.resource_feed enable row level security;
alter table booking.resource_feed force row level security;
create policy presented on booking.resource_feed for select to fc_booking using (true);
create policy tenant on booking.resource_feed to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
grant select, insert, update, delete on booking.resource_feed to fc_booking;
