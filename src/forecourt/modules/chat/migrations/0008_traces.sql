-- In which rooms something of a person may be besides those that they sit in: they left, or were kept out. For whoever is told
-- all that is kept of them, and for whoever is erased (PE-8). A row comes with leaving and stays.
create table chat.trace (
    account_id uuid not null,
    room_id uuid not null references chat.room (id),
    primary key (account_id, room_id)
);
alter table chat.trace enable row level security;
alter table chat.trace force row level security;
create policy own_or_opened on chat.trace for select to fc_chat
    using (account_id = kernel.current_account() or room_id = chat.current_room());
create policy made_when_opened on chat.trace for insert to fc_chat with check (room_id = chat.current_room());
grant select, insert on chat.trace to fc_chat;

-- The release before this one lets people out without a trace while it is replaced, and so do those who empty tables in bulk. The
-- program does the same itself, for on many servers there is no such trigger (deploy/citus).
create or replace function chat.seat_follows() returns trigger
    language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        insert into chat.seat (account_id, room_id) values (new.account_id, new.room_id) on conflict do nothing;
    else
        delete from chat.seat where account_id = old.account_id and room_id = old.room_id;
        insert into chat.trace (account_id, room_id) values (old.account_id, old.room_id) on conflict do nothing;
    end if;
    return null;
end $$;

-- People are told where they are banned when they ask for all that is kept of them.
create policy own on chat.ban for select to fc_chat using (account_id = kernel.current_account());

-- What somebody chose for all their rooms goes with them.
grant delete on chat.setting to fc_chat;
create policy own_removed on chat.setting for delete to fc_chat using (account_id = kernel.current_account());
