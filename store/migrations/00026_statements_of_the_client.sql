-- What was decided and by whom, not only that something was: the body of the command, the event up to which its sender
-- could know the incident, and who they were then. Rows of before, and those that a restore recovers, have none of it.

-- +goose Up
alter table client_decisions
    add column role   text,
    add column person text, -- a hash of the mail address
    add column via    text,
    add column body   json,
    add column seq    integer,
    add constraint whole check (num_nulls(role, person, via, body, seq) in (0, 5));

-- What became of a decision before it was carried out: its sender said it again, or it was refused. The last one counts:
-- a decision that was refused is worth nothing until its sender says it again.
create table decision_marks (
    client_id  uuid        not null,
    request_id text        not null,
    said       boolean     not null, -- again; false: refused
    seq        integer     not null, -- of the last event that the store had
    at         timestamptz not null,
    primary key (client_id, request_id, at),
    foreign key (client_id, request_id) references client_decisions (client_id, request_id)
);
call guard_client_rows('decision_marks');
call keep_rows('decision_marks');
create policy worker_refuses on decision_marks as restrictive for insert to watchfire_worker with check (not said);
grant select, insert on decision_marks to watchfire_portal, watchfire_worker;
grant select on decision_marks to watchfire_soc;

-- A closure is the closure that the client's row speaks of: its outcome and note, and, where the risk was accepted on
-- top, the reason for that.
-- +goose StatementBegin
create or replace function require_decision() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    closure constant jsonb := new.state -> 'closure';
begin
    if not exists (
        select from public.client_decisions d
        where d.client_id = new.client_id and d.incident = new.reference and d.request_id = closure ->> 'decision'
            and case d.command
                when 'request-closure' then d.body is null
                    or d.body ->> 'outcome' = closure ->> 'outcome' and d.body ->> 'note' = closure ->> 'note'
                when 'confirm-closure' then d.body is null or d.body ->> 'reason' = closure ->> 'reason'
                else false
            end
    ) or not exists (
        select from public.client_decisions d
        where d.client_id = new.client_id and d.incident = new.reference and d.command = 'request-closure'
            and (d.body is null or d.body ->> 'outcome' = closure ->> 'outcome' and d.body ->> 'note' = closure ->> 'note')
    ) then
        raise exception 'closed without a decision of the client' using errcode = 'WF001';
    end if;
    return new;
end
$$;
-- +goose StatementEnd

-- What contacts pressed on the phone, or wrote back: kept by the role of the vendors' callbacks alone, before a workflow
-- is told. Temporal by itself cannot speak for a contact.
-- +goose StatementBegin
do $$
declare
    login regrole;
begin
    begin
        create role watchfire_hooks nologin noinherit;
    exception when duplicate_object or unique_violation then
        null; -- roles belong to the whole server: the migration of another database has created this one
    end;
    for login in select m.member from pg_auth_members m where m.roleid = 'watchfire_worker'::regrole and m.member <> (select oid from pg_roles where rolname = current_user) loop
        execute format('grant watchfire_hooks to %s', login); -- whoever may become the others
    end loop;
end
$$;
-- +goose StatementEnd
grant usage on schema public to watchfire_hooks;

create table contact_statements (
    client_id  uuid        not null,
    effect     text        not null, -- key of the call or text
    key        text        not null check (key in ('1', '3', '9', 'reply')),
    incident   text        not null,
    contact_id uuid        not null,
    seq        integer     not null, -- of the last event that the store had
    at         timestamptz not null,
    primary key (client_id, effect, key, seq),
    foreign key (client_id, incident) references incidents (client_id, reference),
    foreign key (client_id, contact_id) references contacts (client_id, id)
);
create index contact_statements_incident on contact_statements (client_id, incident);
call guard_client_rows('contact_statements');
call keep_rows('contact_statements');
grant select, insert on contact_statements to watchfire_hooks;
grant select on contact_statements to watchfire_soc, watchfire_worker;
