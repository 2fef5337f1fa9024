-- Rooms, who is in them and what is said there.
--
-- Row security stands on two legs. A person sees what lies in the rooms they are a member of (`chat.member`, their own rows).
-- Whatever is written, and whatever the house itself does, happens in one room that the transaction has opened
-- (`forecourt.room`): it then sees and changes that room and no other. The service opens a room in the statement that finds it,
-- which row security has already judged.

create function chat.current_room() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('forecourt.room', true), '')::uuid;
revoke execute on function chat.current_room() from public;
grant execute on function chat.current_room() to fc_chat;

create table chat.room (
    id uuid primary key,
    -- Whose channel or booking it is; none for people among themselves.
    organisation_id uuid,
    kind text not null check (kind in ('direct', 'group', 'channel', 'booking')),
    name text not null default '' check (length(name) <= 100),
    about text not null default '' check (length(about) <= 500),
    public boolean not null default false check (not public or kind = 'channel'),
    -- The booking whose party talks here.
    subject_id uuid check ((kind = 'booking') = (subject_id is not null)),
    slow_mode_s int not null default 0 check (slow_mode_s between 0 and 3600),
    retention_days int check (retention_days between 1 and 3650),
    archived_at timestamptz,
    created_by uuid,
    created_at timestamptz not null,
    version int not null default 1 check (version >= 1),
    constraint booking_has_organisation check (kind <> 'booking' or organisation_id is not null),
    constraint room_of_subject unique (organisation_id, subject_id)
);
create index room_of_organisation on chat.room (organisation_id, name, id) where public;

-- Where a room's numbering is. Numbers alone, of nobody's in particular, so that the server can ask for many rooms at once.
-- Its row is the lock under which a room changes.
create table chat.position (
    room_id uuid primary key references chat.room (id),
    epoch uuid not null,
    last_seq bigint not null default 0 check (last_seq >= 0),
    -- Of the oldest event kept; none when none is.
    kept_since timestamptz,
    -- When messages have to be looked through next, in rooms that do not keep them for ever.
    tidy_at timestamptz
) with (fillfactor = 60);
create index position_kept on chat.position (kept_since) where kept_since is not null;
create index position_tidy on chat.position (tidy_at) where tidy_at is not null;

-- Two people have one direct room. The smaller id first.
create table chat.pair (
    one_id uuid not null,
    other_id uuid not null,
    room_id uuid not null references chat.room (id),
    primary key (one_id, other_id),
    check (one_id < other_id)
);
create index pair_of_room on chat.pair (room_id);

create table chat.member (
    room_id uuid not null references chat.room (id),
    account_id uuid not null,
    role text not null check (role in ('owner', 'moderator', 'member')),
    joined_at timestamptz not null,
    read_seq bigint not null default 0 check (read_seq >= 0),
    notify text not null default 'all' check (notify in ('all', 'mentions', 'nothing')),
    muted_until timestamptz,
    last_sent_at timestamptz,
    primary key (room_id, account_id)
) with (fillfactor = 70);
create index member_of_account on chat.member (account_id, room_id);

-- What a person chose for all their rooms; who never chose has no row.
create table chat.setting (
    account_id uuid primary key,
    -- Whether others see how far they have read, and they how far others have.
    receipts boolean not null default true,
    -- Local hours in which they are not to be disturbed: {start, end, weekdays, timezone}.
    quiet jsonb check (jsonb_typeof(quiet) = 'object'),
    updated_at timestamptz not null
);

create table chat.ban (
    room_id uuid not null references chat.room (id),
    account_id uuid not null,
    banned_by uuid not null,
    banned_at timestamptz not null,
    -- For good without it.
    until timestamptz,
    primary key (room_id, account_id)
);

create table chat.message (
    room_id uuid not null references chat.room (id),
    seq bigint not null check (seq > 0),
    id uuid not null,
    sender_id uuid not null,
    client_id text not null check (length(client_id) between 1 and 100),
    body text not null check (octet_length(body) <= 16384),
    html text not null,
    reply_to uuid,
    -- The first message of the thread that this one is a reply in.
    thread_id uuid,
    replies int not null default 0 check (replies >= 0),
    attachments jsonb not null default '[]' check (jsonb_typeof(attachments) = 'array'),
    mentioned uuid[] not null default '{}',
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz,
    pinned_at timestamptz,
    pinned_by uuid,
    words tsvector not null generated always as (to_tsvector('simple'::regconfig, body)) stored,
    primary key (room_id, seq),
    constraint message_id unique (id),
    constraint message_resent unique (room_id, sender_id, client_id)
) with (fillfactor = 90);
create index message_unread on chat.message (room_id, seq) include (sender_id) where deleted_at is null;
create index message_thread on chat.message (room_id, thread_id, seq) where thread_id is not null;
create index message_pinned on chat.message (room_id, pinned_at) where pinned_at is not null;
create index message_old on chat.message (room_id, created_at);

-- What a message said before it was edited.
create table chat.edit (
    room_id uuid not null,
    seq bigint not null,
    edited_at timestamptz not null,
    body text not null,
    primary key (room_id, seq, edited_at),
    foreign key (room_id, seq) references chat.message (room_id, seq) on delete cascade
);

create table chat.reaction (
    room_id uuid not null,
    seq bigint not null,
    emoji text not null check (length(emoji) between 1 and 16),
    account_id uuid not null,
    reacted_at timestamptz not null,
    primary key (room_id, seq, emoji, account_id),
    foreign key (room_id, seq) references chat.message (room_id, seq) on delete cascade
);

-- One row per name in a message, not per recipient.
create table chat.mention (
    account_id uuid not null,
    room_id uuid not null,
    seq bigint not null,
    primary key (account_id, room_id, seq),
    foreign key (room_id, seq) references chat.message (room_id, seq) on delete cascade
);
create index mention_of_message on chat.mention (room_id, seq);

-- What happened, as clients are told it. The newest are kept, for who comes back.
create table chat.event (
    room_id uuid not null references chat.room (id),
    seq bigint not null check (seq > 0),
    type text not null check (length(type) between 1 and 40),
    data text not null,
    -- The message it is about: when that is deleted, its words go from here too.
    message_id uuid,
    at timestamptz not null,
    primary key (room_id, seq)
);

alter table chat.room enable row level security;
alter table chat.room force row level security;
alter table chat.position enable row level security;
alter table chat.position force row level security;
alter table chat.pair enable row level security;
alter table chat.pair force row level security;
alter table chat.member enable row level security;
alter table chat.member force row level security;
alter table chat.setting enable row level security;
alter table chat.setting force row level security;
alter table chat.ban enable row level security;
alter table chat.ban force row level security;
alter table chat.message enable row level security;
alter table chat.message force row level security;
alter table chat.edit enable row level security;
alter table chat.edit force row level security;
alter table chat.reaction enable row level security;
alter table chat.reaction force row level security;
alter table chat.mention enable row level security;
alter table chat.mention force row level security;
alter table chat.event enable row level security;
alter table chat.event force row level security;

grant select, insert on chat.room, chat.position, chat.setting, chat.pair to fc_chat;
grant select, insert, delete on
    chat.member, chat.ban, chat.message, chat.event, chat.edit, chat.reaction, chat.mention to fc_chat;
-- What a room belongs to, who is a member of what, who said something and where: none of it changes, ever.
grant update (name, about, public, slow_mode_s, retention_days, archived_at, version) on chat.room to fc_chat;
grant update (last_seq, kept_since, tidy_at) on chat.position to fc_chat;
grant update (receipts, quiet, updated_at) on chat.setting to fc_chat;
grant update (role, read_seq, notify, muted_until, last_sent_at) on chat.member to fc_chat;
grant update (banned_by, banned_at, until) on chat.ban to fc_chat;
grant update (body, html, replies, attachments, mentioned, edited_at, deleted_at, pinned_at, pinned_by) on chat.message to fc_chat;
grant update (data) on chat.event to fc_chat;

-- Members see their rooms; whoever is signed in finds public ones.
create policy seen_by_members on chat.room for select to fc_chat using (
    id = chat.current_room()
    or (public and kernel.current_account() is not null)
    or id in (select m.room_id from chat.member m where m.account_id = kernel.current_account())
);
create policy made_when_opened on chat.room for insert to fc_chat with check (id = chat.current_room());
create policy changed_when_opened on chat.room for update to fc_chat using (id = chat.current_room());

create policy numbers_alone on chat.position for select to fc_chat using (true);
create policy made_when_opened on chat.position for insert to fc_chat with check (room_id = chat.current_room());
create policy changed_when_opened on chat.position for update to fc_chat using (room_id = chat.current_room());

create policy seen_by_the_two on chat.pair for select to fc_chat
    using (one_id = kernel.current_account() or other_id = kernel.current_account());
create policy made_by_one_of_them on chat.pair for insert to fc_chat
    with check (room_id = chat.current_room() and (one_id = kernel.current_account() or other_id = kernel.current_account()));

create policy own_or_opened on chat.member for select to fc_chat
    using (account_id = kernel.current_account() or room_id = chat.current_room());
create policy added_when_opened on chat.member for insert to fc_chat with check (room_id = chat.current_room());
create policy changed_when_opened on chat.member for update to fc_chat using (room_id = chat.current_room());
create policy removed_when_opened on chat.member for delete to fc_chat using (room_id = chat.current_room());

create policy own_or_of_who_is_here on chat.setting for select to fc_chat using (
    account_id = kernel.current_account()
    or account_id in (select m.account_id from chat.member m where m.room_id = chat.current_room())
);
create policy own_made on chat.setting for insert to fc_chat with check (account_id = kernel.current_account());
create policy own_changed on chat.setting for update to fc_chat using (account_id = kernel.current_account());

create policy opened on chat.ban to fc_chat using (room_id = chat.current_room()) with check (room_id = chat.current_room());

create policy seen_by_members on chat.message for select to fc_chat using (
    room_id = chat.current_room()
    or room_id in (select m.room_id from chat.member m where m.account_id = kernel.current_account())
);
-- Nobody speaks for somebody else.
create policy said_by_oneself on chat.message for insert to fc_chat
    with check (room_id = chat.current_room() and sender_id = kernel.current_account());
create policy changed_when_opened on chat.message for update to fc_chat using (room_id = chat.current_room());
create policy removed_when_opened on chat.message for delete to fc_chat using (room_id = chat.current_room());

create policy opened on chat.edit to fc_chat using (room_id = chat.current_room()) with check (room_id = chat.current_room());
create policy opened on chat.reaction to fc_chat using (room_id = chat.current_room()) with check (room_id = chat.current_room());

create policy own_or_opened on chat.mention for select to fc_chat
    using (account_id = kernel.current_account() or room_id = chat.current_room());
create policy noted_when_opened on chat.mention for insert to fc_chat with check (room_id = chat.current_room());
create policy removed_when_opened on chat.mention for delete to fc_chat using (room_id = chat.current_room());

create policy opened on chat.event to fc_chat using (room_id = chat.current_room()) with check (room_id = chat.current_room());
