-- What the house has counted from its events since it exists: bookings made, money taken. A counter of Prometheus that no restart
-- resets and no second process counts again, because it moves in the transaction that moves the counting subscriber's cursor.

create table kernel.tally (
    name text not null,
    label text not null default '', -- a currency, where the tally is by currency
    total numeric(38, 0) not null check (total >= 0),
    primary key (name, label)
) with (fillfactor = 70);

alter table kernel.tally enable row level security;
alter table kernel.tally force row level security;
grant select, insert, update on kernel.tally to fc_kernel;

create policy counted_by_the_kernel on kernel.tally to fc_kernel using (true) with check (true);
