-- On its own, so that reading every payment keeps no writer out: what is opened meanwhile is noted by the triggers.

-- An owner from whom row security hides rows is told so, and fills in nothing.
set local row_security = off;
insert into payments.customer (account_id, organisation_id)
select w.account_id, w.organisation_id from payments.wallet w
union select p.account_id, p.organisation_id from payments.payment p where p.account_id is not null
on conflict do nothing;
