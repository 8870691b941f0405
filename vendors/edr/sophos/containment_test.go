package sophos

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

type verb = func(*Tenant, context.Context, string, string) (string, error)

func TestAnActionIsForTheEndpointInThePath(t *testing.T) {
	for _, c := range []struct {
		name, comment, body, reply string
		act                        verb
	}{
		{"isolate", "SI-1042-0007\r\nby analyst", `{"enabled":true,"comment":"SI-1042-0007 by analyst"}`, `{"enabled":true}`, (*Tenant).Isolate},
		{"release", "", `{"enabled":false}`, `{"enabled":false,"comment":"x"}`, (*Tenant).Release},
	} {
		actions := 0
		g := region{patch: func(w http.ResponseWriter, body string) {
			actions++
			if body != c.body {
				t.Errorf("%s: %s", c.name, body)
			}
			vendortest.Answer(w, 200, c.reply)
		}}
		action, err := c.act(newCentral(t, g.ServeHTTP).tenant(t), t.Context(), host, c.comment)
		if err != nil || action != "" || actions != 1 {
			t.Errorf("%s: %q, %v, %d actions", c.name, action, err, actions)
		}
	}
}

func TestActionFailures(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"the opposite was taken", `{"enabled":false}`, 200, models.Ambiguous, ""},
		{"empty", "", 200, models.Ambiguous, ""},
		{"nothing said", "{}", 202, models.Ambiguous, ""},
		{"cut", `{"enab`, 200, models.Ambiguous, ""},
		{"unknown", `{"error":"NotFound"}`, 404, models.Rejected, "no_such_host"},
		{"forbidden", `{"error":"Forbidden","requestId":"r-1"}`, 403, models.Config, "Forbidden"},
		{"broken", `{"error":"InternalServerError"}`, 500, models.Ambiguous, "InternalServerError"},
		{"proxy page", "<html>", 503, models.Ambiguous, ""},
	} {
		g := region{patch: func(w http.ResponseWriter, _ string) { vendortest.Answer(w, c.status, c.body) }}
		_, err := newCentral(t, g.ServeHTTP).tenant(t).Isolate(t.Context(), host, "")
		vendortest.WantClass(t, err, c.want)
		if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func TestTheSettingInForceDecidesARejection(t *testing.T) {
	reported := map[string]string{
		"free": endpointJSON(host, "PC-1", "computer", free), "isolated": endpointJSON(host, "PC-1", "computer", isolated),
	}
	const on, off = `{"enabled":true,"lastEnabledAt":"2026-03-01T11:00:00.000Z"}`, `{"enabled":false}`
	const justOff = `{"enabled":false,"lastEnabledAt":"2026-03-01T11:00:00.000Z","lastDisabledAt":"2026-03-01T11:58:00.000Z"}`
	const justOn = `{"enabled":true,"lastEnabledAt":"2026-03-01T11:58:00.000Z"}`
	for _, c := range []struct {
		name              string
		status            int
		endpoint, setting string
		isolate, release  models.VendorClass
	}{
		{"in force", 400, "isolated", on, "", models.Rejected},
		{"on its way", 400, "free", on, "", models.Throttled},
		{"on its way back", 400, "isolated", off, models.Throttled, ""},
		{"not in force: never", 400, "free", off, models.Rejected, ""},
		{"released a moment ago", 400, "free", justOff, models.Throttled, ""},
		{"isolated a moment ago", 400, "isolated", justOn, "", models.Throttled},
		{"conflict, in force", 409, "isolated", on, "", models.Ambiguous},
		{"conflict, being isolated", 409, "free", on, "", models.Throttled},
		{"conflict, being released", 409, "isolated", off, models.Throttled, ""},
		{"conflict, for no reason", 409, "free", off, models.Ambiguous, ""},
		{"gone", 400, "", "", models.Rejected, models.Rejected},
		{"the setting cannot be read", 400, "free", "{}", models.Ambiguous, models.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := region{endpoint: reported[c.endpoint], setting: c.setting,
				patch: rejectingAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), c.status)}
			tenant := newCentral(t, g.ServeHTTP).tenant(t)
			_, err := tenant.Isolate(t.Context(), host, "")
			vendortest.WantClass(t, err, c.isolate)
			_, released := tenant.Release(t.Context(), host, "")
			vendortest.WantClass(t, released, c.release)
			if c.isolate == models.Throttled {
				code := map[bool]string{true: "changed_recently", false: "opposite_pending"}[c.endpoint == "free"]
				if v := vendortest.ErrorOf(t, err); v.RetryAfter <= 0 || v.Code != code {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// rejectingAt rejects a setting at a moment of Central's clock.
func rejectingAt(at time.Time, status int) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		w.Header().Set("Date", at.Format(http.TimeFormat))
		vendortest.Answer(w, status, `{"error":"BadRequest"}`)
	}
}

// A worker whose clock is wrong neither takes a change of a moment ago for an old one, nor an old one for one of a
// moment ago.
func TestAChangeIsJudgedByCentralsClock(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, wrong := range []time.Duration{-time.Hour, 0, time.Hour} {
		for ago, want := range map[time.Duration]models.VendorClass{2 * time.Minute: models.Throttled, time.Hour: models.Rejected, -time.Hour: models.Rejected} {
			g := region{endpoint: endpointJSON(host, "PC-1", "computer", isolated), patch: rejectingAt(at, 400),
				setting: `{"enabled":true,"lastEnabledAt":"` + at.Add(-ago).Format(time.RFC3339) + `"}`}
			tenant := newCentral(t, g.ServeHTTP).tenant(t)
			tenant.now = func() time.Time { return at.Add(wrong) }
			_, err := tenant.Release(t.Context(), host, "")
			if got := models.ClassOf(err); got != want {
				t.Errorf("our clock %s off, changed %s ago: %v, want %s", wrong, ago, err, want)
			}
		}
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	tenant := newCentral(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		vendortest.Answer(w, 429, `{"error":"TooManyRequests","correlationId":"c-1"}`)
	}).tenant(t)
	_, err := tenant.Release(t.Context(), host, "")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Throttled || v.RetryAfter != 7*time.Second || v.RequestID != "c-1" {
		t.Errorf("%+v", v)
	}
}

func TestAnActionIsNeverSentTwice(t *testing.T) {
	var actions atomic.Int32
	count := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { actions.Add(1); then(w, r) }
	}
	_, err := newCentral(t, count(vendortest.Cut)).tenant(t).Isolate(t.Context(), host, "")
	vendortest.WantClass(t, err, models.Ambiguous)
	_, err = newCentral(t, count(vendortest.Hanging(func() {}))).tenant(t, time.Second).Release(t.Context(), host, "")
	vendortest.WantClass(t, err, models.Ambiguous)
	if actions.Load() != 2 {
		t.Errorf("%d actions", actions.Load())
	}
}

func TestThereAreNoActions(t *testing.T) {
	tenant := newCentral(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }).tenant(t)
	_, err := tenant.Action(t.Context(), host, "1")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "no_actions" {
		t.Errorf("%+v", v)
	}
	if got, want := tenant.Capabilities(), (models.Capabilities{Queues: true, Classes: true, Underway: true}); got != want {
		t.Errorf("%+v", got)
	}
}
