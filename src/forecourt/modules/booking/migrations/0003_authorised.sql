-- A request that staff have to agree to is paid for when it is made: what its payment has set aside, minor units, for those who
-- read the booking. Payments decide; this is zero again once somebody has decided. The errand `release` gives it back.
alter table booking.booking add column authorised_minor bigint not null default 0;
alter table booking.booking add constraint booking_authorised_check check (
    authorised_minor between 0 and price_minor and (authorised_minor = 0 or status = 'pending_approval')
) not valid;

-- The same rule with one word more among those allowed.
-- squawk-ignore ban-drop-constraint
alter table booking.errand drop constraint errand_kind_check;
alter table booking.errand add constraint errand_kind_check check (kind in ('charge', 'back', 'refund', 'release')) not valid;
