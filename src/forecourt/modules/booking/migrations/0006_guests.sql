-- In which organisations a person has bookings: what a question about a person's bookings names, so that on many servers it goes to
-- those that have them (docs/scale.md). A row for each person and organisation, written once and never changed. The program
-- writes it with the first booking; bookings lie by organisation, these rows by person.
create table booking.guest (
    account_id uuid not null,
    organisation_id uuid not null,
    primary key (account_id, organisation_id)
);
alter table booking.guest enable row level security;
alter table booking.guest force row level security;
create policy noted on booking.guest for insert to fc_booking with check (organisation_id = kernel.current_org());
create policy own on booking.guest for select to fc_booking using (account_id = kernel.current_account());
grant select, insert on booking.guest to fc_booking;

-- For whoever does not say that they note the person themselves: the release before this one, which goes on booking while it is
-- replaced, and those who fill tables in bulk. On many servers there is no such trigger (deploy/citus): it would write elsewhere.
create function booking.note_guest() returns trigger
    language plpgsql set search_path = '' as $$
begin
    insert into booking.guest (account_id, organisation_id) values (new.account_id, new.organisation_id) on conflict do nothing;
    return null;
end $$;
create trigger guest_is_noted after insert on booking.booking
    for each row when (new.account_id::text <> coalesce(current_setting('forecourt.noted', true), ''))
    execute function booking.note_guest();
