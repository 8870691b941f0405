-- A client is live from when a lead or an operator said so; those from before are. An incident of a client who is not, or
-- outside of the client's contract, is marked.
--
-- The expiry of an accepted risk brings the question back, also when the incident is closed and its workflow has ended.
-- And closing over a threat that is still present is an accepted risk, whatever outcome was asked for before.

-- +goose Up
alter table clients
    add column live_at      timestamptz, -- null: not yet
    add column live_despite text not null default ''; -- why, although a check failed
alter table clients no force row level security;
update clients set live_at = created_at;
alter table clients force row level security;
grant update (live_at, live_despite) on clients to watchfire_soc;
alter table incidents add column outside_contract boolean not null default false;

alter table incidents add column risk_due timestamptz; -- of a closed one: the first expiry of the risks that the client accepts
grant update (risk_due) on incidents to watchfire_worker;
-- Row level security is forced on the owner, too, and would hide every row; the trigger has judged these before.
alter table incidents no force row level security;
alter table incidents disable trigger require_decision;
update incidents i set risk_due = least(
    (select min((r ->> 'expires_at')::timestamptz) from jsonb_array_elements(coalesce(nullif(i.state -> 'recommendations', 'null'), '[]')) r
        where r ->> 'outcome' = 'risk_accepted' and r ? 'settled_by'),
    case i.state -> 'closure' ->> 'outcome' when 'risk_accepted'
        then (i.state -> 'closure' ->> 'at')::timestamptz + interval '8760 hours' end)
where phase = 'closed';
alter table incidents enable trigger require_decision;
alter table incidents force row level security;
create index incidents_risk_due on incidents (risk_due) where ended and risk_due is not null;

-- A decision stands unless it was refused before an event cited it, and not said again since, and unless the client withdrew
-- their closure after that event: a decision is used once.
-- +goose StatementBegin
create function decision_stands(of_client uuid, of_incident text, request text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    with used as (
        select min(e.seq) as seq from public.events e
        where e.client_id = of_client and e.incident = of_incident and e.body -> 'data' ->> 'decision' = request)
    select not exists (
        select from public.decision_marks m, used
        where m.client_id = of_client and m.request_id = request and not m.said and (used.seq is null or m.seq < used.seq)
            and not exists (select from public.decision_marks a
                where a.client_id = of_client and a.request_id = request and a.said and a.at > m.at))
    and not exists (
        select from public.events w, used
        where w.client_id = of_client and w.incident = of_incident and w.type = 'closure_withdrawn' and w.seq > used.seq);
$$;
-- +goose StatementEnd

-- A closure is the closure that the client's rows speak of. The row that closes is the request, after the SOC found the
-- threat gone: then outcome, note and expiry date are the request's. Or it is the confirmation: then the outcome is an
-- accepted risk, and reason and expiry date are the confirmation's. One of before had no expiry date, and its closure may
-- have the outcome of the request.
-- +goose StatementBegin
create or replace function require_decision() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    closure constant jsonb := new.state -> 'closure';
    accepted constant boolean := closure ->> 'outcome' = 'risk_accepted';
    until constant timestamptz := closure ->> 'expires_at';
    confirmed boolean;
begin
    select d.command = 'confirm-closure' into confirmed from public.client_decisions d
    where d.client_id = new.client_id and d.incident = new.reference and d.request_id = closure ->> 'decision'
        and public.decision_stands(d.client_id, d.incident, d.request_id)
        and case d.command
            when 'request-closure' then d.body is null or (new.state -> 'verification' ->> 'gone')::boolean
            when 'confirm-closure' then d.body is null or d.body ->> 'reason' = closure ->> 'reason'
                and (d.body ->> 'expires_at' is null or accepted and (d.body ->> 'expires_at')::timestamptz is not distinct from until)
            else false
        end;
    if confirmed is null or not exists (
        select from public.client_decisions d
        where d.client_id = new.client_id and d.incident = new.reference and d.command = 'request-closure'
            and public.decision_stands(d.client_id, d.incident, d.request_id)
            and (d.body is null or d.body ->> 'note' = closure ->> 'note'
                and (confirmed and accepted
                    or d.body ->> 'outcome' = closure ->> 'outcome'
                    and (confirmed or (d.body ->> 'expires_at')::timestamptz is not distinct from until)))
    ) then
        raise exception 'closed without a decision of the client' using errcode = 'WF001';
    end if;
    return new;
end
$$;
-- +goose StatementEnd
