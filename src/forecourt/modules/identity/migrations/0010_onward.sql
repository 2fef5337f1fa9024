-- Where whoever makes an account was on the way to: the mail's link leads back there. It is kept here and not in the link, so that
-- nobody has the house write words of theirs to an address.
set lock_timeout = '5s';
alter table identity.challenge add column onward text not null default '';
