package api_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// count asks the owner of the database for a number.
func (w *world) count(sql string, args ...any) (n int) {
	w.Helper()
	w.ok(w.ownerRow(sql, args...).Scan(&n))
	return n
}

// during answers a request while something happens after its sender was identified, and before its body is read.
func (w *world) during(r *http.Request, fn func()) answer {
	w.Helper()
	r.Body = &interrupted{Reader: r.Body, fn: fn}
	return w.send(r)
}

type interrupted struct {
	io.Reader
	fn func()
}

func (i *interrupted) Read(p []byte) (int, error) {
	if i.fn != nil {
		i.fn()
		i.fn = nil
	}
	return i.Reader.Read(p)
}

func (i *interrupted) Close() error { return nil }

func (w *world) disable(who string) {
	w.Helper()
	w.change(who, store.UserChange{Role: w.users[who].Role, Disabled: true})
}

func TestWhoIsDisabledHasNothingLeft(t *testing.T) {
	w := newWorld(t)
	for _, who := range []string{"analyst", "viewer"} {
		w.must(http.StatusOK, w.get(who, "/api/v1/incidents"))
		w.disable(who)
		w.must(http.StatusUnauthorized, w.get(who, "/api/v1/incidents"))
		w.change(who, store.UserChange{Role: w.users[who].Role})
		w.must(http.StatusUnauthorized, w.get(who, "/api/v1/incidents"))
	}
}

// A request that is under way counts for nothing when its sender is disabled, or gets another role, before it is carried
// out: neither one that changes a setting, nor a decision, nor a command of the SOC.
func TestARightThatIsLostInTheMiddleOfARequest(t *testing.T) {
	paths := map[string]func(*world, models.Reference) (string, any){
		"admin/decision": func(_ *world, ref models.Reference) (string, any) {
			return at(ref, "comment"), map[string]any{"text": "Close it."}
		},
		"admin/setting": func(w *world, _ models.Reference) (string, any) {
			return w.clientPath("pause-isolation"), map[string]any{"reason": "r"}
		},
		"admin/user": func(w *world, _ models.Reference) (string, any) {
			return w.clientPath("users"), map[string]any{"name": "N", "email": "n@users.example", "role": "admin"}
		},
		"admin/token": func(*world, models.Reference) (string, any) { return "/api/v1/tokens", map[string]any{"name": "n"} },
		"analyst/command": func(_ *world, ref models.Reference) (string, any) {
			return at(ref, "comment"), map[string]any{"text": "We look."}
		},
		"analyst/alert": func(w *world, _ models.Reference) (string, any) {
			return "/api/v1/alerts", map[string]any{"client": w.acme.Number, "source": "realtime", "finding_id": "f", "title": "T", "severity": "high"}
		},
		"analyst/open": func(w *world, _ models.Reference) (string, any) {
			return "/api/v1/incidents", map[string]any{"client": w.acme.Number, "title": "T", "severity": "high"}
		},
	}
	for name, make := range paths {
		who, _, _ := strings.Cut(name, "/")
		for how, to := range map[string]store.UserChange{
			"disabled": {Role: models.Role(who), Disabled: true},
			"demoted":  {Role: map[string]models.Role{"admin": models.RoleViewer, "analyst": models.RoleLead}[who]},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				w := newWorld(t)
				w.newUser("deputy", w.acme.ID, models.RoleAdmin) // the last admin stays
				ref := w.published()
				path, body := make(w, ref)
				before := w.rows()
				asked := w.asked()
				r := w.request(who, http.MethodPost, path, body)
				r.Header.Set("Idempotency-Key", w.newKey())
				w.must(http.StatusUnauthorized, w.during(r, func() { w.change(who, to) }))
				after := w.rows()
				for table := range before {
					if after[table] != before[table] && !slices.Contains([]string{"public.users", "public.tokens", "public.audit_log", "public.soc_audit_log", "public.limits"}, table) {
						t.Errorf("rows of %s changed", table)
					}
				}
				if w.asked() != asked {
					t.Error("the engine was asked")
				}
				if n := w.count("select count(*) from audit_log where by_user = $1", w.users[who].ID) + w.count("select count(*) from users where email = 'n@users.example'"); n > 0 {
					t.Errorf("%d rows of the sender", n)
				}
			})
		}
	}
}

func TestAnAdminManagesTheirOwnUsersAlone(t *testing.T) {
	w := newWorld(t)
	users := w.clientPath("users")
	var invited struct {
		User       models.Account
		Invitation string
	}
	body := map[string]any{"name": "Nora", "email": "nora@users.example", "role": "responder"}
	w.must(http.StatusCreated, w.post("admin", users, body)).into(t, &invited)
	if got := w.must(http.StatusUnprocessableEntity, w.post("admin", users, map[string]any{"name": "N", "email": "x@users.example", "role": "operator"})).pointers(t); !slices.Equal(got, []string{"/role"}) {
		t.Errorf("a role of the SOC: %v", got)
	}
	var list struct{ Items []models.Account }
	w.must(http.StatusOK, w.get("admin", users)).into(t, &list)
	for _, a := range list.Items {
		if a.ClientID != w.acme.ID {
			t.Errorf("the admin sees %s", a.Email)
		}
	}
	if len(list.Items) != 4 {
		t.Errorf("the admin sees %d users, want 4", len(list.Items))
	}
	for _, foreign := range []string{"stranger", "analyst"} {
		path := users + "/" + w.users[foreign].ID.String()
		w.must(http.StatusNotFound, w.send(w.request("admin", http.MethodPut, path, map[string]any{"role": "viewer", "disabled": true})))
		w.must(http.StatusOK, w.get(foreign, "/api/v1/incidents"))
	}
	change := func(who string, of uuid.UUID, role string, disabled bool) answer {
		return w.send(w.request(who, http.MethodPut, users+"/"+of.String(), map[string]any{"role": role, "disabled": disabled}))
	}
	own := w.users["admin"].ID
	w.must(http.StatusConflict, change("operator", own, "viewer", false)) // the last admin's
	w.must(http.StatusConflict, change("operator", own, "admin", true))
	w.must(http.StatusOK, change("admin", invited.User.ID, "admin", false))
	w.must(http.StatusConflict, change("admin", own, "viewer", false)) // one's own role, though there is another admin
	w.must(http.StatusOK, change("operator", own, "viewer", false))
	w.must(http.StatusConflict, change("operator", invited.User.ID, "admin", true))
	operator := "/api/v1/users/" + w.users["operator"].ID.String()
	w.must(http.StatusConflict, w.send(w.request("operator", http.MethodPut, operator, map[string]any{"role": "operator", "disabled": true, "limited": false})))

	var log struct{ Items []models.AuditEntry }
	w.must(http.StatusOK, w.get("operator", w.clientPath("audit-log"))).into(t, &log)
	var operations []string
	for _, e := range log.Items {
		operations = append(operations, e.Operation+" "+strings.Join(e.Fields, ",")+" "+e.ByName)
	}
	want := []string{"update-client-user role operator", "update-client-user role admin", "invite-client-user email,name,role admin", "create-client-service-token expires_at,name,operations operator"}
	if !slices.Equal(operations, want) {
		t.Errorf("the audit log says %q, want %q", operations, want)
	}
}

func TestAnInvitationBuysOneToken(t *testing.T) {
	w := newWorld(t)
	invite := func() string {
		var made struct{ Invitation string }
		w.must(http.StatusCreated, w.post("operator", "/api/v1/users", map[string]any{"name": "Nora", "email": "nora@soc.example", "role": "analyst"})).into(t, &made)
		return made.Invitation
	}
	w.tokens["first"] = invite()
	w.tokens["invited"] = invite() // the first one was lost
	w.must(http.StatusUnauthorized, w.post("first", "/api/v1/tokens", map[string]any{"name": "n"}))
	w.must(http.StatusForbidden, w.get("invited", "/api/v1/incidents"))
	w.must(http.StatusForbidden, w.get("invited", "/api/v1/tokens"))
	var made struct {
		Secret string
		Token  models.Token
	}
	w.must(http.StatusCreated, w.post("invited", "/api/v1/tokens", map[string]any{"name": "laptop"})).into(t, &made)
	w.must(http.StatusUnauthorized, w.post("invited", "/api/v1/tokens", map[string]any{"name": "again"}))
	w.tokens["nora"] = made.Secret
	w.must(http.StatusOK, w.get("nora", "/api/v1/incidents"))
	w.must(http.StatusConflict, w.post("operator", "/api/v1/users", map[string]any{"name": "Nora", "email": "NORA@soc.example", "role": "analyst"}))

	list := w.must(http.StatusOK, w.get("nora", "/api/v1/tokens"))
	if strings.Contains(string(list.body), made.Secret) || !strings.Contains(string(list.body), `"prefix":"`+made.Secret[:9]+`"`) {
		t.Errorf("the list is %s", list)
	}
	if left := time.Until(made.Token.ExpiresAt); left < 89*24*time.Hour || left > 91*24*time.Hour {
		t.Errorf("the token expires in %s", left)
	}
	w.must(http.StatusUnprocessableEntity, w.post("nora", "/api/v1/tokens", map[string]any{"name": "n", "days": 366}))
	w.must(http.StatusConflict, w.post("nora", "/api/v1/tokens", map[string]any{"name": "laptop"}))
	path := "/api/v1/tokens/" + made.Token.ID.String()
	w.must(http.StatusNotFound, w.send(w.request("analyst", http.MethodDelete, path, nil)))
	w.must(http.StatusNoContent, w.send(w.request("nora", http.MethodDelete, path, nil)))
	w.must(http.StatusUnauthorized, w.get("nora", "/api/v1/tokens"))
}

// An admin who disables a colleague cannot take their place with an invitation; the provider may send them one.
func TestNobodyIsInvitedInAColleaguesPlace(t *testing.T) {
	w := newWorld(t)
	users := w.clientPath("users")
	again := map[string]any{"name": "R", "email": w.users["responder"].Email, "role": "responder"}
	for _, off := range []bool{true, false} {
		w.must(http.StatusOK, w.send(w.request("admin", http.MethodPut, users+"/"+w.users["responder"].ID.String(), map[string]any{"role": "responder", "disabled": off})))
	}
	if a := w.must(http.StatusConflict, w.post("admin", users, again)); !strings.Contains(string(a.body), "ask the provider") {
		t.Errorf("the admin is told %s", a)
	}
	if n := w.count("select count(*) from tokens where user_id = $1", w.users["responder"].ID); n != 0 {
		t.Errorf("there are %d tokens of the colleague", n)
	}
	w.must(http.StatusCreated, w.post("operator", users, again))
	w.must(http.StatusConflict, w.post("admin", users, again)) // the invitation waits for the colleague
}

func TestTheUseOfATokenIsNotedOnceAMinute(t *testing.T) {
	w := newWorld(t)
	writes := func() int {
		return w.count("select count(*) from tokens where last_used_at is not null and user_id = $1", w.users["viewer"].ID)*1000 +
			w.count("select xmin::text::int % 1000 from tokens where user_id = $1", w.users["viewer"].ID)
	}
	w.must(http.StatusOK, w.get("viewer", "/api/v1/incidents"))
	first := writes()
	for range 5 {
		w.must(http.StatusOK, w.get("viewer", "/api/v1/incidents"))
	}
	if first < 1000 || writes() != first {
		t.Errorf("the row was written again, or never")
	}
	w.owner("update tokens set last_used_at = now() - interval '61 seconds'")
	w.must(http.StatusOK, w.get("viewer", "/api/v1/incidents"))
	if n := w.count("select count(*) from tokens where last_used_at > now() - interval '10 seconds' and user_id = $1", w.users["viewer"].ID); n != 1 {
		t.Error("a use a minute later was not noted")
	}
}

func TestAMachineHandsInAlertsAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.newMachine("soc machine", 0)
	handIn := func(who string, client models.Client, source string) answer {
		return w.post(who, "/api/v1/alerts", map[string]any{"client": client.Number, "source": source, "finding_id": w.newKey(), "title": "T", "severity": "high"})
	}
	var made struct{ Alert models.Alert }
	w.must(http.StatusCreated, handIn("machine", w.acme, "integration")).into(t, &made)
	if id := w.count("select count(*) from service_tokens where id = $1 and client_id = $2", made.Alert.ReportedBy, w.acme.ID); id != 1 || made.Alert.ServiceToken != "machine" {
		t.Errorf("the alert names %s %q", made.Alert.ReportedBy, made.Alert.ServiceToken)
	}
	w.must(http.StatusNotFound, handIn("machine", w.other, "integration"))
	w.must(http.StatusUnprocessableEntity, handIn("machine", w.acme, "realtime"))
	w.must(http.StatusCreated, handIn("soc machine", w.other, "realtime"))
	for _, who := range []string{"machine", "soc machine"} { // the answer does not tell what exists
		w.must(http.StatusForbidden, w.get(who, at(w.incident())))
		w.must(http.StatusForbidden, w.get(who, at(models.NewReference(w.acme.Number, 9999))))
	}
	for _, wrong := range [][]string{{"comment"}, {}, {"receive-alert", "get-alert"}} {
		w.must(http.StatusUnprocessableEntity, w.post("operator", w.clientPath("service-tokens"), map[string]any{"name": "wrong", "operations": wrong}))
	}
	_, secret, err := w.desk.CreateServiceToken(t.Context(), w.users["admin"], w.acme.Number, "narrow", []string{"receive-ocsf"}, 1)
	w.ok(err)
	w.tokens["narrow"] = secret
	w.must(http.StatusForbidden, handIn("narrow", w.acme, "integration"))

	path := w.clientPath("service-tokens") + "/" + made.Alert.ReportedBy.String()
	w.must(http.StatusNotFound, w.send(w.request("stranger", http.MethodDelete, path, nil)))
	w.must(http.StatusNotFound, w.send(w.request("operator", http.MethodDelete, "/api/v1/service-tokens/"+made.Alert.ReportedBy.String(), nil)))
	r := w.request("machine", http.MethodPost, "/api/v1/alerts", map[string]any{"client": w.acme.Number, "source": "integration", "finding_id": "late", "title": "T", "severity": "high"})
	r.Header.Set("Idempotency-Key", w.newKey())
	w.must(http.StatusUnauthorized, w.during(r, func() { w.must(http.StatusNoContent, w.send(w.request("admin", http.MethodDelete, path, nil))) }))
	w.must(http.StatusUnauthorized, handIn("machine", w.acme, "integration"))
	w.owner("update service_tokens set expires_at = now()")
	w.must(http.StatusUnauthorized, handIn("soc machine", w.other, "realtime"))
}

// The matrix shows that no operation names a thing of Acme to the analyst who is limited to the other client. Lists hold
// none either, the analyst sees the other client as before, and a new reach counts at once.
func TestAnAnalystOfLimitedReachSeesNothingOfOthers(t *testing.T) {
	w := newWorld(t)
	w.published()
	w.alert()
	lists := []string{"/api/v1/clients", "/api/v1/incidents", "/api/v1/alerts"}
	for _, path := range lists {
		if all := w.must(http.StatusOK, w.get("analyst", path)); !strings.Contains(string(all.body), w.acme.ID.String()) && !strings.Contains(string(all.body), "Acme") {
			t.Fatalf("%s shows nothing of Acme to anybody: %s", path, all)
		}
		a := w.must(http.StatusOK, w.get("limited", path))
		if text := string(a.body); strings.Contains(text, w.acme.ID.String()) || strings.Contains(text, "SI-"+strconv.Itoa(w.acme.Number)) || strings.Contains(text, "Acme") {
			t.Errorf("%s shows %s", path, text)
		}
	}
	w.must(http.StatusOK, w.get("limited", "/api/v1/clients/"+strconv.Itoa(w.other.Number)))
	var opened incident.Incident
	w.must(http.StatusCreated, w.post("limited", "/api/v1/incidents", map[string]any{"client": w.other.Number, "title": "T", "severity": "high"})).into(t, &opened)
	assess := map[string]any{"title": "Mine"}
	w.must(http.StatusOK, w.post("limited", at(opened.Reference, "assess"), assess))

	r := w.request("limited", http.MethodPost, at(opened.Reference, "assess"), assess)
	r.Header.Set("Idempotency-Key", w.newKey())
	w.must(http.StatusNotFound, w.during(r, func() { w.limit("limited") }))
	w.must(http.StatusNotFound, w.get("limited", at(opened.Reference)))
	w.change("limited", store.UserChange{Role: models.RoleAnalyst})
	w.must(http.StatusOK, w.get("limited", w.clientPath("contacts")))

	w.limit("lead", w.acme.Number)
	w.must(http.StatusForbidden, w.post("lead", "/api/v1/service-tokens", map[string]any{"name": "wide", "operations": []string{"receive-alert"}}))
	w.must(http.StatusNotFound, w.get("lead", "/api/v1/clients/"+strconv.Itoa(w.other.Number)+"/users"))
	operator := "/api/v1/users/" + w.users["operator"].ID.String()
	w.must(http.StatusUnprocessableEntity, w.send(w.request("operator", http.MethodPut, operator, map[string]any{"role": "operator", "disabled": false, "limited": true})))
}

func TestRefusalsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.owner("delete from refusals")
	secret, _ := auth.NewToken()
	w.tokens["guess"] = secret
	for range 50 {
		w.must(http.StatusUnauthorized, w.get("guess", "/api/v1/clients"))
		w.must(http.StatusForbidden, w.get("viewer", "/api/v1/clients"))
		w.desk.WriteRefusals(t.Context())
	}
	for range 500 { // each with another token
		w.tokens["guess"], _ = auth.NewToken()
		w.must(http.StatusUnauthorized, w.get("guess", "/api/v1/clients"))
	}
	w.desk.WriteRefusals(t.Context())
	if rows := w.count("select count(*) from refusals"); rows > 2*2+2*102 { // the test may run into the next minute
		t.Errorf("%d rows", rows)
	}
	if n := w.count("select sum(count) from refusals"); n != 600 {
		t.Errorf("%d refusals were counted, want 600", n)
	}
	if n := w.count("select sum(count) from refusals where status = 401 and prefix = $1 and source <> ''", auth.Prefix(secret)); n != 50 {
		t.Errorf("%d of one token, want 50", n)
	}
	list := string(w.must(http.StatusOK, w.get("lead", "/api/v1/refusals?limit=200")).body)
	if !strings.Contains(list, `"by_name":"viewer","operation":"list-clients"`) || strings.Contains(list, secret) {
		t.Errorf("the list is %.400s", list)
	}
}

func TestAClientReportsASuspicion(t *testing.T) {
	w := newWorld(t)
	path := w.clientPath("suspicions")
	report := func(title string) (r models.Suspicion) {
		body := map[string]any{"title": title, "text": "Seen this morning.", "hostnames": []string{"ws-17"}, "indicators": []any{map[string]any{"type": "domain", "value": "evil.example"}}}
		key := w.newKey()
		w.must(http.StatusCreated, w.postAs("responder", path, key, body)).into(t, &r)
		var again models.Suspicion
		w.must(http.StatusCreated, w.postAs("responder", path, key, body)).into(t, &again)
		if again != r {
			t.Errorf("the repeat made %+v beside %+v", again, r)
		}
		return r
	}
	open, shown, dismissed := report("Still open"), report("Shown"), report("Dismissed")
	var alert models.Alert
	w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+open.ID.String())).into(t, &alert)
	if alert.Source != models.SourceClientReport || alert.ReportedBy != w.users["responder"].ID || alert.Detail != "Seen this morning." || len(alert.Indicators) != 1 {
		t.Errorf("the SOC sees %+v", alert)
	}
	opened := func(r models.Suspicion) models.Reference {
		var i incident.Incident
		w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": w.acme.Number, "alerts": []uuid.UUID{r.ID}})).into(t, &i)
		return i.Reference
	}
	published, gone := opened(shown), opened(dismissed)
	states := func(who string) map[string]string {
		var list struct{ Items []models.Suspicion }
		w.must(http.StatusOK, w.get(who, path)).into(t, &list)
		found := map[string]string{}
		for _, r := range list.Items {
			found[r.Title] = string(r.State) + " " + string(r.Incident)
			if r.ReportedByName != "responder" {
				t.Errorf("reported by %q", r.ReportedByName)
			}
		}
		return found
	}
	for title, state := range states("viewer") { // an unpublished incident is the SOC's own business
		if state != "open " {
			t.Errorf("%s is %q", title, state)
		}
	}
	w.happen(published, w.users["analyst"].Actor(), &incident.Published{Expedited: true})
	w.happen(gone, w.users["analyst"].Actor(), &incident.Assessed{Severity: models.SeverityLow, Assessment: incident.Assessment{Title: "T", Summary: "S"}}, &incident.Dismissed{Reason: "A newsletter."})
	got := states("viewer")
	if len(got) != 3 || got["Still open"] != "open " || got["Shown"] != "in_incident "+string(published) || got["Dismissed"] != "dismissed " {
		t.Errorf("the client sees %q", got)
	}
	w.must(http.StatusUnprocessableEntity, w.post("responder", path, map[string]any{"title": " ", "text": ""}))
}

// What a user of the client reported stays their words: nobody else hands in an alert of that source.
func TestNobodyRewritesASuspicion(t *testing.T) {
	w := newWorld(t)
	var r models.Suspicion
	w.must(http.StatusCreated, w.post("responder", w.clientPath("suspicions"), map[string]any{"title": "Ransom note on ws-17", "text": "Seen this morning."})).into(t, &r)
	var a models.Alert
	w.must(http.StatusOK, w.get("analyst", "/api/v1/alerts/"+r.ID.String())).into(t, &a)
	for _, who := range []string{"analyst", "lead", "machine"} {
		again := map[string]any{"client": w.acme.Number, "source": "client_report", "finding_id": a.FindingID, "title": "Printer is slow", "severity": "low"}
		if a := w.post(who, "/api/v1/alerts", again); a.StatusCode != http.StatusUnprocessableEntity || !slices.Contains(a.pointers(t), "/source") {
			t.Errorf("an alert of the %s is answered with %s", who, a)
		}
	}
	var list struct{ Items []models.Suspicion }
	w.must(http.StatusOK, w.get("viewer", w.clientPath("suspicions"))).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Title != r.Title {
		t.Errorf("the client reads %+v", list.Items)
	}
}

// A lead who sees some clients reads nothing that is about all of them.
func TestALeadOfLimitedReachReadsNothingOfTheWholeSOC(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/api/v1/audit-log", "/api/v1/users", "/api/v1/refusals", "/api/v1/service-tokens"} {
		w.must(http.StatusOK, w.get("lead", path))
	}
	w.limit("lead", w.acme.Number)
	for _, path := range []string{"/api/v1/audit-log", "/api/v1/users", "/api/v1/refusals", "/api/v1/service-tokens"} {
		w.must(http.StatusForbidden, w.get("lead", path))
	}
}
