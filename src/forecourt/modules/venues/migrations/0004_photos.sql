-- Photos of venues and of what can be booked there, in the order they are shown. The files are media's; what is kept of each is
-- what a page needs to show it, because the addresses of public files never change.
alter table venues.venue add column photos jsonb not null default '[]';
alter table venues.resource add column photo_ids uuid[] not null default '{}';
alter table venues.resource add column photos jsonb not null default '[]';
alter table venues.listing add column cover jsonb;
