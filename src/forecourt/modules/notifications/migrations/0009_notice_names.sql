-- forecourt: no transaction
-- What names a person to others.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists notice_names on notifications.notice (organisation_id, names_id)
    where names_id is not null;
