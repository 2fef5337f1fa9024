-- Sessions that are long over go. Acting for nobody, the module sees those whose time ended 90 days ago, and nothing else.
create policy past_keeping on identity.session to fc_identity
    using (kernel.current_account() is null and expires_at < now() - interval '90 days') with check (false);
