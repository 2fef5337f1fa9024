-- Development's mailbox. In production nothing writes here: mails hold codes and links.
create table notifications.outbox (
    id uuid primary key,
    recipient text not null check (length(recipient) between 3 and 254),
    subject text not null check (length(subject) between 1 and 200),
    body text not null check (length(body) <= 100000),
    html text check (length(html) <= 400000),
    created_at timestamptz not null
);
create index outbox_recipient on notifications.outbox (recipient, created_at desc, id desc);
create index outbox_created_at on notifications.outbox (created_at desc, id desc);

alter table notifications.outbox enable row level security;
alter table notifications.outbox force row level security;
grant select, insert, delete on notifications.outbox to fc_notifications;
-- Everybody who develops sees every mail; no other role reaches the schema.
create policy development_only on notifications.outbox to fc_notifications using (true) with check (true);
