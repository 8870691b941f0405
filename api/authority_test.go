package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// draft adds a version of Acme's response authority with one rule that isolates without asking, and returns its number.
func (w *world) draft(rule string) int {
	w.Helper()
	var a authority.Authority
	w.must(http.StatusCreated, w.post("lead", w.clientPath("response-authority"), map[string]any{
		"rules": []any{map[string]any{"name": rule, "action": "isolated", "decision": "auto"}},
		"never": []string{"dc-*"}, "two_persons": []any{map[string]any{"tag": "production"}},
	})).into(w, &a)
	return a.Version
}

func (w *world) sign(who string, version int) answer {
	w.Helper()
	return w.post(who, w.clientPath("response-authority", strconv.Itoa(version), "sign"), nil)
}

// authorities lists the versions of Acme's response authority and which one holds.
func (w *world) authorities(who string) (list []authority.Authority, holds int) {
	w.Helper()
	var all struct {
		Items []authority.Authority
		Holds int
	}
	w.must(http.StatusOK, w.get(who, w.clientPath("response-authority"))).into(w, &all)
	return all.Items, all.Holds
}

// isolating is a dry run of an isolation, with changes.
func isolating(changes map[string]any) map[string]any {
	body := map[string]any{"action": "isolated", "hostname": "ws-1.acme.example"}
	maps.Copy(body, changes)
	return body
}

func (w *world) dryRun(who string, body map[string]any) (r authority.Ruling) {
	w.Helper()
	w.must(http.StatusOK, w.post(who, w.clientPath("response-authority", "dry-run"), body)).into(w, &r)
	return r
}

// ruled is a published incident whose endpoint e1 the response authority has ruled on.
func (w *world) ruled(d authority.Decision, persons int) models.Reference {
	w.Helper()
	ref := w.published()
	asset := authority.Asset{Hostname: "dc01", Class: models.ClassServer, Tags: []string{"production"}}
	w.happen(ref, models.System(),
		&incident.EndpointObserved{Endpoint: "e1", Generation: 1, AgentID: "agent-1", State: models.HostNormal, Online: true, Class: asset.Class, Tags: asset.Tags},
		&incident.ContainmentRuled{
			Endpoint: "e1", Generation: 1, Approval: "a1", AgentID: "agent-1", Asset: asset,
			Ruling: authority.Ruling{Decision: d, Rule: "servers", Version: 1, Persons: persons},
			Lease:  models.Duration(time.Hour), ApproveFor: models.Duration(time.Hour),
		})
	return ref
}

func (w *world) endpoint(who string, ref models.Reference) incident.Endpoint {
	w.Helper()
	var i incident.Incident
	w.must(http.StatusOK, w.get(who, at(ref))).into(w, &i)
	return i.Endpoints[0]
}

func TestTheClientSignsWhatTheSOCDrafts(t *testing.T) {
	w := newWorld(t)
	if list, holds := w.authorities("viewer"); len(list) != 0 || holds != 0 {
		t.Errorf("at first: %+v, %d holds", list, holds)
	}
	first, second := w.draft("first"), w.draft("second")
	if list, holds := w.authorities("admin"); len(list) != 2 || list[0].Version != second || list[0].DraftedBy != w.users["lead"].ID || holds != 0 {
		t.Errorf("drafts: %+v, %d holds", list, holds)
	}
	var signed authority.Authority
	w.must(http.StatusOK, w.sign("admin", first)).into(t, &signed)
	if signed.SignedBy != w.users["admin"].ID || time.Since(signed.SignedAt) > time.Minute {
		t.Errorf("signed: %+v", signed)
	}
	if _, holds := w.authorities("analyst"); holds != first {
		t.Errorf("%d holds", holds)
	}
	w.must(http.StatusOK, w.sign("admin", second))
	a := w.must(http.StatusConflict, w.sign("admin", first))
	if !strings.Contains(string(a.body), "version 2 is already signed") {
		t.Error(a)
	}
	third := w.draft("third")
	w.must(http.StatusOK, w.sign("admin", second)) // again
	if list, holds := w.authorities("viewer"); holds != second || list[0].Version != third || !list[0].SignedAt.IsZero() {
		t.Errorf("%+v, %d holds", list, holds)
	}
}

// Nobody of the SOC can sign, in any order of requests, and neither can other roles of the client or another client's
// admin.
func TestOnlyAnAdminOfTheClientSigns(t *testing.T) {
	w := newWorld(t)
	drafts := w.draft("first")
	rapid.Check(t, func(t *rapid.T) {
		if rapid.IntRange(0, 9).Draw(t, "draft") == 0 {
			drafts = w.draft("another")
		}
		who := rapid.SampledFrom([]string{"analyst", "lead", "operator", "viewer", "responder", "stranger"}).Draw(t, "who")
		a := w.sign(who, rapid.IntRange(1, drafts+1).Draw(t, "version"))
		want := map[models.Side]int{models.SideSOC: http.StatusConflict, models.SideClient: http.StatusForbidden}[w.users[who].Role.Side()]
		if who == "stranger" {
			want = http.StatusNotFound
		}
		if a.StatusCode != want {
			t.Fatalf("%s: %s", who, a)
		}
	})
	for _, who := range []string{"analyst", "lead", "operator"} { // past the API
		u := w.users[who]
		if _, err := w.desk.SignAuthority(t.Context(), u, w.acme.Number, 1); models.KindOf(err) != models.Conflict {
			t.Errorf("%s at the desk: %v", who, err)
		}
		u.Role, u.ClientID = models.RoleAdmin, w.acme.ID // who claims to be the client's
		if _, err := w.desk.SignAuthority(t.Context(), u, w.acme.Number, 1); err == nil {
			t.Errorf("%s signed as an admin", who)
		}
	}
	if list, holds := w.authorities("lead"); holds != 0 || slices.ContainsFunc(list, func(a authority.Authority) bool { return !a.SignedAt.IsZero() }) {
		t.Errorf("signed: %+v", list)
	}
}

func TestADryRunSaysWhatWouldBeDecided(t *testing.T) {
	w := newWorld(t) // Acme is in Prague, its business hours are always
	if r := w.dryRun("viewer", isolating(nil)); r != (authority.Ruling{Decision: "ask", Rule: "no response authority is signed", Persons: 1}) {
		t.Errorf("without a signature: %+v", r)
	}
	version := w.draft("workstations")
	if r := w.dryRun("analyst", isolating(nil)); r.Decision != "ask" || r.Version != 0 {
		t.Errorf("a draft holds: %+v", r)
	}
	if r := w.dryRun("analyst", isolating(map[string]any{"version": version})); r != (authority.Ruling{Decision: "auto", Rule: "workstations", Version: version, Persons: 1}) {
		t.Errorf("a draft is tried: %+v", r)
	}
	w.must(http.StatusOK, w.sign("admin", version))
	for _, who := range []string{"analyst", "lead", "operator", "viewer", "responder", "admin"} {
		for name, c := range map[string]struct {
			changes  map[string]any
			decision authority.Decision
			persons  int
		}{
			"a rule":           {nil, "auto", 1},
			"the list":         {map[string]any{"hostname": "DC-01.acme.example"}, "never", 1},
			"two persons":      {map[string]any{"tags": []string{"x", "production"}}, "ask", 2},
			"another action":   {map[string]any{"action": "released"}, "ask", 1},
			"all that it asks": {map[string]any{"class": "server", "severity": "low", "at": "2026-11-29T03:00"}, "auto", 1},
		} {
			if r := w.dryRun(who, isolating(c.changes)); r.Decision != c.decision || r.Persons != c.persons || r.Version != version {
				t.Errorf("%s by %s: %+v", name, who, r)
			}
		}
	}
	var answer struct{ Assumes []string }
	w.must(http.StatusOK, w.post("lead", w.clientPath("response-authority", "dry-run"), isolating(nil))).into(t, &answer)
	if !strings.Contains(strings.Join(answer.Assumes, " "), "name") {
		t.Errorf("the answer does not say that only the typed name was judged: %q", answer.Assumes)
	}
	if n := w.engine.Executed(); n != 0 {
		t.Errorf("%d dry runs had an effect", n)
	}
}

func TestADryRunKnowsTheClientsHoursAndTheSeverity(t *testing.T) {
	w := newWorld(t)
	var c models.Client
	w.must(http.StatusCreated, w.post("lead", "/api/v1/clients", newClientWith(`"business_hours":[{"days":["mon"],"from":"08:00","to":"18:00"}]`))).into(t, &c)
	w.acme = c // UTC, with business hours
	var draft authority.Authority
	w.must(http.StatusCreated, w.post("operator", w.clientPath("response-authority"), map[string]any{"rules": []any{
		map[string]any{"name": "at night", "action": "isolated", "hours": "outside", "severities": []string{"critical"}, "decision": "ask_then_auto"},
	}})).into(t, &draft)
	for _, test := range []struct {
		at, severity string
		want         authority.Decision
	}{
		{"2026-11-30T07:59", "", "ask_then_auto"}, {"2026-11-30T08:00", "", "ask"}, {"2026-11-30T18:00:00Z", "critical", "ask_then_auto"},
		{"2026-11-30T18:00:00+01:00", "critical", "ask"}, {"2026-11-30T18:00", "high", "ask"},
	} {
		body := isolating(map[string]any{"at": test.at, "version": draft.Version})
		if test.severity != "" {
			body["severity"] = test.severity
		}
		if r := w.dryRun("lead", body); r.Decision != test.want {
			t.Errorf("%s %s: %+v", test.at, test.severity, r)
		}
	}
}

func TestOnePersonApprovesAndTheClientsOwnRowBacksIt(t *testing.T) {
	w := newWorld(t)
	ref := w.ruled(authority.DecideAsk, 1)
	e := w.endpoint("viewer", ref)
	if e.AgentID != "agent-1" || e.Class != models.ClassServer || e.Approval.Granted || e.Approval.ID != "a1" || e.RequestedBy != w.users["analyst"].Actor() {
		t.Errorf("asked: %+v", e)
	}
	var a incident.CommandResult
	w.must(http.StatusOK, w.post("responder", at(ref, "approve"), map[string]any{"approval": "a1"})).into(t, &a)
	given := w.endpoint("viewer", ref).Approval
	if !given.Granted || len(given.Given) != 1 || given.Given[0].By != w.users["responder"].Actor() || given.Given[0].Via != "api" ||
		given.Given[0].Person != models.PersonOf("responder@users.example") {
		t.Errorf("approved: %+v", given)
	}
	w.ok(w.store.ForClient(t.Context(), store.Worker, w.acme.ID, func(tx *store.Tx) error {
		d, _, err := tx.Decision(a.RequestID, ref)
		if err == nil && (d.UserID != w.users["responder"].ID || d.Command != "approve") {
			t.Errorf("the decision: %+v", d)
		}
		return err
	}))
	w.must(http.StatusConflict, w.post("admin", at(ref, "approve"), map[string]any{"approval": "a1"})) // it is not open any more
}

// Whoever invites somebody sees the invitation, and may use it: the two are one person, and so are all whom one user
// invited, at second hand too. Whom the provider invited is another.
func TestNobodyIsASecondPersonWithAnInvitationOfTheirOwnMaking(t *testing.T) {
	w := newWorld(t)
	invite := func(by, who, role string) {
		var made struct{ Invitation, Secret string }
		w.must(http.StatusCreated, w.post(by, w.clientPath("users"), map[string]any{"name": who, "email": who + "@users.example", "role": role})).into(t, &made)
		w.tokens["invitation"] = made.Invitation
		w.must(http.StatusCreated, w.post("invitation", "/api/v1/tokens", map[string]any{"name": "laptop"})).into(t, &made)
		w.tokens[who] = made.Secret
	}
	invite("admin", "ghost", "admin")
	invite("ghost", "ghosts-ghost", "responder")
	invite("admin", "sibling", "responder")
	invite("operator", "nora", "responder")
	approve := map[string]any{"approval": "a1"}
	for _, pair := range [][2]string{{"admin", "ghost"}, {"ghost", "admin"}, {"admin", "ghosts-ghost"}, {"ghosts-ghost", "sibling"}} {
		ref := w.ruled(authority.DecideAsk, 2)
		w.must(http.StatusOK, w.post(pair[0], at(ref, "approve"), approve))
		a := w.must(http.StatusConflict, w.post(pair[1], at(ref, "approve"), approve))
		if e := w.endpoint("viewer", ref); e.Approval.Granted || !strings.Contains(string(a.body), "whom the provider invited") {
			t.Errorf("%v are two persons: %s", pair, a)
		}
		w.must(http.StatusOK, w.post("nora", at(ref, "approve"), approve))
		if e := w.endpoint("viewer", ref); !e.Approval.Granted {
			t.Errorf("%s and whom the provider invited are one: %+v", pair[0], e.Approval)
		}
	}
	// The consent of somebody who was disabled counts no more, and stands in nobody's way.
	ref := w.ruled(authority.DecideAsk, 2)
	w.must(http.StatusOK, w.post("ghost", at(ref, "approve"), approve))
	given := w.endpoint("viewer", ref).Approval.Given
	w.ok(w.store.ForLogins(t.Context(), w.acme.ID, func(tx *store.Tx) error {
		_, _, err := tx.ChangeUser(uuid.MustParse(given[0].By.ID), store.UserChange{Role: models.RoleAdmin, Disabled: true})
		return err
	}))
	w.must(http.StatusOK, w.post("admin", at(ref, "approve"), approve))
}

// One human has many ways to write their address: as a contact, whose word came first, and as a user.
func TestAHumanIsOnePersonHoweverTheAddressIsWritten(t *testing.T) {
	w := newWorld(t)
	for n, pair := range []struct{ contact, user, storedAs string }{
		{"eva@c.example", "eva@c.example", "Eva Z <eva@c.example>"}, // a row of before
		{"bo@c.example", "BO@C.example", ""},
		{"ada@bücher.example", "ada@xn--bcher-kva.example", ""},
		{"ben@xn--bcher-kva.example", "ben@Bücher.example", ""},
		{"cleo@bücher.example", "cleo@xn--bcher-kva.example", "cleo@bücher.example"},
		{"ines@c.example", "ines+2@c.example", ""},
		{"jan+1@c.example", "jan+2@c.example", ""},
		{"ｋai@c.example.", "kai@c.example", ""},
	} {
		who := fmt.Sprintf("human-%d", n)
		w.newUserAt(pair.user, who, w.acme.ID, models.RoleResponder)
		if pair.storedAs != "" {
			w.owner(fmt.Sprintf("update users set email = '%s' where id = '%s'", pair.storedAs, w.users[who].ID))
		}
		made := w.contactWith(map[string]any{"email": pair.contact})
		contact, err := store.Run(w.store.InClient(t.Context(), store.Worker, w.acme.ID), func(tx *store.Tx) (models.Contact, error) { return tx.Contact(made.ID) })
		w.ok(err)
		ref := w.ruled(authority.DecideAsk, 2)
		w.happen(ref, models.ContactActor(contact.ID), &incident.ApprovalGiven{Approval: "a1", Person: contact.Person(), Via: "voice"})
		if a := w.post(who, at(ref, "approve"), map[string]any{"approval": "a1"}); a.StatusCode != http.StatusConflict {
			t.Errorf("%s and %s are two persons: %s", pair.contact, pair.user, a)
		}
		w.must(http.StatusOK, w.post("admin", at(ref, "approve"), map[string]any{"approval": "a1"}))
	}
	w.owner("do $$ begin if exists (select from contacts where email !~ '^[a-z+0-9]+@[a-z0-9.-]+[a-z]$') then raise 'an address is stored as it was written'; end if; end $$")
	a := w.post("analyst", w.clientPath("contacts"), ada(map[string]any{"email": "Eva Z <eva@c.example>"}))
	if a.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(a.pointers(t), []string{"/email"}) {
		t.Errorf("a name beside the address: %s", a)
	}
	_, err := w.store.CreateUser(t.Context(), models.User{ClientID: w.acme.ID, Name: "Eva", Email: "Eva Z <eva@c.example>", Role: models.RoleResponder})
	if models.KindOf(err) != models.Invalid {
		t.Errorf("a user with a name beside the address: %v", err)
	}
}

func TestTwoPersonsAreTwoHumans(t *testing.T) {
	w := newWorld(t)
	ref := w.ruled(authority.DecideAsk, 2)
	approve := map[string]any{"approval": "a1"}
	w.must(http.StatusOK, w.post("responder", at(ref, "approve"), approve))
	a := w.must(http.StatusConflict, w.post("responder", at(ref, "approve"), approve))
	if !strings.Contains(string(a.body), "a second person must approve") {
		t.Error(a)
	}
	if e := w.endpoint("viewer", ref); e.Approval.Granted {
		t.Error("one person was enough")
	}
	w.must(http.StatusOK, w.post("admin", at(ref, "approve"), approve))
	if e := w.endpoint("viewer", ref); !e.Approval.Granted || len(e.Approval.Given) != 2 {
		t.Errorf("%+v", e.Approval)
	}
	ref = w.ruled(authority.DecideAsk, 2) // the same human on the phone, as a contact, and then in the portal
	w.happen(ref, models.Actor{Side: models.SideClient, ID: "contact:" + uuid.NewString()},
		&incident.ApprovalGiven{Approval: "a1", Person: models.PersonOf("Responder@Users.example "), Via: "voice"})
	w.must(http.StatusConflict, w.post("responder", at(ref, "approve"), approve))
	w.must(http.StatusOK, w.post("admin", at(ref, "approve"), approve))
}

func TestARefusalAndAnExtension(t *testing.T) {
	w := newWorld(t)
	ref := w.ruled(authority.DecideAsk, 2)
	w.must(http.StatusOK, w.post("admin", at(ref, "deny"), map[string]any{"approval": "a1", "reason": "Payroll runs on it."}))
	if e := w.endpoint("viewer", ref); e.Desired != models.DesiredReleased || e.Approval.Denied == nil || e.Approval.Denied.Reason != "Payroll runs on it." {
		t.Errorf("refused: %+v", e)
	}
	ref = w.ruled(authority.DecideAuto, 1)
	w.must(http.StatusConflict, w.post("admin", at(ref, "extend-isolation"), map[string]any{"endpoint": "e1", "reason": "Forensics."}))
	w.happen(ref, models.System(), &incident.EndpointObserved{Endpoint: "e1", Generation: 1, State: models.HostIsolated, Online: true},
		&incident.LeaseDue{Endpoint: "e1"})
	due := w.endpoint("viewer", ref)
	if due.ReviewDue.IsZero() || due.Class != models.ClassServer || due.AgentID != "agent-1" {
		t.Errorf("due: %+v", due)
	}
	w.must(http.StatusOK, w.post("admin", at(ref, "extend-isolation"), map[string]any{"endpoint": "e1", "reason": "Forensics."}))
	if e := w.endpoint("viewer", ref); !e.ReviewDue.IsZero() || e.ReviewAt.Before(due.ReviewDue.Add(time.Hour)) {
		t.Errorf("extended: %+v", e)
	}
	var list struct{ Items []incident.Event }
	w.must(http.StatusOK, w.get("viewer", at(ref, "events"))).into(t, &list)
	var seen []string
	for _, e := range list.Items {
		seen = append(seen, string(e.Type))
	}
	for _, kind := range []string{"containment_ruled", "endpoint_observed", "lease_due", "lease_extended"} {
		if !slices.Contains(seen, kind) {
			t.Errorf("the client does not see %s: %v", kind, seen)
		}
	}
}

// A client that was taken on before policies had these numbers gets the defaults: a lease of no time would never end.
func TestAnIncidentOfAnOldClientHasEveryNumber(t *testing.T) {
	w := newWorld(t)
	c, err := w.store.CreateClient(t.Context(), models.Client{LegalName: "Old", TimeZone: "UTC", Language: "en", CreatedAt: time.Now(), LiveAt: time.Now(),
		Policy: models.Policy{Rounds: 7}}, "client-old", "")
	w.ok(err)
	var i incident.Incident
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": c.Number, "title": "T", "severity": "low"})).into(t, &i)
	_, run, _ := w.engine.Started(i.Reference)
	if def := models.DefaultPolicy(); run.Policy.Lease != def.Lease || run.Policy.ApproveFor != def.ApproveFor || run.Policy.Rounds != 7 {
		t.Errorf("%+v", run.Policy)
	}
}

func TestAClientsPolicyHasItsOwnNumbersForApprovals(t *testing.T) {
	w := newWorld(t)
	var c models.Client
	w.must(http.StatusCreated, w.post("lead", "/api/v1/clients", newClientWith(`"policy":{"approve_for":"20m","lease":"12h"}`))).into(t, &c)
	if c.Policy.ApproveFor != models.Duration(20*time.Minute) || c.Policy.Lease != models.Duration(12*time.Hour) || c.Policy.Rounds != models.DefaultPolicy().Rounds {
		t.Errorf("%+v", c.Policy)
	}
}
