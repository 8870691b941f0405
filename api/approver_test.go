package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
)

// confirmApprover lets somebody confirm Ada as an approver, with changes of what they say of her.
func (w *world) confirmApprover(who string, id uuid.UUID, changes map[string]any) answer {
	w.Helper()
	body := map[string]any{"phone": "+12025550100", "email": "ada@acme.example"}
	maps.Copy(body, changes)
	return w.post(who, contactPath(w, id, "confirm-approver"), body)
}

// approver returns the word on whether a contact may approve.
func (w *world) approver(who string, id uuid.UUID) *models.Approver {
	w.Helper()
	list := w.contacts(who)
	return list[slices.IndexFunc(list, func(c models.Contact) bool { return c.ID == id })].Approver
}

func TestAnAdminOfTheClientConfirmsApproversAndRevokesThem(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	for who, status := range map[string]int{
		"analyst": http.StatusConflict, "lead": http.StatusConflict, "operator": http.StatusConflict,
		"viewer": http.StatusForbidden, "responder": http.StatusForbidden, "stranger": http.StatusNotFound,
	} {
		a := w.must(status, w.confirmApprover(who, id, nil))
		if status == http.StatusConflict && !strings.Contains(string(a.body), "only the client may") {
			t.Error(a)
		}
	}
	w.must(http.StatusConflict, w.confirmApprover("admin", id, map[string]any{"phone": "+12025550101"}))
	w.must(http.StatusConflict, w.confirmApprover("admin", id, map[string]any{"email": ""}))
	w.must(http.StatusNotFound, w.confirmApprover("admin", uuid.New(), nil))
	if a := w.approver("admin", id); a != nil {
		t.Errorf("nobody confirmed: %+v", a)
	}
	before := len(w.changes("admin"))
	var c models.Contact
	w.must(http.StatusOK, w.confirmApprover("admin", id, nil)).into(t, &c)
	if a := w.approver("analyst", id); a == nil || a.By != w.users["admin"].ID || a.PIN || c.Approver == nil || *c.Approver != *a {
		t.Errorf("confirmed: %+v, answered %+v", a, c.Approver)
	}
	w.must(http.StatusOK, w.confirmApprover("admin", id, nil)) // again
	if entries := w.changes("admin"); entries[0].Operation != "confirm-approver" || len(entries) != before+1 || entries[0].Subject != id.String() {
		t.Errorf("the audit log: %+v", entries)
	}
	w.must(http.StatusConflict, w.post("lead", contactPath(w, id, "revoke-approver"), nil))
	w.must(http.StatusOK, w.post("admin", contactPath(w, id, "revoke-approver"), nil))
	w.must(http.StatusOK, w.post("admin", contactPath(w, id, "revoke-approver"), nil))
	if a := w.approver("viewer", id); a != nil || len(w.changes("admin")) != before+2 {
		t.Errorf("revoked: %+v, %d changes", a, len(w.changes("admin")))
	}
}

// There and back again is a change, too: somebody else may have answered there.
func TestAnApproverWhoIsReachedElsewhereIsNoneAnyMore(t *testing.T) {
	w := newWorld(t)
	for name, changes := range map[string][]map[string]any{
		"another number":     {{"phone": "+12025550199"}},
		"another address":    {{"email": "eve@acme.example"}},
		"there and back":     {{"phone": "+12025550199"}, nil},
		"no number any more": {{"phone": nil, "channels": []string{"email"}}},
	} {
		id := w.contact()
		w.must(http.StatusOK, w.confirmApprover("admin", id, nil))
		w.must(http.StatusOK, w.put("lead", contactPath(w, id), ada(map[string]any{"name": "Ada B", "order": 9})))
		if w.approver("admin", id) == nil {
			t.Errorf("%s: another name and place end it", name)
		}
		for _, change := range changes {
			var c models.Contact
			w.must(http.StatusOK, w.put("analyst", contactPath(w, id), ada(change))).into(t, &c)
			if c.Approver != nil {
				t.Errorf("%s: answered %+v", name, c.Approver)
			}
		}
		if a := w.approver("admin", id); a != nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAPINIsKeptAndNeverShown(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	for _, pin := range []string{"123", "123456789", "12a4", "١٢٣٤", " 1234"} {
		a := w.must(http.StatusUnprocessableEntity, w.confirmApprover("admin", id, map[string]any{"pin": pin}))
		if !strings.Contains(string(a.body), "/pin") || strings.Contains(string(a.body), pin) {
			t.Errorf("%q: %s", pin, a)
		}
	}
	const pin = "73914620"
	a := w.must(http.StatusOK, w.confirmApprover("admin", id, map[string]any{"pin": pin}))
	if got := w.approver("analyst", id); got == nil || !got.PIN || strings.Contains(string(a.body), pin) {
		t.Errorf("%+v, answered %s", got, a)
	}
	w.must(http.StatusOK, w.confirmApprover("admin", id, map[string]any{"pin": "5678"}))
	w.must(http.StatusOK, w.confirmApprover("admin", id, nil))
	if got := w.approver("analyst", id); got == nil || got.PIN {
		t.Errorf("confirmed again without a PIN: %+v", got)
	}
}

func TestGoLiveAndDryRunSayWhoMayApprove(t *testing.T) {
	w := newWorld(t)
	w.must(http.StatusOK, w.put("lead", w.clientPath(), map[string]any{"legal_name": "Acme", "time_zone": "Europe/Prague", "language": "en",
		"contract": map[string]any{"start": "2026-01-01T00:00:00Z", "end": "2030-12-31T00:00:00Z", "plan": "mdr"}}))
	draft := map[string]any{"rules": []any{
		map[string]any{"name": "ask at night", "action": "isolated", "decision": "ask", "severities": []string{"critical", "high"}, "hours": "outside"},
		map[string]any{"name": "by day", "action": "isolated", "decision": "auto", "hours": "business"},
	}, "never": []string{}, "two_persons": []any{}}
	var drafted struct{ Version int }
	w.must(http.StatusCreated, w.post("lead", w.clientPath("response-authority"), draft)).into(t, &drafted)
	w.must(http.StatusOK, w.sign("admin", drafted.Version))
	missing := func() []string {
		t.Helper()
		var g desk.GoLive
		w.must(http.StatusOK, w.get("viewer", w.clientPath("go-live"))).into(t, &g)
		n := slices.IndexFunc(g.Checks, func(c models.GoLiveCheck) bool { return c.Name == "approvers" })
		if g.Checks[n].Passed != (len(g.Checks[n].Details) == 0) || g.Ready && !g.Checks[n].Passed {
			t.Errorf("%+v", g)
		}
		return g.Checks[n].Details
	}
	asked := func(at, severity string) int {
		t.Helper()
		var r struct{ Approvers int }
		w.must(http.StatusOK, w.post("viewer", w.clientPath("response-authority", "dry-run"), isolating(map[string]any{"at": at, "severity": severity}))).into(t, &r)
		return r.Approvers
	}
	const night, day = "2026-11-29T03:00", "2026-12-01T12:00"
	w.contactWith(map[string]any{"severities": []string{"high"}, "channels": []string{"email"}}) // of whom nobody is called
	id := w.contactWith(map[string]any{"severities": []string{"critical"}, "channels": []string{"voice"}}).ID
	w.must(http.StatusOK, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode("voice", w.code(id, "voice"))))
	got := missing()
	for _, first := range []string{
		`rule "ask at night", severity critical, high: no approver can be called from mon 18:00 to tue 08:00`,
		`rule "by day" past the limit of isolations, severity critical, high, medium, low: no approver can be called from mon 08:00 to mon 18:00`,
		`it may be a domain controller, and no rule that permits names its class, severity critical, high, medium, low: no approver can be called from mon 08:00 to mon 18:00`,
		`no rule matches, severity medium, low: no approver can be called from mon 18:00 to tue 08:00`,
	} {
		if !slices.Contains(got, first) {
			t.Errorf("nobody is confirmed: %q does not say %q", got, first)
		}
	}
	if len(got) != 4*5 || asked(night, "critical") != 0 {
		t.Errorf("nobody is confirmed: %q, %d asked", got, asked(night, "critical"))
	}
	w.must(http.StatusOK, w.confirmApprover("admin", id, nil))
	if got := missing(); len(got) != 0 {
		t.Errorf("one is confirmed, who is told of critical alone: %q", got)
	}
	if asked(night, "critical") != 1 || asked(night, "high") != 1 || asked(day, "critical") != 0 {
		t.Errorf("asked at night %d, at night for high %d, by day %d", asked(night, "critical"), asked(night, "high"), asked(day, "critical"))
	}
	w.must(http.StatusOK, w.put("lead", contactPath(w, id), ada(map[string]any{"channels": []string{"voice"}})))
	if got := missing(); len(got) != 0 || asked(night, "high") != 1 {
		t.Errorf("one is confirmed, for both: %q, %d asked", got, asked(night, "high"))
	}
	draft["two_persons"] = []any{map[string]any{"class": "server"}}
	w.must(http.StatusCreated, w.post("lead", w.clientPath("response-authority"), draft)).into(t, &drafted)
	w.must(http.StatusOK, w.sign("admin", drafted.Version))
	const two = "two persons must agree, severity critical, high, medium, low: fewer than 2 approvers with different mail addresses can be called at any time"
	wants := func(when, detail string, people int) {
		t.Helper()
		var r struct{ Persons, Approvers int }
		w.must(http.StatusOK, w.post("viewer", w.clientPath("response-authority", "dry-run"), isolating(map[string]any{"class": "server", "at": day, "severity": "high"}))).into(t, &r)
		if got := strings.Join(missing(), "; "); got != detail || r.Persons != 2 || r.Approvers != people {
			t.Errorf("%s: %q, asked %+v", when, got, r)
		}
	}
	second := func(email, phone string) {
		t.Helper()
		id := w.contactWith(map[string]any{"email": email, "phone": phone, "channels": []string{"voice"}}).ID
		w.must(http.StatusOK, w.post("analyst", contactPath(w, id, "confirm-channel"), withCode("voice", w.code(id, "voice"))))
		w.must(http.StatusOK, w.confirmApprover("admin", id, map[string]any{"email": email, "phone": phone}))
	}
	w.must(http.StatusOK, w.confirmApprover("admin", id, nil))
	wants("one person", two, 1)
	second("ada+2@acme.example", "+12025550102")
	wants("one person with two phones", two, 1)
	second("bob@acme.example", "+12025550103")
	wants("two persons", "", 2)
}

// Neither the dry run nor the check before going live counts whose consent never counts.
func TestTheDryRunCountsNobodyWhoNeverApproves(t *testing.T) {
	w := newWorld(t)
	for name, email := range map[string]string{"a user of the SOC": w.users["analyst"].Email, "a disabled user": w.users["responder"].Email} {
		c := w.contactWith(map[string]any{"email": email, "channels": []string{"email", "voice"}})
		w.must(http.StatusOK, w.post("analyst", contactPath(w, c.ID, "confirm-channel"), withCode("voice", w.code(c.ID, "voice"))))
		w.must(http.StatusOK, w.confirmApprover("admin", c.ID, map[string]any{"email": email, "phone": c.Phone}))
		if name == "a disabled user" {
			w.disable("responder")
		}
		var r struct{ Approvers int }
		w.must(http.StatusOK, w.post("viewer", w.clientPath("response-authority", "dry-run"), isolating(map[string]any{"severity": "critical"}))).into(t, &r)
		if r.Approvers != 0 {
			t.Errorf("%s is one of %d approvers whose consent would count", name, r.Approvers)
		}
		w.must(http.StatusNoContent, w.send(w.request("admin", http.MethodDelete, contactPath(w, c.ID), nil)))
	}
}
