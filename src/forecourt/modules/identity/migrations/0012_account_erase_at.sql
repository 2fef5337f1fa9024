-- forecourt: no transaction
-- Whose time has come, the earliest first; few accounts have one.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists account_erase_at on identity.account (erase_at, id) where erase_at is not null;
