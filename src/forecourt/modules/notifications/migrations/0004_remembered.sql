-- forecourt: no transaction
-- What is still to be forgotten, by age: as long as the newest year.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists delivery_remembered on notifications.delivery (organisation_id, created_at)
    where content <> '{}'::jsonb;
