-- Made by `python -m tools.lint_distribution --write` from the migrated catalogue and src/forecourt/spread.py.
-- For a database that was just migrated, before anything is in it: psql -v database=NAME -f distribution.sql, as a
-- superuser of the first server, when the others are known to it. Step by step, with reasons: docs/scale.md.

\set ON_ERROR_STOP on
create extension if not exists citus;
do $$ begin
    if (select count(distinct sign(n.groupid)) from pg_dist_node n) < 2 then
        raise exception 'first citus_set_coordinator_host(…), then citus_add_node(…) for each other server';
    end if;
end $$;
-- Tenants are set with `set local`; without this the other servers would not hear of them.
alter database :"database" set citus.propagate_set_commands = 'local';
set citus.propagate_set_commands = 'local';
-- The ledger keeps its books with triggers that touch rows of the same organisation only, so on the same server.
alter database :"database" set citus.enable_unsafe_triggers = 'on';
set citus.enable_unsafe_triggers = 'on';
-- The driver asks the catalogue what a type is; with the parts of tables hidden from it that takes ten seconds.
alter database :"database" set citus.override_table_visibility = 'off';
set citus.override_table_visibility = 'off';
-- Rooms are copied; what points at them is spread in its turn, and not turned into something else before.
set citus.enable_local_reference_table_foreign_keys = 'off';

-- booking.occupancy occupancy_pkey: Citus 14 spreads a table whose key is `without overlaps` and leaves that key out without a word: two bookings would have one place. It keeps an exclusion constraint, which is the same in older words.
alter table booking.occupancy drop constraint occupancy_pkey;
alter table booking.occupancy add constraint occupancy_pkey exclude using gist (organisation_id with =, resource_id with =, during with &&);

-- chat.message message_id: ids are random: nobody has to look for a second one in other rooms.
alter table chat.message drop constraint message_id;
alter table chat.message add constraint message_id unique (room_id, id);
create index message_by_id on chat.message (id);

-- chat.room seen_by_members: a policy of a spread or copied table may ask no other table: the transaction names the rooms of its person instead.
create or replace function chat.is_asked_room(id uuid) returns boolean language sql stable parallel safe return strpos(current_setting('forecourt.rooms', true), id::text) > 0;
revoke execute on function chat.is_asked_room(uuid) from public;
grant execute on function chat.is_asked_room(uuid) to fc_chat;
drop policy seen_by_members on chat.room;
create policy seen_by_members on chat.room for select to fc_chat using (id = chat.current_room() or (public and kernel.current_account() is not null) or chat.is_asked_room(id));

-- chat.message seen_by_members: the same.
drop policy seen_by_members on chat.message;
create policy seen_by_members on chat.message for select to fc_chat using (room_id = chat.current_room() or chat.is_asked_room(room_id));

-- chat.setting own_or_of_who_is_here: the same: it names the members of the room that it opened.
create or replace function chat.is_asked_person(id uuid) returns boolean language sql stable parallel safe return strpos(current_setting('forecourt.people', true), id::text) > 0;
revoke execute on function chat.is_asked_person(uuid) from public;
grant execute on function chat.is_asked_person(uuid) to fc_chat;
drop policy own_or_of_who_is_here on chat.setting;
create policy own_or_of_who_is_here on chat.setting for select to fc_chat using (account_id = kernel.current_account() or chat.is_asked_person(account_id));

-- chat.house_rule of_the_organisation_or_the_room_opened: the same: it names the organisation of the room that it opened.
create or replace function chat.current_house() returns uuid language sql stable parallel safe return nullif(current_setting('forecourt.house', true), '')::uuid;
revoke execute on function chat.current_house() from public;
grant execute on function chat.current_house() to fc_chat;
drop policy of_the_organisation_or_the_room_opened on chat.house_rule;
create policy of_the_organisation_or_the_room_opened on chat.house_rule for select to fc_chat using (organisation_id = kernel.current_org() or organisation_id = chat.current_house());

-- chat.pair fc_chat: who adds to a copied table `on conflict` locks it, for which Citus wants a right to change it; no policy lets anybody.
grant update (room_id) on chat.pair to fc_chat;

-- payments.entry keep_the_books: no statement joins a transition table with a spread one: this one goes by organisation.
drop trigger keep_the_books on payments.entry;
create trigger keep_the_books after insert on payments.entry referencing new table as added for each statement execute function payments.keep_the_books_by_house();

-- These write rows that lie elsewhere, which only one server can do; the program writes them itself.
drop trigger guest_is_noted on booking.booking;
drop trigger customer_is_noted on payments.payment;
drop trigger customer_is_noted on payments.wallet;
drop trigger seat_follows on chat.member;

select create_distributed_table('audit.chain', 'organisation_id', colocate_with => 'none');
select create_distributed_table('audit.entry', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('audit.mention', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.block', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.booking', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.guest', 'account_id', colocate_with => 'none');
select create_distributed_table('booking.invited_address', 'address', colocate_with => 'none');
select create_distributed_table('booking.layout', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.quote', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('chat.house_rule', 'organisation_id', colocate_with => 'audit.chain');
select create_reference_table('chat.room');
select create_reference_table('chat.setting');
select create_distributed_table('media.content', 'holder_id', colocate_with => 'none');
select create_distributed_table('media.doomed', 'holder_id', colocate_with => 'media.content');
select create_distributed_table('media.holding', 'holder_id', colocate_with => 'media.content');
select create_distributed_table('media.locator', 'id', colocate_with => 'none');
select create_distributed_table('media.upload', 'holder_id', colocate_with => 'media.content');
select create_distributed_table('notifications.callback', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.digest_item', 'account_id', colocate_with => 'none');
select create_distributed_table('notifications.due', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.entry', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.erased', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.inbox', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.inbox_event', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.notice', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.preference', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.provider', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.push_subscription', 'account_id', colocate_with => 'notifications.digest_item');
select create_distributed_table('notifications.template', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.webhook_endpoint', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.book', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.customer', 'account_id', colocate_with => 'none');
select create_distributed_table('payments.payment', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.promo_code', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.transfer', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.wallet', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.due', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.errand', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.invitation', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.occupancy', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('booking.transition', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('chat.ban', 'room_id', colocate_with => 'none');
select create_distributed_table('chat.event', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('chat.member', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('chat.message', 'room_id', colocate_with => 'chat.ban');
select create_reference_table('chat.pair');
select create_distributed_table('chat.position', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('chat.seat', 'account_id', colocate_with => 'none');
select create_distributed_table('chat.trace', 'account_id', colocate_with => 'none');
select create_distributed_table('media.file', 'holder_id', colocate_with => 'media.content');
select create_distributed_table('media.part', 'holder_id', colocate_with => 'media.content');
select create_distributed_table('notifications.delivery', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('notifications.template_version', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.authorisation', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.charge', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.lot', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.promo_person', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.refund', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('chat.edit', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('chat.mention', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('chat.reaction', 'room_id', colocate_with => 'chat.ban');
select create_distributed_table('notifications.attempt', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.entry', 'organisation_id', colocate_with => 'audit.chain');
select create_distributed_table('payments.promo_redemption', 'organisation_id', colocate_with => 'audit.chain');

-- These stay on the first server as they are:
-- booking.feed, booking.resource_feed, identity.account, identity.api_key, identity.api_key_place, identity.challenge,
-- identity.phone, identity.phone_challenge, identity.revocation, identity.role, identity.security_event, identity.session,
-- identity.signing_key, identity.staff, identity.staff_invitation, identity.throttle, identity.token, kernel.cursor,
-- kernel.dead_job, kernel.dead_letter, kernel.event, kernel.idempotency, kernel.inbox, kernel.job, kernel.job_log,
-- kernel.job_statistics, kernel.last_copy, kernel.migration, kernel.schedule, kernel.snapshot, kernel.tally,
-- notifications.outbox, notifications.unwanted, people.preferences, people.profile, venues.closure, venues.listing,
-- venues.locator, venues.organisation, venues.organisation_card, venues.price_list, venues.resource, venues.search_word,
-- venues.venue

-- Nothing was lost on the way: every part has the keys and checks that the table has here.
do $$ declare
    part record;
begin
    for part in select t.name, r.result from unnest(array[
        'audit.chain',
        'audit.entry',
        'audit.mention',
        'booking.block',
        'booking.booking',
        'booking.due',
        'booking.errand',
        'booking.guest',
        'booking.invitation',
        'booking.invited_address',
        'booking.layout',
        'booking.occupancy',
        'booking.quote',
        'booking.transition',
        'chat.ban',
        'chat.edit',
        'chat.event',
        'chat.house_rule',
        'chat.member',
        'chat.mention',
        'chat.message',
        'chat.position',
        'chat.reaction',
        'chat.seat',
        'chat.trace',
        'media.content',
        'media.doomed',
        'media.file',
        'media.holding',
        'media.locator',
        'media.part',
        'media.upload',
        'notifications.attempt',
        'notifications.callback',
        'notifications.delivery',
        'notifications.digest_item',
        'notifications.due',
        'notifications.entry',
        'notifications.erased',
        'notifications.inbox',
        'notifications.inbox_event',
        'notifications.notice',
        'notifications.preference',
        'notifications.provider',
        'notifications.push_subscription',
        'notifications.template',
        'notifications.template_version',
        'notifications.webhook_endpoint',
        'payments.authorisation',
        'payments.book',
        'payments.charge',
        'payments.customer',
        'payments.entry',
        'payments.lot',
        'payments.payment',
        'payments.promo_code',
        'payments.promo_person',
        'payments.promo_redemption',
        'payments.refund',
        'payments.transfer',
        'payments.wallet',
        'chat.room']) t (name) cross join lateral run_command_on_shards(t.name::regclass, $part$
            select count(*) from pg_constraint k where k.conrelid = '%s'::regclass and k.contype <> 'n' $part$) r
        where r.result <> (select count(*)::text from pg_constraint k
                            where k.conrelid = t.name::regclass and k.contype <> 'n')
    loop
        raise exception 'a part of % has % keys and checks, and not as many as the table', part.name, part.result;
    end loop;
end $$;
do $$ begin
    if exists (select from (values
        ('audit.chain', 'chain_pkey'),
        ('audit.entry', 'entry_event'),
        ('audit.entry', 'entry_pkey'),
        ('audit.mention', 'mention_pkey'),
        ('booking.block', 'block_pkey'),
        ('booking.booking', 'booking_pkey'),
        ('booking.due', 'due_pkey'),
        ('booking.errand', 'errand_pkey'),
        ('booking.guest', 'guest_pkey'),
        ('booking.invitation', 'invitation_pkey'),
        ('booking.invitation', 'invited_once_by_address'),
        ('booking.invited_address', 'invited_address_pkey'),
        ('booking.layout', 'layout_pkey'),
        ('booking.occupancy', 'occupancy_pkey'),
        ('booking.quote', 'quote_pkey'),
        ('booking.transition', 'transition_pkey'),
        ('chat.ban', 'ban_pkey'),
        ('chat.edit', 'edit_pkey'),
        ('chat.event', 'event_pkey'),
        ('chat.house_rule', 'house_rule_pkey'),
        ('chat.member', 'member_pkey'),
        ('chat.mention', 'mention_pkey'),
        ('chat.message', 'message_id'),
        ('chat.message', 'message_pkey'),
        ('chat.message', 'message_resent'),
        ('chat.position', 'position_pkey'),
        ('chat.reaction', 'reaction_pkey'),
        ('chat.seat', 'seat_pkey'),
        ('chat.trace', 'trace_pkey'),
        ('media.content', 'content_is_kept_once'),
        ('media.content', 'content_pkey'),
        ('media.doomed', 'doomed_pkey'),
        ('media.file', 'file_pkey'),
        ('media.holding', 'holding_pkey'),
        ('media.locator', 'locator_pkey'),
        ('media.part', 'part_pkey'),
        ('media.upload', 'upload_pkey'),
        ('notifications.attempt', 'attempt_pkey'),
        ('notifications.callback', 'callback_pkey'),
        ('notifications.delivery', 'delivery_pkey'),
        ('notifications.digest_item', 'digest_item_pkey'),
        ('notifications.due', 'due_pkey'),
        ('notifications.entry', 'entry_pkey'),
        ('notifications.erased', 'erased_pkey'),
        ('notifications.inbox', 'inbox_pkey'),
        ('notifications.inbox_event', 'inbox_event_pkey'),
        ('notifications.notice', 'notice_key'),
        ('notifications.notice', 'notice_pkey'),
        ('notifications.preference', 'preference_pkey'),
        ('notifications.provider', 'provider_pkey'),
        ('notifications.push_subscription', 'push_once'),
        ('notifications.push_subscription', 'push_subscription_pkey'),
        ('notifications.template', 'template_once'),
        ('notifications.template', 'template_pkey'),
        ('notifications.template_version', 'template_version_pkey'),
        ('notifications.webhook_endpoint', 'webhook_endpoint_pkey'),
        ('payments.authorisation', 'authorisation_pkey'),
        ('payments.book', 'book_pkey'),
        ('payments.charge', 'charge_pkey'),
        ('payments.customer', 'customer_pkey'),
        ('payments.entry', 'entry_pkey'),
        ('payments.lot', 'lot_of_one_wallet'),
        ('payments.lot', 'lot_pkey'),
        ('payments.payment', 'payment_pkey'),
        ('payments.promo_code', 'promo_code_is_unique'),
        ('payments.promo_code', 'promo_code_pkey'),
        ('payments.promo_person', 'promo_person_pkey'),
        ('payments.promo_redemption', 'promo_redemption_pkey'),
        ('payments.refund', 'refund_pkey'),
        ('payments.transfer', 'transfer_pkey'),
        ('payments.wallet', 'wallet_pkey'),
        ('chat.room', 'room_pkey')) k (tab, con)
        where not exists (select from pg_constraint c where c.conrelid = k.tab::regclass and c.conname = k.con)) then
        raise exception 'a key was lost when its table was spread';
    end if;
end $$;

-- The first server asks the others as the role of the module; on the first nobody logs in as one.
do $first$ declare
    said record;
begin
    for said in select w.nodename, w.result from run_command_on_workers($other$ do $each$ begin
        set local citus.enable_alter_role_propagation = 'off';
        alter role fc_kernel login;
        alter role fc_audit login;
        alter role fc_booking login;
        alter role fc_chat login;
        alter role fc_identity login;
        alter role fc_media login;
        alter role fc_notifications login;
        alter role fc_payments login;
        alter role fc_people login;
        alter role fc_venues login;
    end $each$ $other$) w where not w.success loop
        raise exception '%: %', said.nodename, said.result;
    end loop;
end $first$;
