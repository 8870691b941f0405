package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// refused fails the test unless the answer is 429 that says when to come back, between two moments from now.
func (w *world) refused(a answer, from, to time.Duration) {
	w.Helper()
	w.must(http.StatusTooManyRequests, a)
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if after := time.Duration(seconds) * time.Second; err != nil || after < from || after > to {
		w.Errorf("Retry-After %q, want %s to %s", a.Header.Get("Retry-After"), from, to)
	}
}

func (w *world) otherPath(rest string) string {
	return fmt.Sprintf("/api/v1/clients/%d/%s", w.other.Number, rest)
}

// unlimited lists the operations that are taken from whoever has used up a share, though their methods are those of
// changes, and why.
var unlimited = map[string]string{
	"dry-run-response-authority": "it asks, and changes nothing",
	"revoke-token":               "a thief of the token uses up its user's share, and the user must be able to end that",
}

// Beyond a share every operation that changes something is refused, and nothing has happened; after a while the same
// request is taken. The operations are those of the document, so that a new one is among them.
func TestNothingIsChangedBeyondAShare(t *testing.T) {
	w := newWorld(t)
	known := map[string]bool{}
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			known[op.OperationID] = true
			if method == http.MethodGet || method == http.MethodHead {
				continue
			}
			senders := sendersOf(op.OperationID)
			if len(senders) == 0 {
				t.Errorf("%s: the matrix names nobody who may use it", op.OperationID)
			}
			for _, who := range senders {
				w.exhaust(who, op.OperationID, w.example(who, method, path, op))
			}
		}
	}
	for operation := range unlimited {
		if !known[operation] {
			t.Errorf("%s is no operation of the document", operation)
		}
	}
}

// sendersOf names one caller of each side, and a machine, who may use an operation.
func sendersOf(operation string) (senders []string) {
	row := strings.Fields(matrix[operation])
	for _, side := range [][]string{{"analyst", "lead", "operator"}, {"responder", "admin", "viewer"}, {"machine"}} {
		n := slices.IndexFunc(side, func(who string) bool { return len(row) > 0 && row[slices.Index(callers, who)] == "2" })
		if n >= 0 {
			senders = append(senders, side[n])
		}
	}
	return senders
}

// exhaust sends a request while each share that it has to use is used up, and then once more when all are there again.
func (w *world) exhaust(who, operation string, r *http.Request) {
	w.Helper()
	body, err := io.ReadAll(r.Body)
	w.ok(err)
	send := func() answer {
		again := r.Clone(w.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		return w.send(again)
	}
	for scope, key := range w.sharesOf(who, operation, r) {
		w.forgetUses()
		w.owner(fmt.Sprintf("insert into limits (scope, key, used_to) values ('%s', '%s', now() + interval '1 hour')", scope, key))
		rows, asked := w.rows(), w.asked()
		a := send()
		if unlimited[operation] != "" {
			if a.StatusCode/100 != 2 {
				w.Errorf("%s by the %s, without a share of the %s: %s", operation, who, scope, a)
			}
			return
		}
		after, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.StatusCode != http.StatusTooManyRequests || err != nil || after < 1 || after > 3600 {
			w.Errorf("%s by the %s, without a share of the %s, Retry-After %q: %s", operation, who, scope, a.Header.Get("Retry-After"), a)
			return
		}
		for table, now := range w.rows() {
			if now != rows[table] {
				w.Errorf("%s by the %s was refused, and changed rows of %s", operation, who, table)
			}
		}
		if now := w.asked(); now != asked {
			w.Errorf("%s by the %s was refused, and asked the engine for something", operation, who)
		}
	}
	w.forgetUses()
	if a := send(); a.StatusCode/100 != 2 {
		w.Errorf("%s by the %s, with every share: %s", operation, who, a)
	}
}

// costlyScopes names the shares in what reaches people, costs money or starts work elsewhere.
var costlyScopes = map[string][]string{
	"create-contact": {"contacts"}, "update-contact": {"contacts"}, "remove-contact": {"contacts"}, "confirm-approver": {"contacts"}, "revoke-approver": {"contacts"},
	"verify-channel": {"checks"}, "test-channel": {"checks"}, "report-suspicion": {"suspicions"}, "check-edr-connection": {"edr"},
	"open-incident": {"openings"}, "start-fire-drill": {"openings"}, "isolate": {"isolations of user"}, "release": {"isolations of user"},
	"publish": {"messages", "messages of user"}, "expedite": {"messages", "messages of user"}, "revise": {"messages", "messages of user"},
	"ask-question": {"messages", "messages of user"}, "verify": {"messages", "messages of user"},
}

// sharesOf returns the shares that a request has to use, by their scopes: that of its user, of the side of the client
// that it is about, and of the incident. Alerts have one of their own.
func (w *world) sharesOf(who, operation string, r *http.Request) map[string]string {
	w.Helper()
	u, client, number := w.users[who], w.acme.ID, strconv.Itoa(w.acme.Number)
	if who == "machine" {
		u.ClientID = w.acme.ID
	}
	if strings.HasPrefix(operation, "receive-") {
		side := models.SideSOC
		if u.ClientID != uuid.Nil {
			side = models.SideClient
		}
		return map[string]string{"alerts": client.String() + " " + string(side)}
	}
	shares := map[string]string{"user": u.ID.String()}
	part := strings.Split(r.URL.Path, "/")
	side := " " + string(u.Role.Side())
	switch part[3] {
	case "clients":
		if len(part) == 4 { // a new one
			return shares
		}
		number = part[4]
		w.ok(w.ownerRow("select id from clients where number = $1", number).Scan(&client))
	case "incidents":
	default:
		return shares
	}
	of := client.String()
	if u.Role.Side() == models.SideSOC { // it names the client
		of = number
	}
	if part[3] == "incidents" && len(part) > 4 {
		shares["incident"], shares["user in incident"] = part[4]+" of "+of, u.ID.String()+" "+part[4]
	}
	shares["client"] = of + side
	for _, scope := range costlyScopes[operation] {
		shares[scope] = of + side
		if strings.HasSuffix(scope, " of user") {
			shares[scope] = of + " " + u.ID.String()
		}
	}
	return shares
}

// nthAda is a contact whom nobody reaches as another one.
func nthAda(n int) map[string]any {
	return ada(map[string]any{"email": fmt.Sprintf("ada%d@acme.example", n), "phone": fmt.Sprintf("+49151000%05d", n)})
}

func TestOneTokenCannotMakeContactsWithoutEnd(t *testing.T) {
	w := newWorld(t)
	made := 0
	for n := range 183 {
		a := w.post([]string{"analyst", "lead"}[n%2], w.clientPath("contacts"), nthAda(n))
		if a.StatusCode != http.StatusCreated {
			w.refused(a, time.Second, 5*time.Second)
			break
		}
		made++
	}
	if kept := w.count("select count(*) from contacts"); made < 60 || made > 75 || kept != made { // a few come back meanwhile
		t.Errorf("%d contacts were made, %d are there", made, kept)
	}
	if noted := w.count("select count(*) from audit_log where operation = 'create-contact'"); noted != made {
		t.Errorf("%d entries in the audit log about %d contacts", noted, made)
	}
	first := w.contacts("analyst")[0].ID.String()
	w.refused(w.put("analyst", w.clientPath("contacts/"+first), ada(map[string]any{"name": "Eve"})), time.Second, 5*time.Second)
	w.refused(w.remove("operator", w.clientPath("contacts/"+first)), time.Second, 5*time.Second)
	w.must(http.StatusCreated, w.post("analyst", w.otherPath("contacts"), ada(nil)))
	w.incident() // and everything else goes on
}

// Each change is told to the old and the new address, so whoever writes a stranger's number into contacts again and again
// sends them texts. It ends after twenty; taking the contact away does not wait.
func TestOneAddressIsToldOfFewChanges(t *testing.T) {
	w := newWorld(t)
	contact := w.clientPath("contacts", w.contact().String())
	changed := 0
	for n := range 100 {
		phone := []string{"+4915100000777", fmt.Sprintf("+49151000%05d", n)}[n%2]
		a := w.put("admin", contact, ada(map[string]any{"phone": phone, "email": fmt.Sprintf("ada%d@acme.example", n)}))
		if a.StatusCode != http.StatusOK {
			w.refused(a, 59*time.Minute, time.Hour)
			break
		}
		changed++
	}
	if told := w.count(`select count(*) from contact_changes where before->>'phone' = '+4915100000777' or after->>'phone' = '+4915100000777'`); changed != 20 || told != 20 {
		t.Errorf("%d changes, the number would be told of %d", changed, told)
	}
	w.must(http.StatusOK, w.put("lead", contact, ada(nil))) // the SOC has a share of its own
	w.must(http.StatusNoContent, w.remove("admin", contact))
}

func TestOnePhoneGetsFewCodesAndTestMessages(t *testing.T) {
	w := newWorld(t)
	contact := w.contact()
	try := func(key string, contact uuid.UUID, check string, ch models.Channel) answer {
		a := w.postAs("analyst", w.clientPath("contacts", contact.String(), check), key, map[string]any{"channel": ch})
		if a.StatusCode == http.StatusAccepted {
			_, err := w.engine.Carry(t.Context(), contact, ch)
			w.ok(err)
		}
		return a
	}
	for n := range 3 {
		w.must(http.StatusAccepted, try(fmt.Sprint("k", n), contact, []string{"verify-channel", "test-channel"}[n%2], models.ChannelSMS))
	}
	w.must(http.StatusAccepted, w.postAs("analyst", w.clientPath("contacts", contact.String(), "verify-channel"), "k0", map[string]any{"channel": "sms"}))
	for n := range 8 {
		w.refused(try(fmt.Sprint("more", n), contact, "test-channel", models.ChannelSMS), 4*time.Minute, 5*time.Minute)
	}
	if _, _, started := w.engine.Check(contact, models.ChannelSMS); started != 3 {
		t.Errorf("%d messages went out", started)
	}
	if kept := w.count("select count(*) from channel_checks"); kept != 3 {
		t.Errorf("%d requests are kept", kept)
	}
	w.must(http.StatusAccepted, try("mail", contact, "test-channel", models.ChannelEmail)) // another address
	// The same number under another contact, or called instead: three more in the day.
	twin := w.contact()
	w.must(http.StatusAccepted, try("t1", twin, "verify-channel", models.ChannelVoice))
	w.must(http.StatusAccepted, try("t2", twin, "verify-channel", models.ChannelSMS))
	w.must(http.StatusAccepted, try("t3", twin, "test-channel", models.ChannelSMS))
	w.refused(try("t4", twin, "verify-channel", models.ChannelVoice), 5*time.Hour, 6*time.Hour)
	// The other client knows nothing of that.
	var c models.Contact
	w.must(http.StatusCreated, w.post("analyst", w.otherPath("contacts"), ada(nil))).into(t, &c)
	w.must(http.StatusAccepted, w.post("analyst", w.otherPath("contacts/"+c.ID.String()+"/test-channel"), map[string]any{"channel": "sms"}))
}

// A request that the engine did not take is sent again under its key as often as it needs.
func TestTheEnginesAbsenceUsesUpNoTestMessage(t *testing.T) {
	w := newWorld(t)
	contact := w.contact()
	test := func() answer {
		return w.postAs("analyst", w.clientPath("contacts", contact.String(), "test-channel"), "k", map[string]any{"channel": "sms"})
	}
	w.engine.Become(desktest.NoService)
	for range 8 {
		w.must(http.StatusServiceUnavailable, test())
	}
	w.engine.Become(desktest.Healthy)
	w.must(http.StatusAccepted, test())
}

func TestFireDrillsComeOneAtATimeAndFewADay(t *testing.T) {
	w := newWorld(t)
	start := func(key string) answer { return w.startDrill("analyst", key, models.ExerciseFireDrill) }
	end := func(a answer) {
		var i incident.Incident
		a.into(t, &i)
		w.must(http.StatusOK, w.post("lead", at(i.Reference, "dismiss"), map[string]any{"reason": "It is over."}))
	}
	first := w.must(http.StatusCreated, start("k0"))
	w.must(http.StatusConflict, start("k1"))
	w.must(http.StatusCreated, start("k0"))
	end(first)
	end(w.must(http.StatusCreated, start("k1")))
	end(w.must(http.StatusCreated, start("k2")))
	for n := range 3 {
		w.refused(start(fmt.Sprint("more", n)), 23*time.Hour, 24*time.Hour)
	}
	w.must(http.StatusCreated, start("k0")) // what was begun is still found
	if rows := w.incidents(); len(rows) != 3 {
		t.Errorf("%d drills", len(rows))
	}
	w.must(http.StatusCreated, w.post("analyst", w.otherPath("fire-drills"), map[string]any{"exercise": "fire_drill"}))
	w.owner("update incidents set opened_at = opened_at - interval '24 hours' where reference like '%-0001'")
	w.must(http.StatusCreated, start("tomorrow"))
	w.must(http.StatusCreated, w.post("analyst", "/api/v1/incidents", map[string]any{"client": w.acme.Number, "title": "Real", "severity": "critical"}))
}

func TestDrillsThatAreStartedAtTheSameMomentAreOne(t *testing.T) {
	w := newWorld(t)
	var begun, refused atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		r := w.request("lead", http.MethodPost, w.clientPath("fire-drills"), map[string]any{"exercise": "simulated_fire_drill"})
		r.Header.Set("Idempotency-Key", w.newKey())
		all.Go(func() {
			switch w.send(r).StatusCode {
			case http.StatusCreated:
				begun.Add(1)
			case http.StatusConflict:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if begun.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d begun, %d refused", begun.Load(), refused.Load())
	}
}

// A loop is slowed down before anything of it is written; it keeps neither colleagues nor the other side from acting.
func TestALoopOfCommandsLeavesNoRowAndHoldsUpNobodyElse(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	taken := 0
	for range 300 {
		a := w.post("responder", at(ref, "comment"), map[string]any{"text": "again"})
		if a.StatusCode != http.StatusOK {
			w.refused(a, time.Second, time.Second)
			break
		}
		taken++
	}
	if kept := w.count("select count(*) from client_decisions"); taken < 100 || taken > 250 || kept != taken {
		t.Errorf("%d comments were taken, %d are kept", taken, kept)
	}
	w.must(http.StatusOK, w.post("admin", at(ref, "comment"), map[string]any{"text": "somebody else"}))
	w.must(http.StatusOK, w.post("analyst", at(ref, "isolate"), map[string]any{"hostname": "dc02", "reason": "It spreads."}))
	w.must(http.StatusOK, w.post("responder", at(w.published(), "acknowledge"), map[string]any{"revision": 1}))
}

// Fifty incidents of one client within five minutes, ten commands to each, from one analyst: nothing is refused, even
// when they come faster than that.
func TestANightOfManyIncidentsIsNotHeldUp(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		ref := w.incident()
		w.must(http.StatusOK, w.post("analyst", at(ref, "assess"), map[string]any{"severity": "critical", "summary": "Files are being encrypted."}))
		w.must(http.StatusOK, w.post("analyst", at(ref, "publish"), nil))
		for n := range 8 {
			w.must(http.StatusOK, w.post("analyst", at(ref, "recommend"), map[string]any{"text": fmt.Sprint("Step ", n)}))
		}
	}
}

// An alert beyond the share is refused before any of it is kept, and taken when it comes again.
func TestAnAlertIsRefusedBeforeItIsKept(t *testing.T) {
	w := newWorld(t)
	w.alert() // makes the row
	w.owner("update limits set used_to = now() + interval '85 seconds' where scope = 'alerts'")
	alert := map[string]any{"client": w.acme.Number, "source": "integration", "finding_id": "f", "title": "T", "severity": "high"}
	tables := "select (select count(*) from alerts) + (select count(*) from alert_payloads) + (select count(*) from alert_receipts)"
	before := w.count(tables)
	w.refused(w.postAs("analyst", "/api/v1/alerts", "k", alert), 50*time.Second, time.Minute)
	if now := w.count(tables); now != before {
		t.Errorf("%d rows are kept of a refused alert", now-before)
	}
	alert["client"] = w.other.Number
	w.must(http.StatusCreated, w.postAs("analyst", "/api/v1/alerts", "k2", alert))
	w.forgetUses() // a minute passes
	alert["client"] = w.acme.Number
	w.must(http.StatusCreated, w.postAs("analyst", "/api/v1/alerts", "k", alert))
	for range 1000 { // at once, as an engine sends them that was cut off
		alert["finding_id"] = w.newKey()
		w.must(http.StatusCreated, w.post("analyst", "/api/v1/alerts", alert))
	}
}

// Two processes of the API let through together what one of them does.
func TestLimitsHoldOverTwoProcesses(t *testing.T) {
	w := newWorld(t)
	first := w.handler
	w.serve()
	handlers := []http.Handler{first, w.handler}
	send := func(n int, a func() answer) answer {
		w.handler = handlers[n%2]
		return a()
	}
	contacts, drills := 0, 0
	for n := range 90 {
		if send(n, func() answer { return w.post("analyst", w.clientPath("contacts"), nthAda(n)) }).StatusCode == http.StatusCreated {
			contacts++
		}
		if send(n, func() answer { return w.startDrill("lead", w.newKey(), models.ExerciseSimulatedFireDrill) }).StatusCode == http.StatusCreated {
			drills++
		}
	}
	if contacts < 60 || contacts > 70 || drills != 1 {
		t.Errorf("%d contacts and %d drills came through", contacts, drills)
	}
}

// Many requests of one user at once wait for each other, and nobody else for them.
func TestManyRequestsAtOnceTakeTurns(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	var all sync.WaitGroup
	defer all.Wait()
	send := func(who string, body io.Reader) (done chan answer) {
		r := w.request(who, http.MethodPost, at(ref, "comment"), nil)
		r.Body = io.NopCloser(body)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", w.newKey())
		done = make(chan answer, 1)
		all.Go(func() { done <- w.send(r) })
		return done
	}
	words := `{"text":"t"}`
	var slow []*io.PipeWriter
	var answers []chan answer
	for range 2 {
		body, end := io.Pipe()
		defer end.Close() //nolint:errcheck // it is closed below, and again when the test ends early
		slow, answers = append(slow, end), append(answers, send("responder", body))
		_, err := end.Write([]byte(words[:1])) // returns when the request is at work
		w.ok(err)
	}
	third := send("responder", strings.NewReader(words))
	for range 5 {
		w.must(http.StatusOK, <-send("admin", strings.NewReader(words)))
		w.must(http.StatusOK, <-send("analyst", strings.NewReader(words)))
		w.must(http.StatusOK, w.get("responder", at(ref))) // a read does not wait for changes
		w.must(http.StatusOK, w.get("stranger", fmt.Sprintf("/api/v1/clients/%d", w.other.Number)))
	}
	select {
	case a := <-third:
		t.Fatalf("a third request did not wait: %s", a)
	default:
	}
	for n, end := range slow {
		_, err := end.Write([]byte(words[1:]))
		w.ok(err)
		w.ok(end.Close())
		w.must(http.StatusOK, <-answers[n])
	}
	w.must(http.StatusOK, <-third)
}

// A loop of the SOC leaves an admin of the client their contacts.
func TestALoopOfTheSOCLeavesTheAdminTheirContacts(t *testing.T) {
	w := newWorld(t)
	id := w.contact()
	status := http.StatusOK
	for n := 0; status != http.StatusTooManyRequests && n < 100; n++ {
		status = w.put("analyst", contactPath(w, id), ada(map[string]any{"role": fmt.Sprint("CISO ", n)})).StatusCode
	}
	if status != http.StatusTooManyRequests {
		t.Fatalf("a loop is answered with %d", status)
	}
	w.must(http.StatusNoContent, w.remove("admin", contactPath(w, id)))
}

// A client's machine leaves the SOC's engines what they may say about that client.
func TestAClientsMachineLeavesTheSOCItsAlerts(t *testing.T) {
	w := newWorld(t)
	rows := w.count("select count(*) from limits where scope = 'alerts'")
	alert := map[string]any{"client": w.acme.Number, "source": "integration", "finding_id": "f", "title": "T", "severity": "high"}
	w.post("machine", "/api/v1/alerts", alert)
	alert["finding_id"] = "g"
	w.post("analyst", "/api/v1/alerts", alert)
	if n := w.count("select count(*) from limits where scope = 'alerts'"); n != rows+2 {
		t.Errorf("both sides have %d shares", n-rows)
	}
}

// Reads of one user that do not come to an end hold up no colleague.
func TestAUsersReadsHoldUpNoColleague(t *testing.T) {
	w := newWorld(t)
	conn, err := pgx.Connect(t.Context(), w.ownerURL)
	w.ok(err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	w.ok(err)
	_, err = tx.Exec(t.Context(), "lock table audit_log in access exclusive mode")
	w.ok(err)
	done := make(chan answer, 2)
	for range cap(done) {
		r := w.request("admin", http.MethodGet, w.clientPath("audit-log"), nil)
		go func() { done <- w.send(r) }()
	}
	for w.count("select count(*) from pg_locks where not granted") < cap(done) && t.Context().Err() == nil {
		continue
	}
	a := w.get("viewer", w.clientPath("contacts"))
	w.ok(tx.Rollback(t.Context()))
	for range cap(done) {
		<-done
	}
	w.must(http.StatusOK, a)
}
