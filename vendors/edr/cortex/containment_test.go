package cortex

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

type act func(*Tenant, context.Context, string, string) (string, error)

const madeNoAction = `"can't create group action id for ISOLATE"`

func TestActionsNameExactlyOneHost(t *testing.T) {
	for _, c := range []struct {
		name, path, isolation, reply string
		act                          act
	}{
		{"isolate", "/endpoints/isolate", "AGENT_UNISOLATED", `{"action_id":4711,"status":1,"endpoints_count":1}`, (*Tenant).Isolate},
		{"release", "/endpoints/unisolate", "AGENT_ISOLATED", `{"action_id":"4711","status":"1","endpoints_count":"1"}`, (*Tenant).Release},
		{"no count", "/endpoints/isolate", "AGENT_UNISOLATED", `{"action_id":4711,"endpoints_count":null}`, (*Tenant).Isolate},
		{"a state Cortex does not tell", "/endpoints/isolate", "", `{"action_id":4711}`, (*Tenant).Isolate},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.endpoints = endpointJSON(c.isolation)
			cl.answers[c.path] = vendortest.Answering(200, `{"reply":`+c.reply+`}`)
			got, err := c.act(cl.tenant(t), t.Context(), hostID, "SI-1042-0007")
			want := c.path + ` {"request_data":{"endpoint_id":"` + hostID + `"}}`
			if err != nil || got != "4711" || !slices.Equal(cl.actions(), []string{want}) {
				t.Errorf("got %q, %v; sent %v", got, err, cl.actions())
			}
		})
	}
}

func TestTheStateDecidesWhetherToSendAnAction(t *testing.T) {
	for _, c := range []struct {
		status, isolation string
		isolate, release  string // code of the failure, "-" for an action, "" for none
	}{
		{"CONNECTED", "AGENT_UNISOLATED", "-", ""},
		{"CONNECTED", "AGENT_PENDING_ISOLATION", "", "opposite_pending"},
		{"CONNECTED", "AGENT_ISOLATED", "", "-"},
		{"CONNECTED", "AGENT_PENDING_ISOLATION_CANCELLATION", "opposite_pending", ""},
		{"DISCONNECTED", "AGENT_UNISOLATED", "-", ""},
		{"DISCONNECTED", "AGENT_PENDING_ISOLATION", "", "opposite_pending"},
		{"LOST", "AGENT_UNISOLATED", "-", ""},
		{"UNINSTALLED", "AGENT_UNISOLATED", "uninstalled", "uninstalled"},
		{"UNINSTALLED", "AGENT_ISOLATED", "uninstalled", "uninstalled"},
	} {
		for _, tried := range []struct {
			act  act
			code string
		}{{(*Tenant).Isolate, c.isolate}, {(*Tenant).Release, c.release}} {
			cl := newCloud(t)
			cl.endpoints = strings.Replace(endpointJSON(c.isolation), "CONNECTED", c.status, 1)
			for _, path := range []string{"/endpoints/isolate", "/endpoints/unisolate"} {
				cl.answers[path] = vendortest.Answering(200, `{"reply":{"action_id":4711,"endpoints_count":1}}`)
			}
			got, err := tried.act(cl.tenant(t), t.Context(), hostID, "")
			if sent := tried.code == "-"; sent != (got == "4711") || sent != (len(cl.actions()) == 1) {
				t.Errorf("%+v: got %q; sent %v", c, got, cl.actions())
			}
			if tried.code == "-" || tried.code == "" {
				vendortest.WantClass(t, err, "")
			} else if v := vendortest.ErrorOf(t, err); v.Code != tried.code || (v.Class == models.Throttled) != (v.Code == "opposite_pending") {
				t.Errorf("%+v: %+v", c, v)
			}
		}
	}
}

func TestIsolateFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   models.VendorClass
		code   string
	}{
		{"bad request", vendortest.Answering(400, rejected(400, `"x"`)), models.Rejected, "400"},
		{"signature rejected", vendortest.Answering(401, rejected(401, `"x"`)), models.Config, "401"},
		{"licence missing", vendortest.Answering(402, rejected(402, `"x"`)), models.Config, "402"},
		{"role may not", vendortest.Answering(403, rejected(403, `"x"`)), models.Config, "403"},
		{"conflict, and the host is still connected", vendortest.Answering(409, ""), models.Ambiguous, ""},
		{"Cortex makes no action", vendortest.Answering(500, rejected(500, madeNoAction)), models.Rejected, "no_action"},
		{"broken", vendortest.Answering(500, rejected(500, `"database is gone"`)), models.Ambiguous, "500"},
		{"broken with an object", vendortest.Answering(500, rejected(500, `{"x":"can't create group action id for ISOLATE"}`)), models.Ambiguous, "500"},
		{"proxy page", vendortest.Answering(503, "<html>can't create group action id for ISOLATE"), models.Ambiguous, ""},
		{"empty", vendortest.Answering(200, ""), models.Ambiguous, ""},
		{"cut inside", vendortest.Answering(200, `{"reply":{"action_id":47`), models.Ambiguous, ""},
		{"nothing in it", vendortest.Answering(200, `{"reply":{}}`), models.Ambiguous, ""},
		{"an id that is none", vendortest.Answering(200, `{"reply":{"action_id":-1}}`), models.Ambiguous, ""},
		{"nobody affected", vendortest.Answering(200, `{"reply":{"action_id":4711,"endpoints_count":0}}`), models.Ambiguous, ""},
		{"two affected", vendortest.Answering(200, `{"reply":{"action_id":4711,"endpoints_count":"2"}}`), models.Ambiguous, ""},
		{"cut", vendortest.Cut, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCloud(t)
			cl.answers["/endpoints/isolate"] = c.answer
			got, err := cl.tenant(t).Isolate(t.Context(), hostID, "")
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code || got != "" || len(cl.actions()) != 1 {
				t.Errorf("got %q, %+v; sent %v", got, v, cl.actions())
			}
		})
	}
}

// A change between the look and the action is seen in a second look.
func TestSomeoneElseWasQuicker(t *testing.T) {
	for _, rejection := range []http.HandlerFunc{vendortest.Answering(500, rejected(500, madeNoAction)), vendortest.Answering(409, "")} {
		for isolation, want := range map[string]models.VendorClass{
			"AGENT_ISOLATED": "", "AGENT_PENDING_ISOLATION": "", "AGENT_PENDING_ISOLATION_CANCELLATION": models.Throttled,
		} {
			c := newCloud(t)
			c.answers["/endpoints/isolate"] = func(w http.ResponseWriter, r *http.Request) {
				c.endpoints = endpointJSON(isolation)
				rejection(w, r)
			}
			_, err := c.tenant(t).Isolate(t.Context(), hostID, "")
			vendortest.WantClass(t, err, want)
			if len(c.actions()) != 1 {
				t.Errorf("sent %v", c.actions())
			}
		}
	}
}

func TestTheSecondLookMayFail(t *testing.T) {
	for _, c := range []struct {
		rejection http.HandlerFunc
		want      models.VendorClass
	}{{vendortest.Answering(409, ""), models.Ambiguous}, {vendortest.Answering(500, rejected(500, madeNoAction)), models.Rejected}} {
		for _, status := range []int{400, 429, 500} {
			cl := newCloud(t)
			cl.answers["/endpoints/isolate"] = func(w http.ResponseWriter, r *http.Request) {
				cl.answers["/endpoints/get_endpoint"] = vendortest.Answering(status, "")
				c.rejection(w, r)
			}
			_, err := cl.tenant(t).Isolate(t.Context(), hostID, "")
			vendortest.WantClass(t, err, c.want)
		}
	}
}

func TestWhenTheHostCannotBeReadNothingIsSent(t *testing.T) {
	for status, want := range map[int]models.VendorClass{429: models.Throttled, 403: models.Config, 500: models.Transient} {
		c := newCloud(t)
		c.answers["/endpoints/get_endpoint"] = vendortest.Answering(status, "")
		_, err := c.tenant(t).Release(t.Context(), hostID, "")
		vendortest.WantClass(t, err, want)
		if len(c.actions()) != 0 {
			t.Errorf("sent %v", c.actions())
		}
	}
}

func TestAction(t *testing.T) {
	for status, want := range map[string]models.ActionState{
		"PENDING": models.ActionPending, "IN_PROGRESS": models.ActionPending, "PENDING_ABORT": models.ActionPending,
		"COMPLETED_SUCCESSFULLY": models.ActionSucceeded,
		"CANCELED":               models.ActionFailed, "CANCELLED": models.ActionFailed, "ABORTED": models.ActionFailed, "EXPIRED": models.ActionFailed,
		"COMPLETED_PARTIAL": models.ActionFailed, "FAILED": models.ActionFailed, "TIMEOUT": models.ActionFailed,
	} {
		c := newCloud(t)
		c.answers["/actions/get_action_status"] = vendortest.Answering(200,
			`{"reply":{"data":{"`+otherID+`":"FAILED","`+hostID+`":"`+status+`"},"errorReasons":{"x":{"errorText":"y"}}}}`)
		got, err := c.tenant(t).Action(t.Context(), hostID, "4711")
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", status, got, err)
		}
		if c.askedSoFar()[0] != `/actions/get_action_status {"request_data":{"group_action_id":4711}}` {
			t.Errorf("asked %s", c.askedSoFar()[0])
		}
	}
}

func TestActionFailures(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   models.VendorClass
	}{
		"of another host": {200, `{"reply":{"data":{"` + otherID + `":"PENDING"}}}`, models.Transient},
		"nothing listed":  {200, `{"reply":{"data":{}}}`, models.Transient},
		"strange status":  {200, `{"reply":{"data":{"` + hostID + `":"STRANGE"}}}`, models.Transient},
		"cut":             {200, `{"reply":`, models.Transient},
		"broken":          {500, rejected(500, `"x"`), models.Transient},
		"role may not":    {403, rejected(403, `"x"`), models.Config},
	} {
		cl := newCloud(t)
		cl.answers["/actions/get_action_status"] = vendortest.Answering(c.status, c.body)
		got, err := cl.tenant(t).Action(t.Context(), hostID, "4711")
		vendortest.WantClass(t, err, c.want)
		if got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
