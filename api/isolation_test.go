package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

func TestIsolationIsPausedAndResumedByEitherSide(t *testing.T) {
	w := newWorld(t)
	reason := func(s string) map[string]any { return map[string]any{"reason": s} }
	w.must(http.StatusUnprocessableEntity, w.post("admin", w.clientPath("pause-isolation"), reason(" ")))
	var now models.IsolationSwitch
	w.must(http.StatusOK, w.post("admin", w.clientPath("pause-isolation"), reason("a stolen session"))).into(t, &now)
	if !now.Paused || now.Side != models.SideClient || now.Reason != "a stolen session" || now.At.IsZero() {
		t.Errorf("paused: %+v", now)
	}
	for _, who := range []string{"analyst", "viewer"} {
		var c models.Client
		w.must(http.StatusOK, w.get(who, w.clientPath())).into(t, &c)
		if c.IsolationPaused == nil || *c.IsolationPaused != now {
			t.Errorf("%s sees %+v", who, c.IsolationPaused)
		}
	}
	w.must(http.StatusOK, w.post("lead", w.clientPath("resume-isolation"), reason("over"))).into(t, &now)
	answer := w.must(http.StatusOK, w.get("viewer", w.clientPath()))
	if now.Paused || now.Side != models.SideSOC || strings.Contains(string(answer.body), "isolation_paused") {
		t.Errorf("resumed: %+v, %s", now, answer)
	}
}

func TestTheLimitOfIsolationsIsAPolicy(t *testing.T) {
	w := newWorld(t)
	var c models.Client
	w.must(http.StatusCreated, w.post("lead", "/api/v1/clients", newClientWith(`"policy":{"isolations_per_10_min":0}`))).into(t, &c)
	if c.Policy.IsolationsPer10Min != 5 {
		t.Errorf("the default is %d", c.Policy.IsolationsPer10Min)
	}
	w.must(http.StatusCreated, w.post("lead", "/api/v1/clients", newClientWith(`"policy":{"isolations_per_10_min":1000}`))).into(t, &c)
	if c.Policy.IsolationsPer10Min != 1000 {
		t.Errorf("the limit is %d", c.Policy.IsolationsPer10Min)
	}
	w.must(http.StatusUnprocessableEntity, w.post("lead", "/api/v1/clients", newClientWith(`"policy":{"isolations_per_10_min":1001}`)))
}
