-- Up to which version of a venue's book nobody claims anything there any more, and until when that is asked: its resources get more
-- parts, and a process that does not know of them yet would claim the whole alone while another claims a part. Written by whoever
-- is about to change the parts, under the venue's lock; every claim is made under the same lock, shared (`queries.HOLD`).
create table booking.layout (
    organisation_id uuid not null,
    venue_id uuid not null,
    version bigint not null,
    until timestamptz not null,
    primary key (organisation_id, venue_id)
);
alter table booking.layout enable row level security;
alter table booking.layout force row level security;
create policy tenant on booking.layout to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
grant select, insert, update on booking.layout to fc_booking;
