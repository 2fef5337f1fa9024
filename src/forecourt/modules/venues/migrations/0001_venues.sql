-- Organisations, their venues and the things in them. Rows are seen by their own organisation only; what the public may
-- look through without knowing the organisation lies in tables of its own (0002_directory.sql).

create table venues.organisation (
    id uuid primary key,
    name text not null check (length(name) between 1 and 120),
    kind text not null check (kind in ('gym', 'club', 'community', 'team', 'hotel')),
    country text not null check (country ~ '^[A-Z]{2}$'),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    timezone text not null,
    locale text not null,
    slug text not null check (length(slug) between 2 and 63),
    status text not null default 'active' check (status in ('active', 'suspended', 'deactivated')),
    branding jsonb not null default '{}',
    tax jsonb not null default '[]',
    policies jsonb not null,
    -- Somebody has changed the policies that every organisation begins with.
    policies_set boolean not null default false,
    parent_id uuid,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    version int not null default 1
);

create table venues.venue (
    organisation_id uuid not null references venues.organisation (id),
    id uuid not null,
    name text not null check (length(name) between 1 and 120),
    slug text not null check (length(slug) between 2 and 63),
    address text not null,
    city text,
    region text,
    lat double precision not null check (lat between -90 and 90),
    lon double precision not null check (lon between -180 and 180),
    timezone text not null,
    opening_hours jsonb not null,
    amenities text[] not null default '{}',
    description text not null default '',
    house_rules text not null default '',
    photo_ids uuid[] not null default '{}',
    listed boolean not null default true,
    version int not null default 1,
    -- Rises with every edit of anything in the venue's book, the organisation's policies included.
    book_version int not null default 1,
    primary key (organisation_id, id),
    constraint venue_slug unique (organisation_id, slug)
);
create index venue_by_name on venues.venue (organisation_id, name, id);

create table venues.resource (
    organisation_id uuid not null,
    venue_id uuid not null,
    id uuid not null,
    name text not null check (length(name) between 1 and 120),
    kind text not null check (kind in ('room', 'court', 'studio', 'pod', 'lane', 'table', 'equipment')),
    sport text,
    surface text,
    indoor boolean,
    capacity int not null check (capacity between 1 and 1000),
    people jsonb not null default '{}',
    slot_min int not null check (slot_min between 5 and 240),
    durations_min int[] not null check (cardinality(durations_min) between 1 and 96),
    buffer_before_min int not null check (buffer_before_min between 0 and 240),
    buffer_after_min int not null check (buffer_after_min between 0 and 240),
    lead_min int check (lead_min between 0 and 43200),
    horizon_days int check (horizon_days between 1 and 730),
    part_ids uuid[] not null default '{}' check (cardinality(part_ids) <= 50),
    position int not null default 0,
    active boolean not null default true,
    -- Removed ones stay, inactive: bookings of the past still name them.
    removed boolean not null default false,
    version int not null default 1,
    primary key (organisation_id, id),
    foreign key (organisation_id, venue_id) references venues.venue (organisation_id, id),
    check (not (removed and active))
);
create index resource_of_venue on venues.resource (organisation_id, venue_id, position, name, id);

create table venues.price_list (
    organisation_id uuid not null,
    venue_id uuid not null,
    rules jsonb not null default '[]' check (jsonb_typeof(rules) = 'array'),
    version int not null default 1,
    primary key (organisation_id, venue_id),
    foreign key (organisation_id, venue_id) references venues.venue (organisation_id, id)
);

create table venues.closure (
    organisation_id uuid not null,
    venue_id uuid not null,
    id uuid not null,
    reason text not null check (length(reason) between 1 and 200),
    first_day date,
    last_day date,
    holiday boolean not null default false,
    primary key (organisation_id, id),
    foreign key (organisation_id, venue_id) references venues.venue (organisation_id, id),
    check (holiday = (first_day is null) and (first_day is null) = (last_day is null) and first_day <= last_day)
);
create index closure_of_venue on venues.closure (organisation_id, venue_id, first_day, id);

alter table venues.organisation enable row level security;
alter table venues.organisation force row level security;
alter table venues.venue enable row level security;
alter table venues.venue force row level security;
alter table venues.resource enable row level security;
alter table venues.resource force row level security;
alter table venues.price_list enable row level security;
alter table venues.price_list force row level security;
alter table venues.closure enable row level security;
alter table venues.closure force row level security;

create policy tenant on venues.organisation to fc_venues
    using (id = kernel.current_org()) with check (id = kernel.current_org());
create policy tenant on venues.venue to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on venues.resource to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on venues.price_list to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on venues.closure to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());

grant select, insert, update on venues.organisation, venues.venue, venues.resource, venues.price_list to fc_venues;
grant select, insert, delete on venues.closure to fc_venues;
