package incident_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

func fireDrill(t interface{ Fatal(...any) }, severity models.Severity) incident.Incident {
	var i incident.Incident
	e := incident.NewEvent(i, modelstest.T0, ask(models.RoleLead).Actor, &incident.Opened{
		Reference: "SI-1042-0008", ClientID: modelstest.ClientID, Title: "Fire drill", Severity: severity, Exercise: models.ExerciseSimulatedFireDrill,
	})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestMeasureDrill(t *testing.T) {
	const s = time.Second
	i := incident.Incident{Reference: "SI-1042-0008", Exercise: models.ExerciseFireDrill, Phase: incident.PhasePublished, PublishedAt: modelstest.T0}
	ann, bob, cem, dee := modelstest.ContactID(1), modelstest.ContactID(2), modelstest.ContactID(3), modelstest.ContactID(4)
	delivery := func(contact uuid.UUID, name string, kind notify.EffectKind, planned, updated time.Duration) notify.Delivery {
		return notify.Delivery{Contact: contact, ContactName: name, Kind: kind, State: notify.EffectAccepted, PlannedAt: modelstest.T0.Add(planned), UpdatedAt: modelstest.T0.Add(updated)}
	}
	annMail := delivery(ann, "Ann", notify.EffectMail, 0, 2*s)
	annMail.VendorState = "delivered"
	annCall := delivery(ann, "Ann", notify.EffectCall, 0, 60*s)
	annCall.VendorState, annCall.Outcome, annCall.How = "completed", "acknowledged", "key press 1"
	annCall.AcknowledgedAt = modelstest.T0.Add(55 * s) // the call went on after the key was pressed
	annText := delivery(ann, "Ann", notify.EffectText, s, 40*s)
	annText.VendorState, annText.Outcome, annText.How = "delivered", "acknowledged", "reply to text message"
	bobMail := delivery(bob, "Bob", notify.EffectMail, 0, 3*s)
	bobMail.VendorState = "bounce"
	bobCall := delivery(bob, "Bob", notify.EffectCall, 90*s, 120*s+1234567)
	bobCall.VendorState, bobCall.Outcome = "completed", "voicemail"
	cemCall := delivery(cem, "Cem", notify.EffectCall, 130*s, 131*s)
	cemCall.State = notify.EffectRejected
	deeCall := delivery(dee, "Dee", notify.EffectCall, 200*s, -s) // the carrier's clock is behind
	deeCall.Outcome, deeCall.How = "acknowledged", "key press 1"
	isolation := notify.Delivery{Kind: notify.EffectIsolate, Endpoint: "e1", State: notify.EffectAccepted, PlannedAt: modelstest.T0, UpdatedAt: modelstest.T0}

	got := incident.MeasureDrill(i, []notify.Delivery{deeCall, cemCall, bobCall, isolation, annMail, annCall, annText, bobMail})
	want := `{"reference":"SI-1042-0008","exercise":"fire_drill","started_at":"2026-03-01T03:00:00Z","answered":2,"contacts":[` +
		`{"contact":"c0ffee00-0000-4000-8000-000000000001","name":"Ann","answered":true,"how":"reply to text message","after":"40s","channels":[` +
		`{"channel":"email","result":"delivered","after":"2s","dead":false},` +
		`{"channel":"voice","result":"acknowledged","after":"55s","dead":false},` +
		`{"channel":"sms","result":"acknowledged","after":"40s","dead":false}]},` +
		`{"contact":"c0ffee00-0000-4000-8000-000000000002","name":"Bob","answered":false,"channels":[` +
		`{"channel":"email","result":"bounce","after":"3s","dead":true},` +
		`{"channel":"voice","result":"voicemail","after":"2m0.001s","dead":false}]},` +
		`{"contact":"c0ffee00-0000-4000-8000-000000000003","name":"Cem","answered":false,"channels":[` +
		`{"channel":"voice","result":"rejected","after":"2m11s","dead":true}]},` +
		`{"contact":"c0ffee00-0000-4000-8000-000000000004","name":"Dee","answered":true,"how":"key press 1","channels":[` +
		`{"channel":"voice","result":"acknowledged","after":"0s","dead":false}]}]}`
	if s := modelstest.Snapshot(t, got); s != want {
		t.Errorf("measured\n%s\nwant\n%s", s, want)
	}
	deeCall.PlannedAt = modelstest.T0.Add(-s)
	got = incident.MeasureDrill(i, []notify.Delivery{deeCall, annCall})
	if got.Answered != 2 || got.Fastest != 0 {
		t.Errorf("%d answered, the fastest after %s", got.Answered, time.Duration(got.Fastest))
	}
	i.Phase, i.ClosedAt = incident.PhaseDismissed, modelstest.T0.Add(time.Hour)
	got = incident.MeasureDrill(i, []notify.Delivery{annCall})
	if !got.EndedAt.Equal(modelstest.T0.Add(time.Hour)) || got.Fastest != models.Duration(55*s) {
		t.Errorf("over: %+v", got)
	}
	if s := modelstest.Snapshot(t, incident.MeasureDrill(i, nil).Contacts); s != "[]" {
		t.Errorf("nobody was reached: contacts %s", s)
	}
}

func TestADrillTellsDeadChannelsFromPeopleWhoDoNotAnswer(t *testing.T) {
	for _, c := range []struct {
		state                notify.EffectState
		vendorState, outcome string
		result               string
		dead                 bool
	}{
		{notify.EffectIntended, "", "", "intended", false},
		{notify.EffectAccepted, "", "", "accepted", false},
		{notify.EffectAccepted, "", "rejected", "rejected", true},
		{notify.EffectRejected, "", "", "rejected", true},
		{notify.EffectCanceled, "", "", "canceled", false},
		{notify.EffectAccepted, "completed", "no_key", "no_key", false},
		{notify.EffectAccepted, "no-answer", "no_answer", "no_answer", false},
		{notify.EffectAccepted, "busy", "busy", "busy", false},
		{notify.EffectAccepted, "failed", "unreachable", "unreachable", true},
		{notify.EffectAccepted, "failed", "", "failed", true},
		{notify.EffectAccepted, "undelivered", "", "undelivered", true},
		{notify.EffectAccepted, "dropped", "", "dropped", true},
		{notify.EffectAccepted, "blocked", "", "blocked", false},
		{notify.EffectAccepted, "deferred", "", "deferred", false},
		{notify.EffectAccepted, "open", "", "open", false},
	} {
		d := notify.Delivery{Contact: modelstest.ContactID(1), Kind: notify.EffectCall, State: c.state, VendorState: c.vendorState, Outcome: c.outcome}
		got := incident.MeasureDrill(incident.Incident{}, []notify.Delivery{d}).Contacts[0].Channels[0]
		if got.Result != c.result || got.Dead != c.dead {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestAFireDrillCallsOnceAndNeverReminds(t *testing.T) {
	for _, severity := range models.Severities() {
		i := fireDrill(t, severity)
		if !i.Exercise.IsDrill() {
			t.Fatal("a fire drill is not marked as a drill")
		}
		if i.NeedsCalls() {
			t.Errorf("%s: calls before it is published", severity)
		}
		mustGive(t, &i, &incident.Expedite{}, models.RoleLead)
		mustGive(t, &i, &incident.Acknowledge{}, models.RoleAdmin)
		if !i.NeedsCalls() || !i.NextCallRound(models.DefaultPolicy()).Equal(modelstest.T0) {
			t.Errorf("%s: it does not call everybody after somebody acknowledged", severity)
		}
		for _, d := range []incident.EventData{&incident.CallRoundStarted{Round: 1}, &incident.CallRoundEnded{CallRoundResult: notify.CallRoundResult{Round: 1}}} {
			if err := i.Apply(incident.NewEvent(i, modelstest.T0, models.System(), d)); err != nil {
				t.Fatal(err)
			}
			if i.NeedsCalls() {
				t.Errorf("%s: it calls again after %s", severity, d.Type())
			}
		}
		if at, due := i.NextReminder(models.DefaultPolicy()); due || i.Turn != incident.TurnClient {
			t.Errorf("%s: turn %s, a reminder at %s", severity, i.Turn, at)
		}
		if err := i.Can(&incident.Isolate{Hostname: "PC-1", Reason: "beacon"}, ask(models.RoleAnalyst), modelstest.T0); models.KindOf(err) != models.Conflict {
			t.Errorf("a fire drill isolates: %v", err)
		}
	}
}

func TestTheSOCEndsAFireDrillInAnyPhaseButNoOtherIncident(t *testing.T) {
	steps := []struct {
		phase incident.Phase
		role  models.Role
		give  incident.Command
	}{
		{incident.PhaseInvestigating, models.RoleAdmin, nil},
		{incident.PhasePublished, models.RoleLead, &incident.Expedite{}},
		{incident.PhaseClosureRequested, models.RoleAdmin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "seen"}},
	}
	drill, ordinary := fireDrill(t, models.SeverityCritical), opened(t, models.SeverityCritical)
	for n, step := range steps {
		if step.give != nil {
			mustGive(t, &drill, step.give, step.role)
			mustGive(t, &ordinary, step.give, step.role)
		}
		for _, by := range []models.Actor{ask(models.RoleAnalyst).Actor, ask(models.RoleLead).Actor, models.System()} {
			i := drill
			if err := i.Apply(incident.NewEvent(i, modelstest.T0, by, &incident.Dismissed{Reason: "over"})); err != nil || i.Phase != incident.PhaseDismissed || i.Turn != incident.TurnNone || !i.ClosedAt.Equal(modelstest.T0) {
				t.Errorf("%s: ended by the %s: phase %s, %v", step.phase, by.Side, i.Phase, err)
			}
			if i.NeedsCalls() {
				t.Errorf("%s: calls after the end", step.phase)
			}
			if err := i.Apply(incident.NewEvent(i, modelstest.T0, by, &incident.Dismissed{Reason: "over"})); models.KindOf(err) != models.Conflict {
				t.Errorf("%s: ended twice: %v", step.phase, err)
			}
			i = ordinary
			if err := i.Apply(incident.NewEvent(i, modelstest.T0, by, &incident.Dismissed{Reason: "over"})); (err == nil) != (n == 0 && by.Side == models.SideSOC) {
				t.Errorf("%s: an ordinary incident dismissed by the %s: %v", step.phase, by.Side, err)
			}
		}
		if err := drill.Can(&incident.Dismiss{Reason: "over"}, ask(models.RoleAnalyst), modelstest.T0); err != nil {
			t.Errorf("%s: the analyst may not end the drill: %v", step.phase, err)
		}
		if err := drill.Can(&incident.Dismiss{Reason: "over"}, ask(models.RoleAdmin), modelstest.T0); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: the client may end the drill: %v", step.phase, err)
		}
		i := drill
		if err := i.Apply(incident.NewEvent(i, modelstest.T0, ask(models.RoleAdmin).Actor, &incident.Dismissed{Reason: "over"})); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: ended by the client: %v", step.phase, err)
		}
	}
}
