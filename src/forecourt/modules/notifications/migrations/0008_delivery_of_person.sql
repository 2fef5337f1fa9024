-- forecourt: no transaction
-- What was sent to a person.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists delivery_of_person on notifications.delivery (organisation_id, account_id, created_at, id)
    where account_id is not null;
