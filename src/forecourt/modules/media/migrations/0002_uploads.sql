-- Uploads that come in parts, each kept as an object until the last is there. Their objects are named by the upload's id and
-- doomed from the beginning: at the end of their day they go, whatever became of them.

create table media.upload (
    holder_id uuid not null,
    id uuid not null,
    bytes bigint not null check (bytes > 0),
    received bigint not null default 0,
    name text not null check (length(name) <= 200),
    alt text not null check (length(alt) <= 500),
    expires_at timestamptz not null,
    primary key (holder_id, id),
    constraint no_more_than_announced check (received between 0 and bytes)
);

create table media.part (
    holder_id uuid not null,
    upload_id uuid not null,
    starts_at bigint not null check (starts_at >= 0),
    bytes bigint not null check (bytes > 0),
    object text not null check (length(object) between 1 and 100),
    primary key (holder_id, upload_id, starts_at),
    foreign key (holder_id, upload_id) references media.upload (holder_id, id) on delete cascade
);

alter table media.upload enable row level security;
alter table media.upload force row level security;
alter table media.part enable row level security;
alter table media.part force row level security;

grant select, insert, delete on media.upload, media.part to fc_media;
grant update (received) on media.upload to fc_media;

create policy holder on media.upload to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
create policy holder on media.part to fc_media
    using (holder_id = kernel.current_org() or holder_id = kernel.current_account())
    with check (holder_id = kernel.current_org() or holder_id = kernel.current_account());
