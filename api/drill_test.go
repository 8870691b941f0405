package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/desk/desktest"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func (w *world) startDrill(who, key string, exercise models.Exercise) answer {
	w.Helper()
	return w.postAs(who, w.clientPath("fire-drills"), key, map[string]any{"exercise": exercise})
}

// drill returns the fire drill of Acme, which it begins at its first use.
func (w *world) drill() models.Reference {
	w.Helper()
	var i incident.Incident
	w.must(http.StatusCreated, w.startDrill("analyst", "the-drill", models.ExerciseSimulatedFireDrill)).into(w, &i)
	return i.Reference
}

func (w *world) incidents() []store.IncidentRow {
	w.Helper()
	var list struct{ Items []store.IncidentRow }
	w.must(http.StatusOK, w.get("analyst", "/api/v1/incidents")).into(w, &list)
	return list.Items
}

func TestAFireDrillIsOpenedAndPublishedAtOnce(t *testing.T) {
	w := newWorld(t)
	var i incident.Incident
	a := w.must(http.StatusCreated, w.startDrill("lead", "k", models.ExerciseFireDrill))
	a.into(t, &i)
	if i.Exercise != models.ExerciseFireDrill || i.Severity != models.SeverityCritical || i.Assessment.Title != "Fire drill" ||
		!i.IsPublished() || !i.Expedited || len(i.Alerts) != 0 || i.ClientID != w.acme.ID || a.Header.Get("Location") != at(i.Reference) {
		t.Errorf("%s %+v", a.Header.Get("Location"), i)
	}
	again := w.must(http.StatusCreated, w.startDrill("lead", "k", models.ExerciseFireDrill))
	if string(again.body) != string(a.body) {
		t.Errorf("%s\n%s", a, again)
	}
	w.must(http.StatusUnprocessableEntity, w.startDrill("lead", "k", models.ExerciseSimulatedFireDrill))
	if rows := w.incidents(); len(rows) != 1 || !rows[0].Drill || w.engine.Executed() != 1 {
		t.Errorf("%+v, %d commands", rows, w.engine.Executed())
	}
	w.must(http.StatusOK, w.post("analyst", at(i.Reference, "dismiss"), map[string]any{"reason": "It is over."}))
	w.engine.End(i.Reference)
	w.must(http.StatusCreated, w.startDrill("lead", "k", models.ExerciseFireDrill)).into(t, &i) // still the same one
	if i.Phase != incident.PhaseDismissed {
		t.Errorf("%+v", i)
	}
	w.must(http.StatusUnprocessableEntity, w.startDrill("lead", "other", "imaginary"))
	w.must(http.StatusNotFound, w.post("lead", "/api/v1/clients/999999/fire-drills", map[string]any{"exercise": "fire_drill"}))
}

// A drill that stopped between its opening and its publication goes on with a repeat of the same request.
func TestAFireDrillGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t)
	w.engine.Become(desktest.NoService)
	w.must(http.StatusServiceUnavailable, w.startDrill("analyst", "k", models.ExerciseFireDrill))
	if rows := w.incidents(); len(rows) != 1 || rows[0].Phase != incident.PhaseInvestigating {
		t.Fatalf("%+v", rows)
	}
	w.engine.Become(desktest.NoWorker)
	var i incident.Incident
	w.must(http.StatusAccepted, w.startDrill("analyst", "k", models.ExerciseFireDrill)).into(t, &i)
	left := w.engine.Signals()
	if len(left) != 1 || left[0].Name != "expedite" || left[0].WorkflowID != i.Reference.WorkflowID() || i.IsPublished() {
		t.Errorf("%+v %+v", left, i)
	}
	w.engine.Become(desktest.Healthy)
	w.must(http.StatusCreated, w.startDrill("analyst", "k", models.ExerciseFireDrill)).into(t, &i)
	if rows := w.incidents(); len(rows) != 1 || !i.IsPublished() {
		t.Errorf("%+v %+v", rows, i)
	}
	if again := w.engine.Signals(); left[0].Request.RequestID == "" || again[0].Request.RequestID != left[0].Request.RequestID {
		t.Errorf("%+v", again)
	}
}

func TestTheSameDrillManyTimesAtOnceIsOne(t *testing.T) {
	w := newWorld(t)
	answers := make(chan answer, 10)
	for range cap(answers) {
		go func() { answers <- w.startDrill("analyst", "k", models.ExerciseFireDrill) }()
	}
	for range cap(answers) {
		w.must(http.StatusCreated, <-answers)
	}
	if rows := w.incidents(); len(rows) != 1 || w.engine.Executed() != 1 {
		t.Errorf("%+v, %d commands", rows, w.engine.Executed())
	}
}

func TestTheReportOfAFireDrill(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.contactWith(map[string]any{"name": "Ada"}), w.contactWith(map[string]any{"name": "Bob", "phone": "+12025550101"})
	ref := w.drill()
	i, err := w.engine.Incident(t.Context(), ref)
	w.ok(err)
	w.ok(w.store.ForClient(t.Context(), store.Worker, w.acme.ID, func(tx *store.Tx) error {
		answered := notify.CallEffect(ref, w.acme.ID, 1, 1, 1, ada.ID)
		if _, err := tx.Intend(answered, i.PublishedAt); err != nil {
			return err
		}
		if err := tx.Acknowledge(answered.Key, ada.ID, "key press 1", i.PublishedAt.Add(42*time.Second)); err != nil {
			return err
		}
		bounced := notify.MessageEffect(ref, w.acme.ID, notify.Notification{
			Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: bob.ID, Channel: models.ChannelEmail})
		if _, err := tx.Intend(bounced, i.PublishedAt.Add(time.Second)); err != nil {
			return err
		}
		return tx.Reject(bounced.Key, "sendgrid", "no such mailbox", i.PublishedAt.Add(2*time.Second))
	}))
	var r incident.DrillReport
	w.must(http.StatusOK, w.get("viewer", at(ref, "drill-report"))).into(t, &r)
	if r.Reference != ref || r.Exercise != models.ExerciseSimulatedFireDrill || r.Answered != 1 || time.Duration(r.Fastest).Round(time.Second) != 42*time.Second || len(r.Contacts) != 2 {
		t.Fatalf("%+v", r)
	}
	first, second := r.Contacts[0], r.Contacts[1]
	if first.Name != "Ada" || !first.Answered || first.How != "key press 1" || second.Name != "Bob" || second.Answered || !second.Channels[0].Dead {
		t.Errorf("%+v", r.Contacts)
	}
	if a := w.must(http.StatusConflict, w.get("analyst", at(w.published(), "drill-report"))); !strings.Contains(string(a.body), "not a fire drill") {
		t.Error(a)
	}
}

func TestTheReportOfALargeFireDrillCountsEverything(t *testing.T) {
	w := newWorld(t)
	contacts := []uuid.UUID{w.contact(), w.contact()}
	ref := w.drill()
	const many = 600 // to each; more than are read at once
	w.ledger(func(tx *store.Tx) error {
		for n := range 2 * many {
			if _, err := tx.Intend(notify.CallEffect(ref, w.acme.ID, 1, 1, n+1, contacts[n%2]), time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	var r incident.DrillReport
	w.must(http.StatusOK, w.get("analyst", at(ref, "drill-report"))).into(t, &r)
	if len(r.Contacts) != 2 || len(r.Contacts[0].Channels) != many || len(r.Contacts[1].Channels) != many {
		t.Errorf("%+v", r)
	}
}

func TestAQuestionIsAskedAndAnswered(t *testing.T) {
	w := newWorld(t)
	ref := w.published()
	ask := map[string]any{"text": "Was this you?", "answers": []string{"yes", "no"}, "deadline": time.Now().Add(time.Hour)}
	w.must(http.StatusOK, w.postAs("analyst", at(ref, "ask-question"), "k", ask))
	w.must(http.StatusOK, w.postAs("analyst", at(ref, "ask-question"), "k", ask))
	w.happen(ref, models.System(), &incident.QuestionReminded{Question: "q1", Number: 1}, &incident.QuestionOverdue{Question: "q1"},
		&incident.ContactMessaged{Contact: uuid.New(), Channel: models.ChannelSMS, Purpose: notify.PurposeQuestion, Effect: "e"},
		&incident.NotDelivered{Contact: uuid.New(), Channel: models.ChannelSMS, Effect: "e", Reason: "failed"})
	answer := func(text string) answer {
		return w.post("responder", at(ref, "answer-question"), map[string]any{"question": "q1", "answer": text})
	}
	if a := w.must(http.StatusUnprocessableEntity, answer("maybe")); a.pointers(t)[0] != "/answer" {
		t.Error(a)
	}
	w.must(http.StatusOK, answer("no"))
	w.must(http.StatusConflict, answer("yes"))
	var i incident.Incident
	w.must(http.StatusOK, w.get("viewer", at(ref))).into(t, &i)
	if len(i.Questions) != 1 || i.Questions[0].Answer != "no" || i.Questions[0].AnsweredBy.ID != w.users["responder"].ID.String() {
		t.Errorf("%+v", i.Questions)
	}
	seen := string(w.must(http.StatusOK, w.get("viewer", at(ref, "events"))).body)
	for _, kind := range []string{"question_asked", "question_reminded", "question_overdue", "question_answered", "contact_messaged", "not_delivered"} {
		if strings.Count(seen, `"`+kind+`"`) != 1 {
			t.Errorf("the client does not see %s once", kind)
		}
	}
	for name, body := range map[string]any{
		"/deadline": map[string]any{"text": "t", "deadline": time.Now().Add(-time.Minute)},
		"/answers":  map[string]any{"text": "t", "deadline": time.Now().Add(time.Hour), "answers": []string{"a", "a"}},
		"/text":     map[string]any{"text": " ", "deadline": time.Now().Add(time.Hour)},
	} {
		if a := w.must(http.StatusUnprocessableEntity, w.post("analyst", at(ref, "ask-question"), body)); a.pointers(t)[0] != name {
			t.Errorf("%s: %s", name, a)
		}
	}
}
