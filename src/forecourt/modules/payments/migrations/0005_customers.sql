-- At which organisations a person has credits or payments: what a question about a person's wallets and payments names, so that on
-- many servers it goes to those that have them (docs/scale.md). A row for each person and organisation, written once and never
-- changed, by the transaction that opens the first wallet or payment. Money lies by organisation, these rows by person.
create table payments.customer (
    account_id uuid not null,
    organisation_id uuid not null,
    primary key (account_id, organisation_id)
);
alter table payments.customer enable row level security;
alter table payments.customer force row level security;
create policy noted on payments.customer for insert to fc_payments with check (organisation_id = kernel.current_org());
create policy own on payments.customer for select to fc_payments using (account_id = kernel.current_account());
grant select, insert on payments.customer to fc_payments;

-- For whoever does not say that they note the person themselves: the release before this one, which goes on charging while it is
-- replaced, and those who fill tables in bulk. On many servers there is no such trigger (deploy/citus): it would write elsewhere.
create function payments.note_customer() returns trigger
    language plpgsql set search_path = '' as $$
begin
    insert into payments.customer (account_id, organisation_id) values (new.account_id, new.organisation_id)
        on conflict do nothing;
    return null;
end $$;
create trigger customer_is_noted after insert on payments.wallet
    for each row when (new.account_id::text <> coalesce(current_setting('forecourt.noted', true), ''))
    execute function payments.note_customer();
create trigger customer_is_noted after insert on payments.payment
    for each row when (new.account_id::text <> coalesce(current_setting('forecourt.noted', true), ''))
    execute function payments.note_customer();
