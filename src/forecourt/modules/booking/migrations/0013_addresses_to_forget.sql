-- Addresses of guests go some weeks after the booking (`service/forgetting.py`), and are found by what was noted of them. That was
-- removed when the booking was over, and never written for those who had not been told yet.

-- An owner from whom row security hides rows is told so, and fills in nothing.
set local row_security = off;
insert into booking.invited_address (address, organisation_id, invitation_id, until)
select i.address, i.organisation_id, i.id, b.ends_at from booking.invitation i
  join booking.booking b on b.organisation_id = i.organisation_id and b.id = i.booking_id
 where i.address is not null
on conflict do nothing;
