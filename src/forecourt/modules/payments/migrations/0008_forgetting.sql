-- Whoever is erased is forgotten (PE-8). What staff and guests wrote about credits and refunds goes; numbers stay, with an id that
-- is nobody's any more.
grant update (reason) on payments.lot, payments.refund to fc_payments;

-- The ledger stays append-only but for the words of a transfer, which can be taken away and never be others.
grant update (reason) on payments.transfer to fc_payments;
create function payments.only_forgets() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if new.reason <> ''
        or (new.organisation_id, new.id, new.kind, new.currency, new.payment_id, new.charge_id, new.account_id, new.at)
            is distinct from (old.organisation_id, old.id, old.kind, old.currency, old.payment_id, old.charge_id, old.account_id, old.at)
    then
        raise exception 'payments.transfer is append-only: its words can be taken away, and nothing else'
            using errcode = 'check_violation', constraint = 'ledger_is_append_only';
    end if;
    return new;
end $$;
drop trigger append_only on payments.transfer;
create trigger append_only before delete or truncate on payments.transfer
    for each statement execute function payments.refuse_change();
create trigger only_forgets before update on payments.transfer
    for each row execute function payments.only_forgets();

-- People see which codes they used when they ask for all that is kept of them.
create policy own on payments.promo_redemption for select to fc_payments using (account_id = kernel.current_account());
