-- How often somebody was asked to come: whoever said no, or was taken off, can be asked again, but not as often as one likes.
alter table booking.invitation add column asked smallint not null default 1;
alter table booking.invitation add constraint invitation_asked check (asked between 1 and 20) not valid;
grant update (asked) on booking.invitation to fc_booking;
