-- Platform admins read everybody's security events, and the house removes those past their keeping. The owner's own policy
-- becomes two, so that the right to delete, which the house now needs, is not a person's right over their own record.

drop policy own_events on identity.security_event;
create policy own_events on identity.security_event for select to fc_identity using (account_id = kernel.current_account());
create policy noted_by_oneself on identity.security_event for insert to fc_identity
    with check (account_id = kernel.current_account());
create policy seen_by_admins on identity.security_event for select to fc_identity
    using (exists (select from identity.account a where a.id = kernel.current_account() and a.platform_admin));
-- Acting for nobody, the module sees what is older than a year, and nothing else.
create policy past_keeping on identity.security_event to fc_identity
    using (kernel.current_account() is null and at < now() - interval '365 days') with check (false);

grant delete on identity.security_event to fc_identity;
