package sentinelone

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func TestAnActionNamesExactlyOneAgent(t *testing.T) {
	for path, act := range map[string]func(*Tenant, context.Context, string, string) (string, error){
		"/web/api/v2.1/agents/actions/disconnect": (*Tenant).Isolate,
		"/web/api/v2.1/agents/actions/connect":    (*Tenant).Release,
	} {
		asked := 0
		tenant := console(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			body, _ := io.ReadAll(r.Body)
			if r.Method != http.MethodPost || r.URL.Path != path || r.URL.RawQuery != "" || string(body) != `{"filter":{"ids":["`+id+`"]}}` ||
				r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s %s", r.Method, r.URL, body)
			}
			vendortest.Answer(w, 200, `{"data":{"affected":1}}`)
		})
		action, err := act(tenant, t.Context(), id, "SI-1042-0007")
		vendortest.WantClass(t, err, "")
		if action != "" || asked != 1 {
			t.Errorf("action %q after %d requests", action, asked)
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
		{"several affected", `{"data":{"affected":4211}}`, 200, models.Ambiguous, "affected_many"},
		{"no count", `{"data":{}}`, 200, models.Ambiguous, ""},
		{"no data", `{}`, 200, models.Ambiguous, ""},
		{"cut", `{"data":{"affe`, 200, models.Ambiguous, ""},
		{"empty", "", 200, models.Ambiguous, ""},
		{"a text", `{"data":{"affected":"1"}}`, 200, models.Ambiguous, ""},
		{"errors beside the count", `{"data":{"affected":1},"errors":[{"code":5000010}]}`, 200, models.Ambiguous, "5000010"},
		{"bad request", `{"errors":[{"code":4000040}]}`, 400, models.Rejected, "4000040"},
		{"token rejected", `{"errors":[{"code":4010010}]}`, 401, models.Config, "4010010"},
		{"not allowed", `{"errors":[{"code":4030010}]}`, 403, models.Config, "4030010"},
		{"broken", `{"errors":[{"code":5000010}]}`, 500, models.Ambiguous, "5000010"},
		{"proxy page", "<html>", 503, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			actions := 0
			tenant := console(t, func(w http.ResponseWriter, _ *http.Request) { actions++; vendortest.Answer(w, c.status, c.body) })
			_, err := tenant.Isolate(t.Context(), id, "")
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "trace-1" || actions != 1 {
				t.Errorf("got %+v after %d actions", v, actions)
			}
		})
	}
}

// actions answers actions with one thing and reads with another.
func actions(action, read http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/actions/") {
			action(w, r)
			return
		}
		read(w, r)
	}
}

func TestNobodyAffectedAndConflictsAreDecidedByTheState(t *testing.T) {
	none, conflict := vendortest.Answering(200, `{"data":{"affected":0}}`), vendortest.Answering(409, `{"errors":[{"code":4090010}]}`)
	inside := vendortest.Answering(200, `{"errors":[{"code":4090010}]}`)
	for _, c := range []struct {
		name             string
		action           http.HandlerFunc
		read             string
		status           int
		isolate, release models.VendorClass
	}{
		{"none, isolated", none, "disconnected", 200, "", models.Rejected},
		{"none, isolating", none, "disconnecting", 200, "", models.Throttled},
		{"none, normal", none, "connected", 200, models.Rejected, ""},
		{"none, releasing", none, "connecting", 200, models.Throttled, ""},
		{"none, strange", none, "odd", 200, models.Rejected, models.Rejected},
		{"none, unreadable", none, "", 500, models.Ambiguous, models.Ambiguous},
		{"conflict, isolated", conflict, "disconnected", 200, "", models.Ambiguous},
		{"conflict, isolating", conflict, "disconnecting", 200, "", models.Throttled},
		{"conflict, normal", conflict, "connected", 200, models.Ambiguous, ""},
		{"conflict, releasing", conflict, "connecting", 200, models.Throttled, ""},
		{"conflict, strange", conflict, "odd", 200, models.Ambiguous, models.Ambiguous},
		{"conflict, unreadable", conflict, "", 500, models.Ambiguous, models.Ambiguous},
		{"conflict inside, isolated", inside, "disconnected", 200, "", models.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := console(t, actions(c.action, vendortest.Answering(c.status, agents(agentJSON(id, "PC-1", c.read)))))
			_, err := tenant.Isolate(t.Context(), id, "")
			vendortest.WantClass(t, err, c.isolate)
			_, err = tenant.Release(t.Context(), id, "")
			vendortest.WantClass(t, err, c.release)
		})
	}
	_, err := console(t, actions(none, vendortest.Answering(200, agents()))).Isolate(t.Context(), id, "")
	if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != "no_such_host" {
		t.Errorf("%+v", v)
	}
}
