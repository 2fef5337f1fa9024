-- People may have themselves erased. What says who they were goes; the row stays under its id, so that a house that was restored,
-- or that an organisation is brought to, knows that nobody has it any more.
set lock_timeout = '5s';

alter table identity.account
    add column erase_at timestamptz, -- when what its owner asked for is due; after that, until the last of it is done
    add column erase_reminded_at timestamptz,
    add column erased_at timestamptz;

-- The same rule with one word more among those allowed.
-- squawk-ignore ban-drop-constraint
alter table identity.account drop constraint account_status_check;
alter table identity.account add constraint account_status_check check (
    status in ('unconfirmed', 'active', 'suspended', 'banned', 'erased')
) not valid;
-- Who is erased stays it, whatever sets a status.
alter table identity.account add constraint account_erased_check check (
    (status = 'erased') = (erased_at is not null)
) not valid;

-- What happened to an account is kept for a year, but not for longer than the account.
create policy gone_with_the_account on identity.security_event for delete to fc_identity
    using (
        account_id = kernel.current_account()
        and exists (select from identity.account a where a.id = security_event.account_id and a.status = 'erased')
    );

-- A person sees, whatever the organisation, who invited the address that they have shown to be theirs, which role of an
-- organisation's own they have, and the keys that they made; and the invitations go with the address.
create policy to_my_address on identity.staff_invitation for select to fc_identity
    using (
        kernel.current_org() is null
        and exists (
            select from identity.account a
            where a.id = kernel.current_account() and a.email_key = staff_invitation.email_key and a.status <> 'unconfirmed'
        )
    );
create policy gone_with_the_address on identity.staff_invitation for delete to fc_identity
    using (
        kernel.current_org() is null
        and exists (
            select from identity.account a
            where a.id = kernel.current_account() and a.email_key = staff_invitation.email_key and a.status <> 'unconfirmed'
        )
    );
create policy my_own on identity.role for select to fc_identity
    using (
        kernel.current_org() is null
        and exists (
            select from identity.staff s
            where s.account_id = kernel.current_account() and s.organisation_id = role.organisation_id and s.role_id = role.id
        )
    );
create policy made_by_me on identity.api_key for select to fc_identity
    using (kernel.current_org() is null and created_by = kernel.current_account());
