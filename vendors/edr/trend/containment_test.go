package trend

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

type verb = func(*Tenant, context.Context, string, string) (string, error)

func accepted(id string) string {
	return fmt.Sprintf(`[{"status":202,"headers":[{"name":"X","value":"y"},{"name":"Operation-Location","value":"https://api.eu.xdr.trendmicro.com/v3.0/response/tasks/%s"}]}]`, id)
}

// inState is an account whose one endpoint is in the inventory's state.
func inState(isolation, tasks string, action http.HandlerFunc) *vision {
	return &vision{endpoint: endpointJSON(host, "PC-1", "desktop", isolation, "connected"), tasks: tasks, action: action}
}

func TestActionsNameExactlyOneHost(t *testing.T) {
	for _, c := range []struct {
		path, isolation, comment, body string
		act                            verb
	}{
		{"/v3.0/response/endpoints/isolate", "off", "SI-1042-0007\r\nby analyst",
			`[{"agentGuid":"` + host + `","description":"SI-1042-0007 by analyst"}]`, (*Tenant).Isolate},
		{"/v3.0/response/endpoints/restore", "on", "", `[{"agentGuid":"` + host + `"}]`, (*Tenant).Release},
	} {
		v := inState(c.isolation, "", func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); r.URL.Path != c.path || string(body) != c.body {
				t.Errorf("%s %s", r.URL, body)
			}
			vendortest.Answer(w, 207, accepted("00000003"))
		})
		action, err := c.act(newTenant(t, v.ServeHTTP), t.Context(), host, c.comment)
		if err != nil || action != "00000003" || v.actions.Load() != 1 {
			t.Errorf("%s: %q, %v, %d actions", c.path, action, err, v.actions.Load())
		}
	}
}

func TestNoActionIsSentToAnEndpointThatIsThereOrOnItsWay(t *testing.T) {
	const at = "2026-03-01T10:00:00Z"
	for _, c := range []struct {
		name, isolation, tasks string
		act                    verb
		want                   models.VendorClass
		action                 string
	}{
		{"isolated", "on", "", (*Tenant).Isolate, "", ""},
		{"being isolated", "off", taskJSON("7", "isolate", "queued", host, at), (*Tenant).Isolate, "", "7"},
		{"being released", "on", taskJSON("7", "restoreIsolate", "running", host, at), (*Tenant).Isolate, models.Throttled, ""},
		{"free", "off", "", (*Tenant).Release, "", ""},
		{"being released already", "on", taskJSON("7", "restoreIsolate", "running", host, at), (*Tenant).Release, "", "7"},
		{"being isolated now", "off", taskJSON("7", "isolate", "waitForApproval", host, at), (*Tenant).Release, models.Throttled, ""},
	} {
		v := inState(c.isolation, c.tasks, func(w http.ResponseWriter, _ *http.Request) { vendortest.Answer(w, 207, accepted("8")) })
		action, err := c.act(newTenant(t, v.ServeHTTP), t.Context(), host, "")
		vendortest.WantClass(t, err, c.want)
		if action != c.action || v.actions.Load() != 0 {
			t.Errorf("%s: action %q, %d actions", c.name, action, v.actions.Load())
		}
	}
}

func TestActionFailures(t *testing.T) {
	item := func(status int, code string) string {
		return fmt.Sprintf(`[{"status":%d,"body":{"error":{"code":%q,"message":"x"}}}]`, status, code)
	}
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"rejected inside 207", item(400, "BadRequest"), 207, models.Rejected, "BadRequest"},
		{"unknown inside 207", item(404, "NotFound"), 207, models.Rejected, "NotFound"},
		{"forbidden inside 207", item(403, "AccessDenied"), 207, models.Config, "AccessDenied"},
		{"throttled inside 207", item(429, "TooManyRequests"), 207, models.Throttled, "TooManyRequests"},
		{"broken inside 207", item(500, "InternalServerError"), 207, models.Ambiguous, "InternalServerError"},
		{"no status inside 207", `[{}]`, 207, models.Ambiguous, ""},
		{"success of another kind inside 207", strings.Replace(accepted("3"), "202", "200", 1), 207, models.Ambiguous, ""},
		{"nobody affected", `[]`, 207, models.Ambiguous, ""},
		{"two affected", `[{"status":202},{"status":202}]`, 207, models.Ambiguous, ""},
		{"taken, but as what", `[{"status":202,"headers":[]}]`, 207, models.Ambiguous, ""},
		{"taken as nonsense", accepted("../x?y"), 207, models.Ambiguous, ""},
		{"not a list", `{}`, 207, models.Ambiguous, ""},
		{"empty", "", 207, models.Ambiguous, ""},
		{"cut", `[{"status":2`, 207, models.Ambiguous, ""},
		{"another success", accepted("3"), 200, models.Ambiguous, ""},
		{"bad request", `{"error":{"code":"BadRequest"}}`, 400, models.Rejected, "BadRequest"},
		{"token rejected", `{"error":{"code":"InvalidToken"}}`, 401, models.Config, "InvalidToken"},
		{"broken", "", 500, models.Ambiguous, ""},
		{"proxy page", "<html>", 503, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := inState("off", "", vendortest.Answering(c.status, c.body))
			_, err := newTenant(t, v.ServeHTTP).Isolate(t.Context(), host, "")
			vendortest.WantClass(t, err, c.want)
			if f := vendortest.ErrorOf(t, err); f.Code != c.code || f.RequestID != "trace-1" || v.actions.Load() != 1 {
				t.Errorf("%+v, %d actions", f, v.actions.Load())
			}
		})
	}
}

func TestAConflictIsDecidedByTheState(t *testing.T) {
	const at = "2026-03-01T10:00:00Z"
	for _, c := range []struct {
		name, isolation, tasks string
		want                   models.VendorClass
		action                 string
	}{
		{"isolated meanwhile", "on", "", "", ""},
		{"being isolated meanwhile", "off", taskJSON("9", "isolate", "queued", host, at), "", "9"},
		{"being released", "on", taskJSON("9", "restoreIsolate", "queued", host, at), models.Throttled, ""},
		{"for no reason", "off", "", models.Ambiguous, ""},
	} {
		for _, conflict := range []http.HandlerFunc{vendortest.Answering(409, ""), vendortest.Answering(207, `[{"status":409}]`)} {
			v := inState("off", "", nil)
			v.action = func(w http.ResponseWriter, r *http.Request) {
				v.endpoint, v.tasks = endpointJSON(host, "PC-1", "desktop", c.isolation, "connected"), c.tasks
				conflict(w, r)
			}
			action, err := newTenant(t, v.ServeHTTP).Isolate(t.Context(), host, "")
			vendortest.WantClass(t, err, c.want)
			if action != c.action || v.actions.Load() != 1 {
				t.Errorf("%s: action %q, %d actions", c.name, action, v.actions.Load())
			}
		}
	}
}

func TestAnActionIsNeverSentTwice(t *testing.T) {
	v := inState("off", "", vendortest.Cut)
	_, err := newTenant(t, v.ServeHTTP).Isolate(t.Context(), host, "")
	vendortest.WantClass(t, err, models.Ambiguous)
	late := inState("on", "", vendortest.Hanging(func() {}))
	_, err = newTenant(t, late.ServeHTTP, time.Second).Release(t.Context(), host, "")
	vendortest.WantClass(t, err, models.Ambiguous)
	if v.actions.Load() != 1 || late.actions.Load() != 1 {
		t.Errorf("%d and %d actions", v.actions.Load(), late.actions.Load())
	}
}

func TestWithoutKnowingTheStateNothingIsSent(t *testing.T) {
	for status, want := range map[int]models.VendorClass{500: models.Transient, 403: models.Config, 404: models.Rejected, 429: models.Throttled} {
		tenant := newTenant(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Error("an action was sent")
			}
			vendortest.Answer(w, status, "")
		})
		_, err := tenant.Isolate(t.Context(), host, "")
		vendortest.WantClass(t, err, want)
	}
}

func TestThrottledSaysHowLong(t *testing.T) {
	for _, status := range []int{429, 207} {
		v := inState("on", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			vendortest.Answer(w, status, `[{"status":429}]`)
		})
		_, err := newTenant(t, v.ServeHTTP).Release(t.Context(), host, "")
		if f := vendortest.ErrorOf(t, err); f.Class != models.Throttled || f.RetryAfter != 9*time.Second {
			t.Errorf("%d: %+v", status, f)
		}
	}
}
