-- Files that people send. What a file is (content) is kept once for each holder, however often it is sent; what it is for
-- (file) is a row each time. The holder is the organisation or the person that it counts for, and part of every key.
-- Objects in the store are named <holder>/<content>/<variant>: a row here names only objects that are there.

-- From an id to its holder, before that is known; ids are random.
create table media.locator (
    id uuid primary key,
    holder_id uuid not null,
    holder_kind text not null check (holder_kind in ('organisation', 'account'))
);

create table media.holding (
    holder_id uuid primary key,
    bytes bigint not null constraint holding_is_never_negative check (bytes >= 0)
);

create table media.content (
    holder_id uuid not null,
    id uuid not null,
    sent_digest bytea not null check (length(sent_digest) = 32), -- SHA-256 of what was sent
    digest bytea not null check (length(digest) = 32), -- and of what is kept of it
    kind text not null check (kind in ('image', 'document', 'audio', 'video')),
    type text not null check (length(type) <= 100),
    bytes bigint not null check (bytes > 0),
    all_bytes bigint not null check (all_bytes >= bytes), -- variants included
    width int check (width > 0),
    height int check (height > 0),
    blur text check (length(blur) <= 2000),
    variants jsonb not null,
    created_at timestamptz not null,
    primary key (holder_id, id),
    constraint content_is_kept_once unique (holder_id, sent_digest),
    constraint images_have_sizes check ((kind = 'image') = (width is not null and height is not null))
);

create table media.file (
    holder_id uuid not null,
    id uuid not null,
    content_id uuid not null,
    name text not null check (length(name) <= 200),
    alt text not null check (length(alt) <= 500),
    sent_by uuid,
    sent_at timestamptz not null,
    audience text check (audience in ('public', 'private')),
    owner_module text check (length(owner_module) between 1 and 40),
    owner_kind text check (length(owner_kind) between 1 and 40),
    owner_id uuid,
    attached_at timestamptz,
    primary key (holder_id, id),
    constraint file_has_content foreign key (holder_id, content_id) references media.content (holder_id, id),
    constraint attached_as_a_whole check (
        num_nonnulls(audience, owner_module, owner_kind, owner_id, attached_at) in (0, 5)
    )
);
create index file_of_content on media.file (holder_id, content_id);

-- Objects to be removed at a time, unless a content has their id by then. Written before the first object is: what dies in
-- between leaves objects that are known to belong to nobody.
create table media.doomed (
    holder_id uuid not null,
    content_id uuid not null,
    due_at timestamptz not null,
    condemned boolean not null default false, -- they are being removed: no row can spare them any more
    primary key (holder_id, content_id)
);
create index doomed_by_time on media.doomed (due_at, holder_id, content_id);

alter table media.locator enable row level security;
alter table media.locator force row level security;
alter table media.holding enable row level security;
alter table media.holding force row level security;
alter table media.content enable row level security;
alter table media.content force row level security;
alter table media.file enable row level security;
alter table media.file force row level security;
alter table media.doomed enable row level security;
alter table media.doomed force row level security;

grant select, insert, delete on media.locator, media.content, media.file, media.doomed to fc_media;
grant select, insert, update on media.holding to fc_media;
grant update (alt, audience, owner_module, owner_kind, owner_id, attached_at) on media.file to fc_media;
grant update (due_at, condemned) on media.doomed to fc_media;
-- `for key share` and `for update` need the right to update something.
grant update (blur) on media.content to fc_media;

create policy known_by_id on media.locator for select to fc_media using (true);
create policy holder_adds on media.locator for insert to fc_media
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder_removes on media.locator for delete to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder on media.holding to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder on media.content to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder on media.file to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder on media.doomed to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
-- Only a transaction that is about nobody sees what is due everywhere: ids and times alone.
create policy keeper on media.doomed for select to fc_media
    using (kernel.current_org() is null and kernel.current_account() is null);
