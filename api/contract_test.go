package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// clientWithin adds a client whose contract runs between two days from today.
func (w *world) clientWithin(name string, from, to int, liveAt time.Time) models.Client {
	w.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	c, err := w.store.CreateClient(w.Context(), models.Client{
		LegalName: name, TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(), CreatedAt: time.Now(), LiveAt: liveAt,
		Contract: models.Contract{Start: today.AddDate(0, 0, from), End: today.AddDate(0, 0, to), Plan: "mdr"},
	}, "client-"+name, "")
	w.ok(err)
	return c
}

func TestOutsideTheContractOnlyALeadOpensAnIncidentAndItShows(t *testing.T) {
	w := newWorld(t)
	opening := func(c models.Client, reason string) map[string]any {
		body := map[string]any{"client": c.Number, "title": "T", "severity": "high"}
		if reason != "" {
			body["outside_contract"] = reason
		}
		return body
	}
	for _, c := range []struct {
		client models.Client
		why    string // "" when analysts open incidents
	}{
		{w.clientWithin("first and last day", 0, 0, time.Now()), ""},
		{w.clientWithin("tomorrow", 1, 365, time.Now()), "contract begins on"},
		{w.clientWithin("yesterday", -365, -1, time.Now()), "contract ended on"},
		{w.clientWithin("not live", -1, 1, time.Time{}), "not live yet"},
	} {
		if c.why == "" {
			w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", opening(c.client, "")))
			if a := w.post("lead", "/api/v1/incidents", opening(c.client, "why not")); a.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("%s: a reason where none is needed: %s", c.client.LegalName, a)
			}
			continue
		}
		for who, reason := range map[string]string{"analyst": "", "lead": ""} {
			if a := w.post(who, "/api/v1/incidents", opening(c.client, reason)); a.StatusCode != http.StatusConflict || !strings.Contains(string(a.body), c.why) {
				t.Errorf("%s, %s: %s, want 409 and %q", c.client.LegalName, who, a, c.why)
			}
		}
		if a := w.post("analyst", "/api/v1/incidents", opening(c.client, "it burns")); a.StatusCode != http.StatusConflict {
			t.Errorf("%s: an analyst opens with a reason: %s", c.client.LegalName, a)
		}
		var i incident.Incident
		w.must(http.StatusCreated, w.post("lead", "/api/v1/incidents", opening(c.client, "They called us, it burns."))).into(t, &i)
		if !i.OutsideContract {
			t.Errorf("%s: the incident does not show it: %+v", c.client.LegalName, i)
		}
		if a := w.get("analyst", at(i.Reference, "events")); !strings.Contains(string(a.body), "They called us, it burns.") {
			t.Errorf("%s: the event log does not say why: %s", c.client.LegalName, a)
		}
		if a := w.get("analyst", "/api/v1/incidents?client="+strconv.Itoa(c.client.Number)); !strings.Contains(string(a.body), `"outside_contract":true`) {
			t.Errorf("%s: the list does not show it: %s", c.client.LegalName, a)
		}
		// What sources send is kept, and a fire drill is possible.
		w.must(http.StatusCreated, w.post("operator", "/api/v1/alerts", map[string]any{
			"client": c.client.Number, "source": "realtime", "finding_id": w.newKey(), "title": "T", "severity": "high"}))
		if a := w.post("analyst", "/api/v1/clients/"+strconv.Itoa(c.client.Number)+"/fire-drills", map[string]any{"exercise": "simulated_fire_drill"}); a.StatusCode/100 != 2 {
			t.Errorf("%s: a fire drill: %s", c.client.LegalName, a)
		}
	}
}

func TestAClientGoesLiveOnce(t *testing.T) {
	w := newWorld(t)
	c := w.clientWithin("new", -1, 365, time.Time{})
	path := "/api/v1/clients/" + strconv.Itoa(c.Number) + "/go-live"
	if a := w.post("lead", path, map[string]any{}); a.StatusCode != http.StatusConflict || !strings.Contains(string(a.body), "reachable, told, edr, response_authority") {
		t.Errorf("with failing checks: %s", a)
	}
	var live, again models.Client
	w.must(http.StatusOK, w.post("operator", path, map[string]any{"despite": "They begin tonight."})).into(t, &live)
	w.must(http.StatusOK, w.post("lead", path, map[string]any{"despite": "Another reason."})).into(t, &again)
	if live.LiveAt.IsZero() || live.LiveDespite != "They begin tonight." || !again.LiveAt.Equal(live.LiveAt) || again.LiveDespite != live.LiveDespite {
		t.Errorf("live since %s (%q), then %s (%q)", live.LiveAt, live.LiveDespite, again.LiveAt, again.LiveDespite)
	}
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": c.Number, "title": "T", "severity": "high"}))
	if a := w.get("lead", "/api/v1/clients/"+strconv.Itoa(c.Number)+"/audit-log"); strings.Count(string(a.body), `"go-live"`) != 1 {
		t.Errorf("the audit log: %s", a)
	}
}

// A risk is accepted until a date, and both sides read whose name stands behind it.
func TestWhoClosesOverAPresentThreatIsNamed(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	for command, body := range map[string]map[string]any{
		"confirm-closure": {"reason": "It is retired."}, "request-closure": {"outcome": "risk_accepted", "note": "We live with it."},
	} {
		if a := w.must(http.StatusUnprocessableEntity, w.post("responder", at(ref, command), body)); len(a.pointers(t)) != 1 || a.pointers(t)[0] != "/expires_at" {
			t.Errorf("%s without a date: %s", command, a)
		}
	}
	ref = w.ripe("confirm-closure", "responder")
	w.closeAccepting(ref, time.Now().Add(time.Hour))
	for _, who := range []string{"viewer", "analyst"} {
		var v incident.View
		w.must(http.StatusOK, w.get(who, at(ref))).into(t, &v)
		c := v.Closure
		if c.Outcome != incident.OutcomeRiskAccepted || c.Reason != "It is retired." || c.ConfirmedBy == nil || v.People[c.ConfirmedBy.ID].Name != w.users["responder"].Name {
			t.Errorf("%s reads %+v and %+v", who, c, v.People)
		}
	}
}
