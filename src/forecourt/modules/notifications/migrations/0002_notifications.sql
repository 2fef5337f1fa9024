-- What is to be said to whom, how it is brought there, and what a person finds in the inbox.
--
-- An organisation's tables carry its id; what is about no organisation (an account, a direct message) carries the nil id.
-- A person's tables carry the account. The keeper of the queue works for nobody in particular and sees ids and times alone.

-- Something to tell one person. Written with the event it follows from; `key` makes a second telling of the same thing harmless.
create table notifications.notice (
    organisation_id uuid not null,
    id uuid not null,
    account_id uuid not null,
    kind text not null check (length(kind) between 3 and 60),
    key text not null check (length(key) between 1 and 200),
    -- The object it is about, so that what became void can be taken back.
    about_id uuid,
    facts jsonb not null check (jsonb_typeof(facts) = 'object'),
    status text not null default 'waiting' check (status in ('waiting', 'told', 'void')),
    created_at timestamptz not null,
    told_at timestamptz,
    primary key (organisation_id, id),
    constraint notice_key unique (organisation_id, account_id, key)
);
create index notice_about on notifications.notice (organisation_id, about_id) where about_id is not null;

-- The queue: what is to be done, and when. A claim moves `due_at` past its lease, so that a worker's death gives it back.
create table notifications.due (
    organisation_id uuid not null,
    id uuid not null,
    what text not null check (what in ('notice', 'delivery', 'digest')),
    due_at timestamptz not null,
    lease uuid,
    -- How often it was claimed; what cannot be told is given up in the end.
    claims int not null default 0,
    primary key (organisation_id, id)
) with (fillfactor = 70);
create index due_by_time on notifications.due (due_at, id);

-- One message on its way through one channel. `content` is what was rendered; it is emptied when the message is old.
create table notifications.delivery (
    organisation_id uuid not null,
    id uuid not null,
    notice_id uuid,
    account_id uuid,
    kind text not null check (length(kind) between 3 and 60),
    topic text not null check (length(topic) between 1 and 40),
    channel text not null check (channel in ('in_app', 'email', 'sms', 'whatsapp', 'push', 'web_push', 'webhook')),
    recipient text not null check (length(recipient) between 1 and 2048),
    locale text not null check (length(locale) between 2 and 16),
    content jsonb not null check (jsonb_typeof(content) = 'object'),
    status text not null check (status in ('queued', 'sent', 'delivered', 'opened', 'failed')),
    tries smallint not null default 0 check (tries >= 0),
    provider text not null default '' check (length(provider) <= 80),
    error text not null default '' check (length(error) <= 500),
    created_at timestamptz not null,
    sent_at timestamptz,
    changed_at timestamptz not null,
    primary key (organisation_id, id),
    constraint delivery_of_notice foreign key (organisation_id, notice_id) references notifications.notice (organisation_id, id)
);
create index delivery_by_time on notifications.delivery (organisation_id, created_at desc, id desc);
create index delivery_by_status on notifications.delivery (organisation_id, status, created_at desc, id desc);
create index delivery_by_channel on notifications.delivery (organisation_id, channel, created_at desc, id desc);
create unique index delivery_once on notifications.delivery (organisation_id, notice_id, channel, recipient);

-- What was tried, and what came of it. Nobody changes it.
create table notifications.attempt (
    organisation_id uuid not null,
    delivery_id uuid not null,
    id uuid not null,
    at timestamptz not null,
    provider text not null check (length(provider) <= 80),
    taken boolean not null,
    error text not null default '' check (length(error) <= 500),
    primary key (organisation_id, delivery_id, id),
    constraint attempt_of_delivery foreign key (organisation_id, delivery_id)
        references notifications.delivery (organisation_id, id)
);

-- What a provider told us afterwards, each once.
create table notifications.callback (
    organisation_id uuid not null,
    provider_id uuid not null,
    id text not null check (length(id) between 1 and 200),
    delivery_id uuid not null,
    said text not null check (said in ('delivered', 'opened', 'failed')),
    at timestamptz not null,
    primary key (organisation_id, provider_id, id)
);

-- An organisation's own gateways, tried by `place`. The address holds secrets and is sealed.
create table notifications.provider (
    organisation_id uuid not null,
    id uuid not null,
    channel text not null check (channel in ('email', 'sms', 'whatsapp', 'push')),
    name text not null check (length(name) between 1 and 80),
    place int not null check (place between 0 and 100),
    enabled boolean not null,
    sealed_url bytea not null check (length(sealed_url) between 29 and 4096),
    sealed_callback_key bytea not null check (length(sealed_callback_key) between 29 and 200),
    scheme text not null check (length(scheme) between 1 and 40),
    version int not null default 1 check (version >= 1),
    created_at timestamptz not null,
    primary key (organisation_id, id)
);

-- Programs of an organisation that want to hear its events.
create table notifications.webhook_endpoint (
    organisation_id uuid not null,
    id uuid not null,
    url text not null check (length(url) between 8 and 2000),
    events text[] not null check (cardinality(events) between 1 and 100),
    sealed_key bytea not null check (length(sealed_key) between 29 and 200),
    enabled boolean not null,
    created_at timestamptz not null,
    primary key (organisation_id, id)
);

-- An organisation's own words for an event, channel and language. Every version is kept.
create table notifications.template (
    organisation_id uuid not null,
    id uuid not null,
    event text not null check (length(event) between 3 and 60),
    channel text not null check (channel in ('in_app', 'email', 'sms', 'whatsapp', 'push', 'web_push')),
    locale text not null check (locale in ('en', 'pt', 'ur')),
    enabled boolean not null,
    version int not null check (version >= 1),
    created_at timestamptz not null,
    primary key (organisation_id, id),
    constraint template_once unique (organisation_id, event, channel, locale)
);
create table notifications.template_version (
    organisation_id uuid not null,
    template_id uuid not null,
    version int not null check (version >= 1),
    subject text not null check (length(subject) <= 500),
    body text not null check (length(body) between 1 and 20000),
    html text check (length(html) between 1 and 60000),
    account_id uuid,
    created_at timestamptz not null,
    primary key (organisation_id, template_id, version),
    constraint version_of_template foreign key (organisation_id, template_id)
        references notifications.template (organisation_id, id)
);

-- A person's inbox as a topic: how far its numbers have come.
create table notifications.inbox (
    account_id uuid primary key,
    epoch text not null check (length(epoch) between 1 and 40),
    seq bigint not null check (seq >= 0),
    changed_at timestamptz not null
);
create table notifications.entry (
    account_id uuid not null,
    id uuid not null,
    seq bigint not null check (seq > 0),
    kind text not null check (length(kind) between 3 and 60),
    topic text not null check (length(topic) between 1 and 40),
    urgency text not null check (urgency in ('low', 'normal', 'high')),
    -- Whose delivery it was; the nil id for the house's own.
    place_id uuid not null,
    delivery_id uuid not null,
    title text not null check (length(title) between 1 and 500),
    body text not null check (length(body) <= 4000),
    href text not null check (length(href) <= 500),
    created_at timestamptz not null,
    read_at timestamptz,
    archived_at timestamptz,
    primary key (account_id, id)
);
create index entry_by_time on notifications.entry (account_id, created_at desc, id desc);
create index entry_unread on notifications.entry (account_id) where read_at is null and archived_at is null;
-- What happened in the inbox, for clients that come back.
create table notifications.inbox_event (
    account_id uuid not null,
    seq bigint not null check (seq > 0),
    type text not null check (length(type) between 3 and 60),
    data text not null check (length(data) <= 16000),
    at timestamptz not null,
    primary key (account_id, seq)
);

create table notifications.preference (
    account_id uuid primary key,
    chosen jsonb not null check (jsonb_typeof(chosen) = 'object'),
    version int not null default 1 check (version >= 1),
    updated_at timestamptz not null
);
-- A browser that takes pushes. Its endpoint is a capability: who knows it can push there.
create table notifications.push_subscription (
    account_id uuid not null,
    id uuid not null,
    endpoint text not null check (length(endpoint) between 12 and 1000),
    p256dh text not null check (length(p256dh) between 80 and 100),
    auth text not null check (length(auth) between 20 and 30),
    agent text not null check (length(agent) <= 300),
    created_at timestamptz not null,
    primary key (account_id, id),
    constraint push_once unique (account_id, endpoint)
);
-- What waits for the next digest.
create table notifications.digest_item (
    account_id uuid not null,
    id uuid not null,
    topic text not null check (length(topic) between 1 and 40),
    title text not null check (length(title) between 1 and 500),
    href text not null check (length(href) <= 500),
    at timestamptz not null,
    primary key (account_id, id)
);

alter table notifications.notice enable row level security;
alter table notifications.notice force row level security;
alter table notifications.due enable row level security;
alter table notifications.due force row level security;
alter table notifications.delivery enable row level security;
alter table notifications.delivery force row level security;
alter table notifications.attempt enable row level security;
alter table notifications.attempt force row level security;
alter table notifications.callback enable row level security;
alter table notifications.callback force row level security;
alter table notifications.provider enable row level security;
alter table notifications.provider force row level security;
alter table notifications.webhook_endpoint enable row level security;
alter table notifications.webhook_endpoint force row level security;
alter table notifications.template enable row level security;
alter table notifications.template force row level security;
alter table notifications.template_version enable row level security;
alter table notifications.template_version force row level security;
alter table notifications.inbox enable row level security;
alter table notifications.inbox force row level security;
alter table notifications.entry enable row level security;
alter table notifications.entry force row level security;
alter table notifications.inbox_event enable row level security;
alter table notifications.inbox_event force row level security;
alter table notifications.preference enable row level security;
alter table notifications.preference force row level security;
alter table notifications.push_subscription enable row level security;
alter table notifications.push_subscription force row level security;
alter table notifications.digest_item enable row level security;
alter table notifications.digest_item force row level security;

create policy tenant on notifications.notice to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.due to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
-- Only a transaction that is about nobody sees what is due everywhere, and claims it.
create policy keeper on notifications.due to fc_notifications
    using (kernel.current_org() is null and kernel.current_account() is null);
create policy tenant on notifications.delivery to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
-- Who reads a message in the inbox has opened it.
create policy own on notifications.delivery to fc_notifications using (account_id = kernel.current_account());
create policy tenant on notifications.attempt to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.callback to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.provider to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.webhook_endpoint to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.template to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy tenant on notifications.template_version to fc_notifications
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own on notifications.inbox to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
-- The realtime server asks how far inboxes have come: ids and numbers.
create policy keeper_looks on notifications.inbox for select to fc_notifications
    using (kernel.current_org() is null and kernel.current_account() is null);
create policy own on notifications.entry to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own on notifications.inbox_event to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own on notifications.preference to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own on notifications.push_subscription to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own on notifications.digest_item to fc_notifications
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());

grant select, insert on notifications.notice to fc_notifications;
grant update (status, told_at) on notifications.notice to fc_notifications;
grant select, insert, delete on notifications.due to fc_notifications;
grant update (due_at, lease, claims) on notifications.due to fc_notifications;
grant select, insert on notifications.delivery to fc_notifications;
grant update (status, tries, provider, error, sent_at, changed_at, content) on notifications.delivery to fc_notifications;
grant select, insert on notifications.attempt to fc_notifications;
grant select, insert on notifications.callback to fc_notifications;
grant select, insert, update, delete on notifications.provider to fc_notifications;
grant select, insert, update, delete on notifications.webhook_endpoint to fc_notifications;
grant select, insert on notifications.template to fc_notifications;
grant update (version, enabled) on notifications.template to fc_notifications;
grant select, insert on notifications.template_version to fc_notifications;
grant select, insert, update on notifications.inbox to fc_notifications;
grant select, insert, update, delete on notifications.entry to fc_notifications;
grant select, insert, delete on notifications.inbox_event to fc_notifications;
grant select, insert, update on notifications.preference to fc_notifications;
grant select, insert, update, delete on notifications.push_subscription to fc_notifications;
grant select, insert, delete on notifications.digest_item to fc_notifications;

-- What a mail in the development outbox brought besides its text.
alter table notifications.outbox add column calendar text;
alter table notifications.outbox add column headers jsonb not null default '{}';
