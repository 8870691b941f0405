package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

const edrSecret = "edr-secret-4711"

func edrCredentials() map[string]any {
	return map[string]any{"vendor": "crowdstrike", "base_url": "https://api.eu-1.crowdstrike.com",
		"values": map[string]any{"client_id": "0123456789abcdef", "client_secret": edrSecret}}
}

func TestCredentialsOfAnEDRGoInAndNeverOut(t *testing.T) {
	w := newWorld(t)
	set := w.must(http.StatusOK, w.put("lead", w.clientPath("edr"), edrCredentials()))
	var e models.EDR
	if set.into(t, &e); e.Vendor != "crowdstrike" {
		t.Errorf("%s", set)
	}
	wrong := edrCredentials()
	wrong["vendor"] = "unknown"
	refused := w.must(http.StatusUnprocessableEntity, w.put("lead", w.clientPath("edr"), wrong))
	if !slices.Equal(refused.pointers(t), []string{"/vendor"}) {
		t.Error(refused)
	}
	wrong = edrCredentials()
	wrong["values"] = map[string]any{"client_secret": strings.Repeat(edrSecret, 1000)}
	long := w.must(http.StatusUnprocessableEntity, w.put("lead", w.clientPath("edr"), wrong))
	check := w.must(http.StatusOK, w.post("analyst", w.clientPath("edr", "check"), nil))
	var found models.EDRCheck
	if check.into(t, &found); !found.OK || !found.Capabilities.Actions {
		t.Errorf("%s", check)
	}
	for _, a := range []answer{set, refused, long, check, w.get("lead", w.clientPath())} {
		if strings.Contains(string(a.body), edrSecret) {
			t.Errorf("an answer holds the secret: %s", a)
		}
	}
	if strings.Contains(w.logs.String(), edrSecret) {
		t.Error("the logs hold the secret")
	}
	w.must(http.StatusNotFound, w.post("lead", "/api/v1/clients/1002/edr/check", nil)) // it has no EDR
	w.must(http.StatusNotFound, w.get("lead", "/api/v1/clients/1002/edr"))
}

func TestThePeopleOfTheSOCLearnWhatCredentialsAre(t *testing.T) {
	w := newWorld(t)
	var list struct{ Items []models.EDRProduct }
	w.must(http.StatusOK, w.get("analyst", "/api/v1/edr-products")).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Vendor != "crowdstrike" || list.Items[0].Title == "" || !list.Items[0].Fields[1].Secret {
		t.Errorf("%+v", list)
	}
}

func TestAnEDRIsSeenAndTakenBack(t *testing.T) {
	w := newWorld(t)
	w.must(http.StatusOK, w.put("lead", w.clientPath("edr"), edrCredentials()))
	w.must(http.StatusOK, w.post("analyst", w.clientPath("edr", "check"), nil))
	var s models.EDRStatus
	seen := w.must(http.StatusOK, w.get("analyst", w.clientPath("edr")))
	if seen.into(t, &s); s.Vendor != "crowdstrike" || s.BaseURL == "" || s.Values["client_id"] != "0123456789abcdef" || s.SetBy != w.users["lead"].ID ||
		s.Check == nil || !s.Check.OK || s.Changed || strings.Contains(string(seen.body), edrSecret) {
		t.Errorf("%s", seen)
	}
	w.published() // a device is being isolated
	moved := edrCredentials()
	moved["base_url"] = "https://api.us-2.crowdstrike.com"
	refused := w.must(http.StatusConflict, w.put("lead", w.clientPath("edr"), moved))
	if !slices.Equal(refused.pointers(t), []string{"/base_url"}) {
		t.Error(refused)
	}
	w.must(http.StatusConflict, w.remove("lead", w.clientPath("edr")))
	w.must(http.StatusOK, w.put("lead", w.clientPath("edr"), edrCredentials())) // the secret alone may change
}
