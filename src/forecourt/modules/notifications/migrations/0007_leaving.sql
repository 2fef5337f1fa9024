-- Whoever has erased their account is told nothing any more, and nothing of them stays (PE-8). What was sent, when and with what
-- result stays in the log, as a message to nobody.

-- Accounts that are erased: ids, which are nobody's any more. Looked at before anything leaves.
create table notifications.erased (
    account_id uuid primary key,
    at timestamptz not null
);
alter table notifications.erased enable row level security;
alter table notifications.erased force row level security;
create policy ids_alone on notifications.erased to fc_notifications using (true) with check (true);
grant select, insert on notifications.erased to fc_notifications;

-- Whom a message names besides its reader: who invites, answers or wrote. When they go, so do these words.
alter table notifications.notice add column names_id uuid;
grant update (names_id) on notifications.notice to fc_notifications;
create policy own on notifications.notice for select to fc_notifications
    using (account_id = kernel.current_account() or names_id = kernel.current_account());

-- A message whose reader's account is erased.
alter table notifications.delivery add column erased boolean not null default false;
grant update (account_id, erased) on notifications.delivery to fc_notifications;
-- What a provider said may repeat an address.
grant update (error) on notifications.attempt to fc_notifications;

grant delete on notifications.inbox to fc_notifications;
grant delete on notifications.preference to fc_notifications;

-- Whose mail it is that lies in development's outbox.
alter table notifications.outbox add column account_id uuid;
