alter table chat.message validate constraint previews_is_list;
