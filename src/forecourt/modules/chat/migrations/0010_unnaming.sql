-- Words of others lose the name that the house drew into them where they mention somebody who is erased; earlier words too.
grant update (body) on chat.edit to fc_chat;

-- People who had left before traces were kept may have been mentioned and have said nothing.
set local row_security = off;
insert into chat.trace (account_id, room_id)
select distinct n.account_id, n.room_id from chat.mention n
where not exists (select from chat.member i where i.room_id = n.room_id and i.account_id = n.account_id)
on conflict do nothing;
