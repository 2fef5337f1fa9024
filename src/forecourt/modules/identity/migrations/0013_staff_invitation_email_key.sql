-- forecourt: no transaction
-- The invitations to an address, for who has it.
set lock_timeout = '5s';
set statement_timeout = '10min';
create index concurrently if not exists staff_invitation_email_key on identity.staff_invitation (email_key);
