alter table chat.room validate constraint called_is_object;
