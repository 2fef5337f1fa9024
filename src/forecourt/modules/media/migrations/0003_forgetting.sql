-- Whoever is erased leaves nothing: what they held goes, and what they sent for an organisation is nobody's but the
-- organisation's. Who sent a file is kept until it belongs to something, and no longer.
set local lock_timeout = '5s';

grant delete on media.holding to fc_media;
grant update (sent_by) on media.file to fc_media;

-- An owner from whom row security hides rows is told so, and empties nothing. Files of organisations are few.
set local row_security = off;
update media.file set sent_by = null where sent_by <> holder_id and owner_id is not null;
