-- A message that is old keeps when it was sent, by what means and with what result; to whom, and what was said, is forgotten (PE-8).
grant update (recipient) on notifications.delivery to fc_notifications;
grant update (facts) on notifications.notice to fc_notifications;
