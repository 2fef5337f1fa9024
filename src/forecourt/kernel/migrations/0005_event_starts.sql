-- An event whose handler kills its process leaves no failure behind, only starts: how often what follows (begun_xid, begun_id)
-- was begun since the cursor last got anywhere.

alter table kernel.cursor add column starts int not null default 0;
alter table kernel.cursor add column begun_xid xid8 not null default '0';
alter table kernel.cursor add column begun_id uuid not null default '00000000-0000-0000-0000-000000000000';
