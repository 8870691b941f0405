-- Who may approve on the phone: contacts whom an admin of the client confirmed, and nobody else.

-- +goose Up
-- address_version counts the changes of where a contact is reached. Nobody is granted it; the trigger alone writes it.
alter table contacts add column address_version integer not null default 1;
-- +goose StatementBegin
create function count_reach() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.address_version := old.address_version;
    if (new.email, new.phone, new.removed_at) is distinct from (old.email, old.phone, old.removed_at) then
        new.address_version := old.address_version + 1;
    end if;
    return new;
end
$$;
-- +goose StatementEnd
create trigger count_reach before update on contacts for each row execute function count_reach();

-- The word of an admin of the client on a contact, as on a response authority: only the portal writes it, and nobody
-- changes it. The newest row of a contact holds, as long as the contact is reached where they were then.
create table approvers (
    client_id  uuid        not null,
    contact_id uuid        not null,
    number     integer     not null check (number >= 1), -- counts the rows of a contact
    confirmed  boolean     not null, -- false: revoked
    address_version integer not null, -- of the contact, when it was written
    pin        text        check (pin is null or confirmed), -- a slow hash of it
    has_pin    boolean     not null check (has_pin = (pin is not null)),
    by_user    uuid        not null, -- a user of the client
    at         timestamptz not null,
    primary key (client_id, contact_id, number),
    foreign key (client_id, contact_id) references contacts (client_id, id),
    foreign key (client_id, by_user) references users (client_id, id)
);
call guard_client_rows('approvers');
call keep_rows('approvers');
grant select (client_id, contact_id, number, confirmed, address_version, has_pin, by_user, at) on approvers
    to watchfire_soc, watchfire_portal, watchfire_worker;
grant insert on approvers to watchfire_portal;
-- The callbacks check PINs. They read the rows of the one contact whom the transaction names.
grant select (client_id, contact_id, number, confirmed, address_version, pin, has_pin, by_user, at) on approvers to watchfire_hooks;
create policy one_contact on approvers as restrictive for select to watchfire_hooks
    using (contact_id = nullif(current_setting('app.contact_id', true), '')::uuid);

-- The wrong PINs that were entered in calls, never the PINs.
create table wrong_pins (
    client_id  uuid        not null,
    effect     text        not null, -- key of the call
    try        integer     not null check (try between 1 and 3), -- the third ends the call
    contact_id uuid        not null,
    at         timestamptz not null,
    primary key (client_id, effect, try),
    foreign key (client_id, contact_id) references contacts (client_id, id)
);
create index wrong_pins_of_contact on wrong_pins (client_id, contact_id, at);
call guard_client_rows('wrong_pins');
call keep_rows('wrong_pins');
grant select, insert on wrong_pins to watchfire_hooks;
grant select on wrong_pins to watchfire_soc;

-- Whoever hears in a call about an approval which incident it is about has acknowledged that incident.
alter table contact_statements
    drop constraint contact_statements_key_check,
    add constraint contact_statements_key_check check (key in ('1', '3', '9', 'reply', 'heard'));

-- Who made, changed or verified a contact has a hand in who answers there.
create index audit_log_of_subject on audit_log (client_id, subject);
grant select on audit_log to watchfire_worker;
