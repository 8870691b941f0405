-- The client's admins manage their own contacts. The codes that verify a channel stay with the SOC's role: who could read
-- them could verify a phone that nobody holds.

-- +goose Up
grant insert, update (name, role, email, phone, language, call_order, severities, channels, hours, hours_for_critical,
    verified, removed_at) on contacts to watchfire_portal;
grant select (client_id, request_id, fingerprint, begun_at), insert, update (begun_at) on channel_checks to watchfire_portal;

-- Every change of a contact, until the client's admins and the contact's old and new address were told of it. One notice
-- tells of all changes that waited for it.
create table contact_changes (
    client_id  uuid        not null,
    id         uuid        not null,
    at         timestamptz not null,
    contact_id uuid        not null,
    side       text        not null check (side in ('soc', 'client')), -- of who changed it
    role       text        not null,
    operation  text        not null, -- as the API names it
    fields     jsonb       not null, -- names of the changed fields
    before     jsonb,                -- mail address, phone number and whether it takes texts; null: made, or told already
    after      jsonb,                -- the same; null: removed, or told already
    notice_id  uuid,                 -- the id of the first change that its notice tells of; null: no notice yet
    noticed_at timestamptz,          -- when the notice was begun
    told_at    timestamptz,          -- null: not yet
    primary key (client_id, id),
    foreign key (client_id, contact_id) references contacts (client_id, id)
);
create index contact_changes_untold on contact_changes (at) where told_at is null;
create index contact_changes_noticed on contact_changes (client_id, noticed_at) where noticed_at is not null;
call guard_client_rows('contact_changes');
alter policy every_client on contact_changes using ((select current_setting('app.every_client', true) = 'on'));
grant select on contact_changes to watchfire_soc, watchfire_worker;
grant insert on contact_changes to watchfire_soc, watchfire_portal;
grant update (notice_id, noticed_at, told_at, before, after) on contact_changes to watchfire_worker;
create policy side_of_soc on contact_changes as restrictive for insert to watchfire_soc with check (side = 'soc');
create policy side_of_client on contact_changes as restrictive for insert to watchfire_portal with check (side = 'client');

-- Workers mail the notices to the client's admins. They see the users of one client at a time.
grant select (email, role) on users to watchfire_worker;
