-- On its own, so that reading every membership keeps nobody from joining or writing: who comes meanwhile is seated by the trigger.
-- Who leaves waits for the end, and takes the seat along that stands here by then; who is about to is waited for, and gets none.

-- An owner from whom row security hides rows is told so, and fills in nothing.
set local row_security = off;
insert into chat.seat (account_id, room_id)
select m.account_id, m.room_id from chat.member m for key share
on conflict do nothing;
