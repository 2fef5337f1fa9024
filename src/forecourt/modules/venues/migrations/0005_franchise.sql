-- A franchise parent sees which organisations are its own, for as long as their rows name it: who was a child yesterday is none
-- today. It reads their rows and writes none of them.
create policy children on venues.organisation for select to fc_venues using (parent_id = kernel.current_org());
