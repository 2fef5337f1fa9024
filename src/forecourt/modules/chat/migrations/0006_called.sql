-- What the house last called the room of a booking, and after what: readers are told it in their own words. `{name, subject:
-- {resource, start, timezone}}`; none in rooms that nothing was heard of since. A name that is another one was chosen by a person.
alter table chat.room add column called jsonb;
alter table chat.room add constraint called_is_object check (jsonb_typeof(called) = 'object') not valid;
grant update (called) on chat.room to fc_chat;
