-- forecourt: no transaction
-- The keys that a person made, for that person.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists api_key_created_by on identity.api_key (created_by, organisation_id, id)
    where created_by is not null;
