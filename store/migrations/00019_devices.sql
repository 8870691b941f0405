-- The device that an isolation or a release is about: several incidents of a client may act on the same one.

-- +goose Up
alter table effects add device text not null default ''; -- the EDR's id of it; '' for everything else
update effects set device = coalesce((
    select e ->> 'agent_id' from incidents i, jsonb_array_elements(i.state -> 'endpoints') e
    where i.client_id = effects.client_id and i.reference = effects.incident and e ->> 'id' = effects.endpoint limit 1), '')
where kind in ('isolate', 'release');
create index effects_of_device on effects (client_id, device) where kind in ('isolate', 'release');
