-- Deliveries are read in pages: an incident's as planned, a contact's from the newest.

-- +goose Up
create index effects_incident_planned on effects (client_id, incident, planned_at, id);
create index effects_contact_planned on effects (client_id, contact_id, planned_at, id);
drop index effects_of_incident; -- last: until then the table can be read
