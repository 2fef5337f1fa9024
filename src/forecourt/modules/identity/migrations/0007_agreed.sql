-- Whether a member had a say: founded the organisation, or accepted an invitation. Whoever was added by account id and has not
-- accepted yet works there all the same; the organisation does not see their address.

alter table identity.staff add column agreed boolean not null default true;
