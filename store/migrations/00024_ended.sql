-- An incident that is over is watched until it needs no workflow any more: the client may rate it, messages may be on
-- their way, a released device is looked at again. What was over for longer than that needs none.

-- +goose Up
alter table incidents add column ended boolean not null default false; -- it is over, and needs no workflow any more
update incidents set ended = true where phase in ('closed', 'dismissed') and containment in ('none', 'released')
    and running and updated_at < now() - interval '60 days';
grant update (ended) on incidents to watchfire_soc;
drop index incidents_watched;
create index incidents_watched on incidents (opened_at, reference) where not ended;
