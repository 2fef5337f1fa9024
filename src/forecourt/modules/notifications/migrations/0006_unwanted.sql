-- Addresses of no account whose owner wants no mail from here: digests under the house's key alone, so that the list tells nobody
-- who is on it. Read and written by whoever has the address, or a link that was sent to it.
create table notifications.unwanted (
    address bytea primary key check (length(address) = 32),
    since timestamptz not null
);
alter table notifications.unwanted enable row level security;
alter table notifications.unwanted force row level security;
create policy digests_alone on notifications.unwanted to fc_notifications using (true) with check (true);
grant select, insert, delete on notifications.unwanted to fc_notifications;
