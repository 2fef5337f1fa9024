-- When the last whole copy of the database was made: `forecourt backup`, or whatever makes them elsewhere, says so here, so that
-- workers can tell its age and an alert can ask for it. One row: older copies are the archive's own affair.

create table kernel.last_copy (
    id int primary key default 1 check (id = 1),
    finished_at timestamptz not null,
    size_bytes bigint not null check (size_bytes >= 0)
);

alter table kernel.last_copy enable row level security;
alter table kernel.last_copy force row level security;
grant select on kernel.last_copy to fc_kernel;

create policy read_by_the_kernel on kernel.last_copy for select to fc_kernel using (true);
create policy noted_by_the_owner on kernel.last_copy to current_user using (true) with check (true);
