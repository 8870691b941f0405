-- The client's admins manage their own contacts. The codes that verify a channel stay with the SOC's role: who could read
-- them could verify a phone that nobody holds.

-- +goose Up
grant insert, update (name, role, email, phone, language, call_order, severities, channels, hours, hours_for_critical,
    verified, removed_at) on contacts to watchfire_portal;
grant select, insert, update (begun_at) on channel_checks to watchfire_portal;
