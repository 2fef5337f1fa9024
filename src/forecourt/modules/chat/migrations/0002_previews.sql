-- What stands behind the links of a message, in a few words; and whether an organisation wants that in its rooms.

alter table chat.message add column previews jsonb not null default '[]';
alter table chat.message add constraint previews_is_list check (jsonb_typeof(previews) = 'array') not valid;
grant update (previews) on chat.message to fc_chat;

-- What an organisation chose for its rooms; one that never chose has no row.
create table chat.house_rule (
    organisation_id uuid primary key,
    previews boolean not null,
    updated_at timestamptz not null
);
alter table chat.house_rule enable row level security;
alter table chat.house_rule force row level security;
grant select, insert on chat.house_rule to fc_chat;
grant update (previews, updated_at) on chat.house_rule to fc_chat;
create policy of_the_organisation_or_the_room_opened on chat.house_rule for select to fc_chat using (
    organisation_id = kernel.current_org()
    or organisation_id in (select r.organisation_id from chat.room r where r.id = chat.current_room())
);
create policy made_by_the_organisation on chat.house_rule for insert to fc_chat
    with check (organisation_id = kernel.current_org());
create policy changed_by_the_organisation on chat.house_rule for update to fc_chat
    using (organisation_id = kernel.current_org());
