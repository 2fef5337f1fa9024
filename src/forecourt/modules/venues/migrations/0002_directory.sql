-- What anyone may look through without knowing the organisation: where an id belongs, who uses which short name, and the
-- cards of venues. All of it is public by nature, so the read policies are `true`; only the own organisation writes.
-- Their first key is the public one: the look-up starts from it.

create extension if not exists cube with schema public;
create extension if not exists earthdistance with schema public;

-- Venues and resources by id. An unlisted venue is reachable by who knows its id; that is what unlisted means.
create table venues.locator (
    id uuid primary key,
    organisation_id uuid not null references venues.organisation (id),
    venue_id uuid not null,
    foreign key (organisation_id, venue_id) references venues.venue (organisation_id, id)
);

create table venues.organisation_card (
    organisation_id uuid primary key references venues.organisation (id),
    slug text not null,
    name text not null,
    kind text not null,
    status text not null,
    country text not null,
    currency text not null,
    created_at timestamptz not null,
    constraint organisation_slug unique (slug)
);
create index organisation_card_by_status on venues.organisation_card (status, created_at, organisation_id);

-- A row per venue, written in the transaction of every edit. `listed` is false for unlisted venues and for those of
-- organisations that take no bookings: their cards are given by id and found by no search.
create table venues.listing (
    organisation_id uuid not null,
    venue_id uuid not null,
    listed boolean not null,
    name text not null,
    slug text not null,
    address text not null,
    city text,
    timezone text not null,
    lat double precision not null,
    lon double precision not null,
    point public.cube not null generated always as (public.ll_to_earth(lat, lon)) stored,
    sports text[] not null,
    amenities text[] not null,
    indoor boolean not null,
    outdoor boolean not null,
    from_price_minor bigint,
    currency text not null,
    photo uuid,
    -- Lower case, without accents: what is compared with what people type.
    name_key text collate "C" not null,
    city_key text collate "C" not null,
    words text[] not null,
    name_lexemes tsvector not null,
    lexemes tsvector not null,
    -- The venue's, so that who keeps a book can ask whether it is still the present one.
    book_version int not null,
    primary key (venue_id),
    unique (organisation_id, venue_id),
    foreign key (organisation_id, venue_id) references venues.venue (organisation_id, id)
);
create index listing_by_point on venues.listing using gist (point) where listed;
create index listing_by_lexeme on venues.listing using gin (lexemes) where listed;
create index listing_by_name on venues.listing (name_key, venue_id) where listed;
create index listing_by_city on venues.listing (city_key, city) where listed;
create index listing_by_price on venues.listing (from_price_minor, venue_id) where listed;
create index listing_of_organisation on venues.listing (organisation_id, name_key, venue_id) where listed;

-- Every word of a listed venue under itself and under each form that lacks one letter: two words one typo apart share a form.
create table venues.search_word (
    form text collate "C" not null,
    word text collate "C" not null,
    primary key (form, word)
);
create unique index search_word_itself on venues.search_word (word) where form = word;

alter table venues.locator enable row level security;
alter table venues.locator force row level security;
alter table venues.organisation_card enable row level security;
alter table venues.organisation_card force row level security;
alter table venues.listing enable row level security;
alter table venues.listing force row level security;
alter table venues.search_word enable row level security;
alter table venues.search_word force row level security;

create policy public_to_read on venues.locator for select to fc_venues using (true);
create policy own_to_add on venues.locator for insert to fc_venues with check (organisation_id = kernel.current_org());
create policy public_to_read on venues.organisation_card for select to fc_venues using (true);
create policy own_to_add on venues.organisation_card for insert to fc_venues with check (organisation_id = kernel.current_org());
create policy own_to_change on venues.organisation_card for update to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy public_to_read on venues.listing for select to fc_venues using (true);
create policy own_to_add on venues.listing for insert to fc_venues with check (organisation_id = kernel.current_org());
create policy own_to_change on venues.listing for update to fc_venues
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy public_to_read on venues.search_word for select to fc_venues using (true);
create policy anyone_adds_words on venues.search_word for insert to fc_venues with check (kernel.current_org() is not null);

grant select, insert on venues.locator, venues.search_word to fc_venues;
grant select, insert, update on venues.organisation_card, venues.listing to fc_venues;
