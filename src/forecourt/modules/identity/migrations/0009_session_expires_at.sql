-- forecourt: no transaction
-- The oldest first, for who removes them.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists session_expires_at on identity.session (expires_at);
