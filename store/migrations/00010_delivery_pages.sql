-- Indexes for pages of deliveries: an incident's in the order of their planning, a contact's from the newest.

-- +goose Up
create index effects_incident_planned on effects (client_id, incident, planned_at, id);
create index effects_contact_planned on effects (client_id, contact_id, planned_at, id);
drop index effects_of_incident; -- last, so that readers have an index all the time
