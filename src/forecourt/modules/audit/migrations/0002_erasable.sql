-- What an entry says of a person can be erased, and its chain stays whole: the seal covers a salted digest of it instead of itself.
-- Without the salt nobody finds out what was digested, however few addresses there are to be tried. Entries from before have no
-- digest, and their seal covers the address as it is.

alter table audit.entry add column address_salt bytea; -- null: there was no address, or it is erased
alter table audit.entry add column address_digest bytea; -- null: sealed by the old rule; empty: there was no address
alter table audit.entry add column words text; -- what somebody wrote about a person, as JSON; the other fields are in `details`
alter table audit.entry add column words_salt bytea;
alter table audit.entry add column words_digest bytea;
alter table audit.entry add column xid xid8; -- with event_id and at, where the event lies in the log

-- All that the module may change of an entry: it empties what is erasable, and nothing else comes of it. Digests stay.
grant update (address, address_salt, words, words_salt) on audit.entry to fc_audit;
create policy emptied_or_as_sealed on audit.entry as restrictive for update to fc_audit
    using (address_digest is not null)
    with check (
        (address = '' and address_salt is null or sha256(address_salt || convert_to(address, 'UTF8')) = address_digest)
        and (words is null and words_salt is null or sha256(words_salt || convert_to(words, 'UTF8')) = words_digest)
    );

-- Where somebody is named is asked over all organisations, of that person alone.
create policy of_the_person on audit.entry for select to fc_audit using (account_id = kernel.current_account());
create policy of_the_person on audit.mention for select to fc_audit using (object_id = kernel.current_account());
