-- forecourt: no transaction
-- A franchise parent looks up its children; most organisations are nobody's.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists organisation_by_parent on venues.organisation (parent_id) where parent_id is not null;
