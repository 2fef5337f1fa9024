-- The session in which a browser asked for pushes: they end with it. None for those who asked before this was kept.
alter table notifications.push_subscription add column session_id uuid;
