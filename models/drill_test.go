package models_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
)

func fireDrill(t interface{ Fatal(...any) }, severity models.Severity) models.Incident {
	var i models.Incident
	e := models.NewEvent(i, t0, ask(models.RoleLead).Actor, &models.Opened{
		Reference: "SI-1042-0008", ClientID: clientID, Title: "Fire drill", Severity: severity, Exercise: models.ExerciseSimulatedFireDrill,
	})
	if err := i.Apply(e); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestMeasureDrill(t *testing.T) {
	const s = time.Second
	i := models.Incident{Reference: "SI-1042-0008", Exercise: models.ExerciseFireDrill, Phase: models.PhasePublished, PublishedAt: t0}
	ann, bob, cem, dee := contactID(1), contactID(2), contactID(3), contactID(4)
	delivery := func(contact uuid.UUID, name string, kind models.EffectKind, planned, updated time.Duration) models.Delivery {
		return models.Delivery{Contact: contact, ContactName: name, Kind: kind, State: models.EffectAccepted, PlannedAt: t0.Add(planned), UpdatedAt: t0.Add(updated)}
	}
	annMail := delivery(ann, "Ann", models.EffectMail, 0, 2*s)
	annMail.VendorState = "delivered"
	annCall := delivery(ann, "Ann", models.EffectCall, 0, 60*s)
	annCall.VendorState, annCall.Outcome, annCall.How = "completed", "acknowledged", "key press 1"
	annCall.AcknowledgedAt = t0.Add(55 * s) // the call went on after the key was pressed
	annText := delivery(ann, "Ann", models.EffectText, s, 40*s)
	annText.VendorState, annText.Outcome, annText.How = "delivered", "acknowledged", "reply to text message"
	bobMail := delivery(bob, "Bob", models.EffectMail, 0, 3*s)
	bobMail.VendorState = "bounce"
	bobCall := delivery(bob, "Bob", models.EffectCall, 90*s, 120*s+1234567)
	bobCall.VendorState, bobCall.Outcome = "completed", "voicemail"
	cemCall := delivery(cem, "Cem", models.EffectCall, 130*s, 131*s)
	cemCall.State = models.EffectRejected
	deeCall := delivery(dee, "Dee", models.EffectCall, 200*s, -s) // the carrier's clock is behind
	deeCall.Outcome, deeCall.How = "acknowledged", "key press 1"
	isolation := models.Delivery{Kind: models.EffectIsolate, Endpoint: "e1", State: models.EffectAccepted, PlannedAt: t0, UpdatedAt: t0}

	got := models.MeasureDrill(i, []models.Delivery{deeCall, cemCall, bobCall, isolation, annMail, annCall, annText, bobMail})
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
	if s := snapshot(t, got); s != want {
		t.Errorf("measured\n%s\nwant\n%s", s, want)
	}
	deeCall.PlannedAt = t0.Add(-s)
	got = models.MeasureDrill(i, []models.Delivery{deeCall, annCall})
	if got.Answered != 2 || got.Fastest != 0 {
		t.Errorf("%d answered, the fastest after %s", got.Answered, time.Duration(got.Fastest))
	}
	i.Phase, i.ClosedAt = models.PhaseDismissed, t0.Add(time.Hour)
	got = models.MeasureDrill(i, []models.Delivery{annCall})
	if !got.EndedAt.Equal(t0.Add(time.Hour)) || got.Fastest != models.Duration(55*s) {
		t.Errorf("over: %+v", got)
	}
	if s := snapshot(t, models.MeasureDrill(i, nil).Contacts); s != "[]" {
		t.Errorf("nobody was reached: contacts %s", s)
	}
}

func TestADrillTellsDeadChannelsFromPeopleWhoDoNotAnswer(t *testing.T) {
	for _, c := range []struct {
		state                models.EffectState
		vendorState, outcome string
		result               string
		dead                 bool
	}{
		{models.EffectIntended, "", "", "intended", false},
		{models.EffectAccepted, "", "", "accepted", false},
		{models.EffectRejected, "", "refused", "refused", true},
		{models.EffectRejected, "", "", "rejected", true},
		{models.EffectCanceled, "", "", "canceled", false},
		{models.EffectAccepted, "completed", "no_key", "no_key", false},
		{models.EffectAccepted, "no-answer", "no_answer", "no_answer", false},
		{models.EffectAccepted, "busy", "busy", "busy", false},
		{models.EffectAccepted, "failed", "unreachable", "unreachable", true},
		{models.EffectAccepted, "failed", "", "failed", true},
		{models.EffectAccepted, "undelivered", "", "undelivered", true},
		{models.EffectAccepted, "dropped", "", "dropped", true},
		{models.EffectAccepted, "blocked", "", "blocked", false},
		{models.EffectAccepted, "deferred", "", "deferred", false},
		{models.EffectAccepted, "open", "", "open", false},
	} {
		d := models.Delivery{Contact: contactID(1), Kind: models.EffectCall, State: c.state, VendorState: c.vendorState, Outcome: c.outcome}
		got := models.MeasureDrill(models.Incident{}, []models.Delivery{d}).Contacts[0].Channels[0]
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
		mustGive(t, &i, &models.Expedite{}, models.RoleLead)
		mustGive(t, &i, &models.Acknowledge{}, models.RoleAdmin)
		if !i.NeedsCalls() || !i.NextCallRound(models.DefaultPolicy()).Equal(t0) {
			t.Errorf("%s: it does not call everybody after somebody acknowledged", severity)
		}
		for _, d := range []models.EventData{&models.CallRoundStarted{Round: 1}, &models.CallRoundEnded{CallRoundResult: models.CallRoundResult{Round: 1}}} {
			if err := i.Apply(models.NewEvent(i, t0, models.System(), d)); err != nil {
				t.Fatal(err)
			}
			if i.NeedsCalls() {
				t.Errorf("%s: it calls again after %s", severity, d.Type())
			}
		}
		if at, due := i.NextReminder(models.DefaultPolicy()); due || i.Turn != models.TurnClient {
			t.Errorf("%s: turn %s, a reminder at %s", severity, i.Turn, at)
		}
		if err := i.Can(&models.Isolate{Hostname: "PC-1", Reason: "beacon"}, ask(models.RoleAnalyst), t0); models.KindOf(err) != models.Conflict {
			t.Errorf("a fire drill isolates: %v", err)
		}
	}
}

func TestTheSOCEndsAFireDrillInAnyPhaseButNoOtherIncident(t *testing.T) {
	steps := []struct {
		phase models.Phase
		role  models.Role
		give  models.Command
	}{
		{models.PhaseInvestigating, models.RoleAdmin, nil},
		{models.PhasePublished, models.RoleLead, &models.Expedite{}},
		{models.PhaseClosureRequested, models.RoleAdmin, &models.RequestClosure{Outcome: models.OutcomeResolved, Note: "seen"}},
	}
	drill, ordinary := fireDrill(t, models.SeverityCritical), opened(t, models.SeverityCritical)
	for n, step := range steps {
		if step.give != nil {
			mustGive(t, &drill, step.give, step.role)
			mustGive(t, &ordinary, step.give, step.role)
		}
		for _, by := range []models.Actor{ask(models.RoleAnalyst).Actor, ask(models.RoleLead).Actor, models.System()} {
			i := drill
			if err := i.Apply(models.NewEvent(i, t0, by, &models.Dismissed{Reason: "over"})); err != nil || i.Phase != models.PhaseDismissed || i.Turn != models.TurnNone || !i.ClosedAt.Equal(t0) {
				t.Errorf("%s: ended by the %s: phase %s, %v", step.phase, by.Side, i.Phase, err)
			}
			if i.NeedsCalls() {
				t.Errorf("%s: calls after the end", step.phase)
			}
			if err := i.Apply(models.NewEvent(i, t0, by, &models.Dismissed{Reason: "over"})); models.KindOf(err) != models.Conflict {
				t.Errorf("%s: ended twice: %v", step.phase, err)
			}
			i = ordinary
			if err := i.Apply(models.NewEvent(i, t0, by, &models.Dismissed{Reason: "over"})); (err == nil) != (n == 0 && by.Side == models.SideSOC) {
				t.Errorf("%s: an ordinary incident dismissed by the %s: %v", step.phase, by.Side, err)
			}
		}
		if err := drill.Can(&models.Dismiss{Reason: "over"}, ask(models.RoleAnalyst), t0); err != nil {
			t.Errorf("%s: the analyst may not end the drill: %v", step.phase, err)
		}
		if err := drill.Can(&models.Dismiss{Reason: "over"}, ask(models.RoleAdmin), t0); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: the client may end the drill: %v", step.phase, err)
		}
		i := drill
		if err := i.Apply(models.NewEvent(i, t0, ask(models.RoleAdmin).Actor, &models.Dismissed{Reason: "over"})); models.KindOf(err) != models.Forbidden {
			t.Errorf("%s: ended by the client: %v", step.phase, err)
		}
	}
}
