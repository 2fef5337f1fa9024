-- From which networks and at which hours a right counts; an empty object means anywhere and always (kernel/reach.py).

alter table identity.role add column limited_to jsonb not null default '{}'::jsonb;
alter table identity.staff add column limited_to jsonb not null default '{}'::jsonb;
alter table identity.staff_invitation add column limited_to jsonb not null default '{}'::jsonb;
alter table identity.api_key add column limited_to jsonb not null default '{}'::jsonb;
