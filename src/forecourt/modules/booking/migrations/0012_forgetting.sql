-- Whoever is erased is forgotten (PE-8). What people wrote goes; what happened, when and for how much stays, with an id that is
-- nobody's any more.

-- Where an invitation was sent, and the digest of that; the links of before open nothing.
grant update (email, address) on booking.invitation to fc_booking;

-- Steps stay as they are but for the words about them, which can be taken away and never be others.
grant update (detail) on booking.transition to fc_booking;
create function booking.only_forgets() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if new.detail <> '' then
        raise exception 'what was written about a step can be taken away and not be changed'
            using errcode = 'check_violation', constraint = 'history_is_append_only';
    end if;
    return new;
end $$;
create trigger only_forgets before update on booking.transition
    for each row execute function booking.only_forgets();

-- People see what they did to bookings, and whom they invited, when they ask for all that is kept of them.
create policy own on booking.transition for select to fc_booking using (account_id = kernel.current_account());
create policy given on booking.invitation for select to fc_booking using (invited_by = kernel.current_account());
