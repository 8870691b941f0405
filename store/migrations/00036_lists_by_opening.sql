-- Lists of incidents go by when an incident was opened, which never changes: an incident that changes while somebody pages
-- through a list stays in its place, and is missed by nobody.

-- +goose Up
drop index incidents_latest, incidents_of_client, incidents_with_open_tasks, incidents_drills, incidents_by_containment, incidents_by_turn;
create index incidents_latest on incidents (opened_at, reference);
create index incidents_of_client on incidents (client_id, opened_at, reference);
create index incidents_with_open_tasks on incidents (opened_at, reference) where open_tasks > 0;
create index incidents_drills on incidents (opened_at, reference) where drill;
create index incidents_by_containment on incidents (containment, opened_at, reference);
create index incidents_by_turn on incidents (turn, opened_at, reference);
