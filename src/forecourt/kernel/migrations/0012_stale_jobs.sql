-- Until when a job that was given up is kept: one that carries somebody's address goes sooner than the others. Null: as long as they.
alter table kernel.dead_job add column keep_until timestamptz;
