-- A number is engaged while a call of ours to it is under way, and a vendor's id belongs to one effect: the lookups of
-- both cover all clients.

-- +goose Up
create index effects_calls on effects (client_id, contact_id, attempt_at) where kind = 'call';
drop index effects_vendor_id;
create index effects_vendor_id on effects (vendor_id) where vendor_id <> '';
