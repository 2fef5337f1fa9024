-- forecourt: no transaction
-- Newest first for admins, oldest first for who removes them.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists security_event_at on identity.security_event (at, id);
