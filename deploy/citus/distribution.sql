-- Made by `python -m tools.lint_distribution --write` from the migrated catalogue and src/forecourt/spread.py.
-- For a database that was just migrated, before anything is in it. Reasons and limits: docs/scale.md.

create extension if not exists citus;
-- Roles and tenants are set with `set local`; without this the other servers would not hear of them.
alter database :"database" set citus.propagate_set_commands = 'local';
-- The ledger keeps its books with triggers that touch rows of the same organisation only, so on the same server.
alter database :"database" set citus.enable_unsafe_triggers = 'on';

-- chat.message message_id: ids are random: nobody has to look for a second one in other rooms.
alter table chat.message drop constraint message_id;
alter table chat.message add constraint message_id unique (room_id, id);
create index message_by_id on chat.message (id);

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

-- These stay on the first server, and every other one finds them there.
select citus_add_local_table_to_metadata('booking.feed');
select citus_add_local_table_to_metadata('booking.resource_feed');
select citus_add_local_table_to_metadata('identity.account');
select citus_add_local_table_to_metadata('identity.api_key');
select citus_add_local_table_to_metadata('identity.api_key_place');
select citus_add_local_table_to_metadata('identity.challenge');
select citus_add_local_table_to_metadata('identity.phone');
select citus_add_local_table_to_metadata('identity.phone_challenge');
select citus_add_local_table_to_metadata('identity.revocation');
select citus_add_local_table_to_metadata('identity.role');
select citus_add_local_table_to_metadata('identity.security_event');
select citus_add_local_table_to_metadata('identity.session');
select citus_add_local_table_to_metadata('identity.signing_key');
select citus_add_local_table_to_metadata('identity.staff');
select citus_add_local_table_to_metadata('identity.staff_invitation');
select citus_add_local_table_to_metadata('identity.throttle');
select citus_add_local_table_to_metadata('identity.token');
select citus_add_local_table_to_metadata('kernel.cursor');
select citus_add_local_table_to_metadata('kernel.dead_job');
select citus_add_local_table_to_metadata('kernel.dead_letter');
select citus_add_local_table_to_metadata('kernel.event');
select citus_add_local_table_to_metadata('kernel.idempotency');
select citus_add_local_table_to_metadata('kernel.inbox');
select citus_add_local_table_to_metadata('kernel.job');
select citus_add_local_table_to_metadata('kernel.job_log');
select citus_add_local_table_to_metadata('kernel.job_statistics');
select citus_add_local_table_to_metadata('kernel.last_copy');
select citus_add_local_table_to_metadata('kernel.migration');
select citus_add_local_table_to_metadata('kernel.schedule');
select citus_add_local_table_to_metadata('kernel.tally');
select citus_add_local_table_to_metadata('notifications.outbox');
select citus_add_local_table_to_metadata('notifications.unwanted');
select citus_add_local_table_to_metadata('people.preferences');
select citus_add_local_table_to_metadata('people.profile');
select citus_add_local_table_to_metadata('venues.closure');
select citus_add_local_table_to_metadata('venues.listing');
select citus_add_local_table_to_metadata('venues.locator');
select citus_add_local_table_to_metadata('venues.organisation');
select citus_add_local_table_to_metadata('venues.organisation_card');
select citus_add_local_table_to_metadata('venues.price_list');
select citus_add_local_table_to_metadata('venues.resource');
select citus_add_local_table_to_metadata('venues.search_word');
select citus_add_local_table_to_metadata('venues.venue');
