package crowdstrike

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/internal/vendortest"
)

func TestActionsNameExactlyOneHost(t *testing.T) {
	for _, c := range []struct {
		name, query, comment, body string
		act                        func(*Tenant, context.Context, string, string) (string, error)
	}{
		{"isolate", "action_name=contain", "SI-1042-0007\r\nby analyst",
			`{"ids":["` + aid + `"],"action_parameters":[{"name":"comment","value":"SI-1042-0007 by analyst"}]}`, (*Tenant).Isolate},
		{"release", "action_name=lift_containment", "", `{"ids":["` + aid + `"]}`, (*Tenant).Release},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.Path != "/devices/entities/devices-actions/v2" ||
					r.URL.RawQuery != c.query || string(body) != c.body {
					t.Errorf("%s %s %s", r.Method, r.URL, body)
				}
				if r.Header.Get("Authorization") != "Bearer token-1" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("headers %v", r.Header)
				}
				vendortest.Answer(w, 202, enveloped(`[{"id":"`+aid+`","path":"/devices/entities/devices/v1"}]`, "[]"))
			}).falcon(t)
			vendortest.WantClass(t, only(c.act(f, t.Context(), aid, c.comment)), "")
		})
	}
}

func TestIsolateFailures(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       models.VendorClass
		code       string
	}{
		{"error inside 202", enveloped("[]", `[{"code":404,"message":"No device","id":"`+aid+`"}]`), 202, models.Rejected, "404"},
		{"error beside the host", enveloped(`[{"id":"`+aid+`"}]`, `[{"code":500,"message":"x"}]`), 202, models.Ambiguous, "500"},
		{"scope missing inside 202", enveloped("[]", `[{"code":403,"message":"x"}]`), 202, models.Config, "403"},
		{"host protected", enveloped("[]", `[{"code":403,"message":"x","id":"`+aid+`"}]`), 202, models.Rejected, "403"},
		{"error without code", enveloped("[]", `[{"message":"x"}]`), 202, models.Ambiguous, ""},
		{"nobody affected", enveloped("[]", "[]"), 202, models.Ambiguous, ""},
		{"another host affected", enveloped(`[{"id":"other"}]`, "[]"), 202, models.Ambiguous, ""},
		{"two affected", enveloped(`[{"id":"`+aid+`"},{"id":"other"}]`, "[]"), 202, models.Ambiguous, ""},
		{"empty 202", "", 202, models.Ambiguous, ""},
		{"cut 202", `{"resources":[{"id"`, 202, models.Ambiguous, ""},
		{"bad request", enveloped("[]", `[{"code":400,"message":"x"}]`), 400, models.Rejected, "400"},
		{"scope missing", enveloped("[]", `[{"code":403,"message":"x"}]`), 403, models.Config, "403"},
		{"broken", enveloped("[]", `[{"code":500,"message":"x"}]`), 500, models.Ambiguous, "500"},
		{"proxy page", "<html>", 503, models.Ambiguous, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := only(newCloud(t, vendortest.Answering(c.status, c.body)).falcon(t).Isolate(t.Context(), aid, ""))
			vendortest.WantClass(t, err, c.want)
			if v := vendortest.ErrorOf(t, err); v.Code != c.code || v.HTTPStatus != c.status || v.RequestID != "trace-1" {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestConflictIsDecidedByTheState(t *testing.T) {
	conflictHTTP := vendortest.Answering(409, enveloped("[]", `[{"code":409,"message":"x"}]`))
	conflictInside := vendortest.Answering(202, enveloped("[]", `[{"code":409,"message":"x"}]`))
	for _, c := range []struct {
		status           string
		isolate, release models.VendorClass
	}{
		{"contained", "", models.Ambiguous},
		{"containment_pending", "", models.Throttled},
		{"normal", models.Ambiguous, ""},
		{"lift_containment_pending", models.Throttled, ""},
		{"strange", models.Ambiguous, models.Ambiguous},
	} {
		for _, conflict := range []http.HandlerFunc{conflictHTTP, conflictInside} {
			fl := &fleet{devices: "[" + deviceJSON(aid, "PC-1", c.status) + "]"}
			f := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/devices/entities/devices-actions/v2" {
					conflict(w, r)
					return
				}
				fl.ServeHTTP(w, r)
			}).falcon(t)
			vendortest.WantClass(t, only(f.Isolate(t.Context(), aid, "")), c.isolate)
			vendortest.WantClass(t, only(f.Release(t.Context(), aid, "")), c.release)
		}
	}
	unreadable := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/devices/entities/devices-actions/v2" {
			conflictHTTP(w, r)
			return
		}
		vendortest.Answer(w, 500, "")
	}).falcon(t)
	vendortest.WantClass(t, only(unreadable.Isolate(t.Context(), aid, "")), models.Ambiguous)
}
