-- In which rooms a person sits: what a question about a person's rooms names, so that on many servers it goes to those that have
-- them (docs/scale.md). A row for each membership, written and removed with it. Members lie by room, these rows by person.
create table chat.seat (
    account_id uuid not null,
    room_id uuid not null references chat.room (id),
    primary key (account_id, room_id)
);
alter table chat.seat enable row level security;
alter table chat.seat force row level security;
create policy own_or_opened on chat.seat for select to fc_chat
    using (account_id = kernel.current_account() or room_id = chat.current_room());
create policy taken_when_opened on chat.seat for insert to fc_chat with check (room_id = chat.current_room());
create policy left_when_opened on chat.seat for delete to fc_chat using (room_id = chat.current_room());
grant select, insert, delete on chat.seat to fc_chat;

-- For the release before this one, which goes on letting people in and out while it is replaced, and for those who fill tables in
-- bulk. The program does the same itself, for on many servers there is no such trigger (deploy/citus): it would write elsewhere.
create function chat.seat_follows() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        insert into chat.seat (account_id, room_id) values (new.account_id, new.room_id) on conflict do nothing;
    else
        delete from chat.seat where account_id = old.account_id and room_id = old.room_id;
    end if;
    return null;
end $$;
create trigger seat_follows after insert or delete on chat.member
    for each row execute function chat.seat_follows();
