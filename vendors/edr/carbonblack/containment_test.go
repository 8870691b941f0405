package carbonblack

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func TestAnActionNamesExactlyOneDevice(t *testing.T) {
	for toggle, act := range map[string]func(*Tenant, context.Context, string, string) (string, error){
		"ON": (*Tenant).Isolate, "OFF": (*Tenant).Release,
	} {
		for _, good := range []struct {
			body   string
			status int
		}{{"", 204}, {"{}", 200}, {`{"device_id":[98765]}`, 200}} {
			asked := 0
			tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				body, _ := io.ReadAll(r.Body)
				want := `{"action_type":"QUARANTINE","device_id":[98765],"options":{"toggle":"` + toggle + `"}}`
				if r.Method != http.MethodPost || r.URL.Path != "/appservices/v6/orgs/ORG12345/device_actions" || r.URL.RawQuery != "" ||
					string(body) != want || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s %s", r.Method, r.URL, body)
				}
				vendortest.Answer(w, good.status, good.body)
			})
			action, err := act(tenant, t.Context(), id, "SI-1042-0007")
			vendortest.WantClass(t, err, "")
			if action != "" || asked != 1 {
				t.Errorf("action %q after %d requests", action, asked)
			}
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
		{"a 200 without a body", "", 200, models.Ambiguous, ""},
		{"a cut 200", `{"dev`, 200, models.Ambiguous, ""},
		{"a list", "[]", 200, models.Ambiguous, ""},
		{"null", "null", 200, models.Ambiguous, ""},
		{"an error inside 200", `{"error_code":"PARTIAL"}`, 200, models.Ambiguous, "PARTIAL"},
		{"another 2xx", `{}`, 202, models.Ambiguous, ""},
		{"bad request", `{"error_code":"INVALID"}`, 400, models.Rejected, "INVALID"},
		{"unknown", `{"error_code":"NOT_FOUND"}`, 404, models.Rejected, "NOT_FOUND"},
		{"key rejected", "", 401, models.Config, ""},
		{"not allowed", "", 403, models.Config, ""},
		{"broken", "", 500, models.Ambiguous, ""},
		{"proxy page", "<html>", 503, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			actions := 0
			tenant := cloud(t, func(w http.ResponseWriter, _ *http.Request) { actions++; vendortest.Answer(w, c.status, c.body) })
			_, err := tenant.Isolate(t.Context(), id, "")
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status || actions != 1 {
				t.Errorf("got %+v after %d actions", v, actions)
			}
		})
	}
}

func TestAConflictIsDecidedByTheState(t *testing.T) {
	for _, c := range []struct {
		name, read       string
		status           int
		isolate, release models.VendorClass
	}{
		{"quarantined", deviceJSON(98765, "PC-1", true), 200, "", models.Ambiguous},
		{"normal", deviceJSON(98765, "PC-1", false), 200, models.Ambiguous, ""},
		{"unreadable", "", 500, models.Ambiguous, models.Ambiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := cloud(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/device_actions") {
					vendortest.Answer(w, 409, "")
					return
				}
				vendortest.Answer(w, c.status, c.read)
			})
			_, err := tenant.Isolate(t.Context(), id, "")
			vendortest.WantClass(t, err, c.isolate)
			_, err = tenant.Release(t.Context(), id, "")
			vendortest.WantClass(t, err, c.release)
		})
	}
}
