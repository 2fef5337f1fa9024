-- Whoever is erased leaves neither a profile nor preferences: each goes in its owner's name.
set local lock_timeout = '5s';

grant delete on people.profile, people.preferences to fc_people;

create policy own_profile_removed on people.profile for delete to fc_people using (account_id = kernel.current_account());
