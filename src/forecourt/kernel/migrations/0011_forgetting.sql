-- The log stays append-only for modules. The kernel empties what it says of a person whose account is erased: from where they acted,
-- and what was written about them.
grant update (address, payload) on kernel.event to fc_kernel;
create policy emptied_by_the_kernel on kernel.event for update to fc_kernel using (true) with check (true);
