-- Who is invited to a booking, and how each stands. `booking.invitees` stays what was wished for when the booking was made; the
-- program makes rows of it when somebody asks, so that bookings from before this and those that the release before makes have
-- them too.
create table booking.invitation (
    organisation_id uuid not null,
    id uuid not null,
    booking_id uuid not null,
    -- Whose it is: who was invited by account, or the person whom the address turned out to be.
    account_id uuid,
    -- Where it was sent; none for who is invited by account.
    email text check (length(email) between 3 and 254),
    -- The keyed digest of the folded address: the same for every way of writing it.
    address bytea check (length(address) = 32),
    status text not null check (status in ('pending', 'accepted', 'declined', 'withdrawn')),
    -- Of its link, which is kept nowhere: a keyed digest of this row's id and salt. With another salt the links before open nothing.
    salt bytea not null check (length(salt) = 16),
    -- When the first word of it went to its address.
    told_at timestamptz,
    invited_by uuid,
    created_at timestamptz not null,
    answered_at timestamptz,
    primary key (organisation_id, id),
    constraint invitation_of_booking foreign key (organisation_id, booking_id) references booking.booking (organisation_id, id),
    constraint invitation_names_somebody check (account_id is not null or email is not null),
    constraint invitation_address check ((email is null) = (address is null)),
    constraint invited_once_by_address unique (organisation_id, booking_id, address)
);
create unique index invited_once_by_account on booking.invitation (organisation_id, booking_id, account_id) where email is null;
create index invitation_of_account on booking.invitation (account_id, organisation_id) where account_id is not null;
create index invitation_of_inviter on booking.invitation (organisation_id, invited_by, created_at);

-- By the digest of an address, which organisations' invitations to look for when it becomes somebody's: of ids and digests alone.
create table booking.invited_address (
    address bytea not null check (length(address) = 32),
    organisation_id uuid not null,
    invitation_id uuid not null,
    until timestamptz not null,
    primary key (address, organisation_id, invitation_id)
);
create index invited_address_until on booking.invited_address (until);

alter table booking.invitation enable row level security;
alter table booking.invitation force row level security;
alter table booking.invited_address enable row level security;
alter table booking.invited_address force row level security;

create policy tenant on booking.invitation to fc_booking
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on booking.invitation for select to fc_booking using (account_id = kernel.current_account());
create policy noted on booking.invited_address for insert to fc_booking with check (organisation_id = kernel.current_org());
-- Only the house, acting for nobody, asks which invitations an address has and lets those go that are over.
create policy looked_up on booking.invited_address for select to fc_booking
    using (kernel.current_org() is null and kernel.current_account() is null);
create policy over on booking.invited_address for delete to fc_booking
    using (kernel.current_org() is null and kernel.current_account() is null);

grant select, insert on booking.invitation to fc_booking;
grant update (account_id, status, salt, told_at, invited_by, answered_at) on booking.invitation to fc_booking;
grant select, insert, delete on booking.invited_address to fc_booking;
