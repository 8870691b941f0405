package elastic

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

func TestActionsNameExactlyOneHost(t *testing.T) {
	for _, c := range []struct {
		name, command, comment, body string
		isolated                     bool
		act                          act
	}{
		{"isolate", "isolate", "SI-1042-0007\r\nby analyst", `{"endpoint_ids":["` + agentID + `"],"comment":"SI-1042-0007 by analyst"}`, false, (*Tenant).Isolate},
		{"release", "unisolate", "", `{"endpoint_ids":["` + agentID + `"]}`, true, (*Tenant).Release},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.document = documentJSON(agentID, "PC-1", c.isolated)
			k.answers["POST /api/endpoint/action/"+c.command] = vendortest.Answering(200, `{"data":`+actionJSON(actionID, c.command, "2026-03-01T12:00:00Z", pending)+`}`)
			got, err := c.act(k.tenant(t), t.Context(), agentID, c.comment)
			if err != nil || got != actionID || !slices.Equal(k.sentSoFar(), []string{"/api/endpoint/action/" + c.command + " " + c.body}) {
				t.Errorf("got %q, %v; sent %v", got, err, k.sentSoFar())
			}
		})
	}
}

func TestOldKibanasAnswerWithTheIDAlone(t *testing.T) {
	k := newKibana(t)
	k.answers["POST /api/endpoint/action/isolate"] = vendortest.Answering(200, `{"action":"`+actionID+`"}`)
	if got, err := k.tenant(t).Isolate(t.Context(), agentID, ""); err != nil || got != actionID {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNothingIsSentTwice(t *testing.T) {
	const at = "2026-03-01T11:58:00Z"
	for _, c := range []struct {
		name     string
		act      act
		isolated bool
		actions  string
		want     string
		class    models.VendorClass
		code     string
	}{
		{"isolated", (*Tenant).Isolate, true, actionJSON(actionID, "isolate", at, succeeded), actionID, "", ""},
		{"isolated, and a duplicate failed", (*Tenant).Isolate, true,
			actionJSON("o2", "isolate", "2026-03-01T11:58:30Z", failed) + "," + actionJSON(actionID, "isolate", at, succeeded), actionID, "", ""},
		{"isolated in another way", (*Tenant).Isolate, true, "", "", "", ""},
		{"isolation under way", (*Tenant).Isolate, false, actionJSON(actionID, "isolate", at, pending), actionID, "", ""},
		{"release under way", (*Tenant).Isolate, true, actionJSON(actionID, "unisolate", at, pending), "", models.Throttled, "opposite_pending"},
		{"released", (*Tenant).Release, false, actionJSON(actionID, "unisolate", at, succeeded), actionID, "", ""},
		{"to be released", (*Tenant).Release, true, actionJSON(actionID, "unisolate", at, pending), actionID, "", ""},
		{"to be isolated", (*Tenant).Release, false, actionJSON(actionID, "isolate", at, pending), "", models.Throttled, "opposite_pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.document, k.actions = documentJSON(agentID, "PC-1", c.isolated), c.actions
			got, err := c.act(k.tenant(t), t.Context(), agentID, "")
			vendortest.WantClass(t, err, c.class)
			if got != c.want || len(k.sentSoFar()) != 0 {
				t.Errorf("got %q; sent %v", got, k.sentSoFar())
			}
			if err != nil && vendortest.ErrorOf(t, err).Code != c.code {
				t.Errorf("code %q", vendortest.ErrorOf(t, err).Code)
			}
		})
	}
}

func TestHostsThatCannotBeIsolated(t *testing.T) {
	for name, change := range map[string]struct{ from, to, code string }{
		"unenrolled":        {"healthy", "unenrolled", "unenrolled"},
		"no such ability":   {`["isolation","scan"]`, `["scan"]`, "isolation_unsupported"},
		"no ability at all": {`["isolation","scan"]`, `[]`, "isolation_unsupported"},
	} {
		k := newKibana(t)
		k.document = strings.Replace(k.document, change.from, change.to, 1)
		_, err := k.tenant(t).Isolate(t.Context(), agentID, "")
		if v := vendortest.ErrorOf(t, err); v.Class != models.Rejected || v.Code != change.code || len(k.sentSoFar()) != 0 {
			t.Errorf("%s: %+v, sent %v", name, v, k.sentSoFar())
		}
	}
}

func TestIsolateFailures(t *testing.T) {
	data := func(action string) string { return `{"data":` + action + `}` }
	action := actionJSON(actionID, "isolate", "2026-03-01T12:00:00Z", pending)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   models.VendorClass
	}{
		{"bad request", vendortest.Answering(400, `{"statusCode":400,"error":"Bad Request","message":"x"}`), models.Rejected},
		{"unknown to Kibana", vendortest.Answering(404, `{"statusCode":404}`), models.Rejected},
		{"key rejected", vendortest.Answering(401, `{"statusCode":401}`), models.Config},
		{"privilege or licence missing", vendortest.Answering(403, `{"statusCode":403}`), models.Config},
		{"conflict, and the host is still connected", vendortest.Answering(409, `{"statusCode":409}`), models.Ambiguous},
		{"broken", vendortest.Answering(500, `{"statusCode":500}`), models.Ambiguous},
		{"proxy page", vendortest.Answering(503, "<html>"), models.Ambiguous},
		{"moved", vendortest.Answering(308, ""), models.Ambiguous},
		{"empty", vendortest.Answering(200, ""), models.Ambiguous},
		{"cut inside", vendortest.Answering(200, `{"data":{"id"`), models.Ambiguous},
		{"nothing in it", vendortest.Answering(200, "{}"), models.Ambiguous},
		{"an id that is none", vendortest.Answering(200, `{"action":"../x"}`), models.Ambiguous},
		{"another host", vendortest.Answering(200, data(strings.Replace(action, agentID, otherID, 1))), models.Ambiguous},
		{"two hosts", vendortest.Answering(200, data(strings.Replace(action, `"]`, `","`+otherID+`"]`, 1))), models.Ambiguous},
		{"another command", vendortest.Answering(200, data(strings.Replace(action, `"isolate"`, `"scan"`, 1))), models.Ambiguous},
		{"cut", vendortest.Cut, models.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.answers["POST /api/endpoint/action/isolate"] = c.answer
			got, err := k.tenant(t).Isolate(t.Context(), agentID, "")
			vendortest.WantClass(t, err, c.want)
			if got != "" || len(k.sentSoFar()) != 1 {
				t.Errorf("got %q; sent %v", got, k.sentSoFar())
			}
		})
	}
}

// A change between the look and the action is seen in a second look.
func TestConflictIsDecidedByTheState(t *testing.T) {
	for _, c := range []struct {
		name, actions, want string
		class               models.VendorClass
	}{
		{"someone else isolated it", actionJSON(actionID, "isolate", "2026-03-01T11:58:00Z", pending), actionID, ""},
		{"someone else released it", actionJSON("o1", "unisolate", "2026-03-01T11:58:00Z", pending) + "," +
			actionJSON("o2", "isolate", "2026-03-01T11:57:00Z", pending), "", models.Throttled},
	} {
		k := newKibana(t)
		k.answers["POST /api/endpoint/action/isolate"] = func(w http.ResponseWriter, _ *http.Request) {
			k.actions = c.actions
			vendortest.Answer(w, 409, `{"statusCode":409}`)
		}
		got, err := k.tenant(t).Isolate(t.Context(), agentID, "")
		vendortest.WantClass(t, err, c.class)
		if got != c.want || len(k.sentSoFar()) != 1 {
			t.Errorf("%s: got %q; sent %v", c.name, got, k.sentSoFar())
		}
	}
	for _, status := range []int{404, 429, 500} { // the second look fails
		k := newKibana(t)
		k.answers["POST /api/endpoint/action/isolate"] = func(w http.ResponseWriter, _ *http.Request) {
			k.answers["GET /api/endpoint/metadata/"+agentID] = vendortest.Answering(status, "")
			vendortest.Answer(w, 409, `{"statusCode":409}`)
		}
		_, err := k.tenant(t).Isolate(t.Context(), agentID, "")
		vendortest.WantClass(t, err, models.Ambiguous)
	}
}

func TestWhenTheHostCannotBeReadNothingIsSent(t *testing.T) {
	for status, want := range map[int]models.VendorClass{404: models.Rejected, 429: models.Throttled, 403: models.Config, 500: models.Transient} {
		k := newKibana(t)
		k.answers["GET /api/endpoint/metadata/"+agentID] = vendortest.Answering(status, "")
		_, err := k.tenant(t).Isolate(t.Context(), agentID, "")
		vendortest.WantClass(t, err, want)
		if len(k.sentSoFar()) != 0 {
			t.Errorf("sent %v", k.sentSoFar())
		}
	}
}

func TestAction(t *testing.T) {
	own := func(p string) string { return `"agentState":{"` + agentID + `":{` + p + `}},` }
	for _, c := range []struct {
		name, more string
		want       models.ActionState
		class      models.VendorClass
	}{
		{"pending", pending, models.ActionPending, ""},
		{"succeeded", succeeded, models.ActionSucceeded, ""},
		{"failed", failed, models.ActionFailed, ""},
		{"expired", expired, models.ActionFailed, ""},
		{"carried out before it expired", `"isCompleted":true,"wasSuccessful":true,"isExpired":true`, models.ActionSucceeded, ""},
		{"the other spelling", `"isComplete":true,"wasSuccessful":true`, models.ActionSucceeded, ""},
		{"the other spelling, pending", `"isComplete":false`, models.ActionPending, ""},
		{"the host's own entry", own(`"isCompleted":true,"wasSuccessful":false`) + pending, models.ActionFailed, ""},
		{"the host's own entry in the other spelling", own(`"isComplete":true,"wasSuccessful":true`) + pending, models.ActionSucceeded, ""},
		{"status alone: pending", `"status":"pending"`, models.ActionPending, ""},
		{"status alone: successful", `"status":"successful"`, models.ActionSucceeded, ""},
		{"status alone: failed", `"status":"failed"`, models.ActionFailed, ""},
		{"nothing said", `"status":"strange"`, "", models.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t)
			k.answers["GET /api/endpoint/action/"+actionID] = vendortest.Answering(200, `{"data":`+actionJSON(actionID, "isolate", "2026-03-01T11:58:00Z", c.more)+`}`)
			got, err := k.tenant(t).Action(t.Context(), agentID, actionID)
			vendortest.WantClass(t, err, c.class)
			if got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestActionFailures(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"unknown", `{"statusCode":404}`, 404, models.Rejected, "no_such_action"},
		{"of another host", `{"data":` + strings.Replace(actionJSON(actionID, "isolate", "", pending), agentID, otherID, 1) + `}`, 200, models.Rejected, "no_such_action"},
		{"another action", `{"data":` + actionJSON(otherID, "isolate", "", pending) + `}`, 200, models.Transient, ""},
		{"broken", "", 500, models.Transient, ""},
	} {
		k := newKibana(t)
		k.answers["GET /api/endpoint/action/"+actionID] = vendortest.Answering(c.status, c.body)
		_, err := k.tenant(t).Action(t.Context(), agentID, actionID)
		vendortest.WantClass(t, err, c.want)
		if v := vendortest.ErrorOf(t, err); v.Code != c.code {
			t.Errorf("%s: code %q", c.name, v.Code)
		}
	}
}
