package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// peopled is the part of an answer that says who is in it.
type peopled struct {
	People map[string]struct{ Name, Side, Role string }
}

func (w *world) peopleIn(who, path string) peopled {
	w.Helper()
	var p peopled
	w.must(http.StatusOK, w.get(who, path)).into(w, &p)
	return p
}

func TestAnAnswerNamesThePeopleInIt(t *testing.T) {
	w := newWorld(t)
	ref, ada := w.published(), uuid.New()
	w.ok(w.store.ForClient(t.Context(), store.SOC, w.acme.ID, func(tx *store.Tx) error {
		if _, err := tx.CreateContact(models.Contact{ID: ada, Name: "Ada", Language: "en", Phone: "+420555010001"}, "ada", ""); err != nil {
			return err
		}
		return tx.RemoveContact(ada, w.acme.CreatedAt)
	}))
	analyst, responder, stranger := w.users["analyst"].Actor(), w.users["responder"].Actor(), w.users["stranger"].Actor()
	w.happen(ref, models.ContactActor(ada), &incident.AcknowledgedBy{Channel: "voice", How: "key press 1"})
	w.happen(ref, responder, &incident.RecommendationSettled{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Done."})
	w.happen(ref, stranger, &incident.Commented{Text: "I am of another client."})
	w.happen(ref, models.System(), &incident.CommandRejected{Command: "approve", Reason: "r", RequestID: "x", By: w.users["admin"].Actor()})
	w.happen(ref, analyst, &incident.Revised{Change: "c"})

	contact := models.ContactActor(ada).ID
	for path, ids := range map[string][]string{
		at(ref):                   {analyst.ID, responder.ID, contact},
		at(ref, "events"):         {analyst.ID, responder.ID, contact, stranger.ID, w.users["admin"].ID.String()},
		at(ref, "revisions"):      {analyst.ID, responder.ID},
		at(ref, "revisions", "2"): {analyst.ID, responder.ID},
	} {
		for _, who := range []string{"analyst", "viewer"} {
			people := w.peopleIn(who, path).People
			if len(people) != len(ids) {
				t.Errorf("%s: %s reads of %v, want %v", path, who, people, ids)
			}
			for _, id := range ids {
				want := map[string]string{
					analyst.ID: "analyst soc analyst", responder.ID: "responder client responder", contact: "Ada client contact",
					w.users["admin"].ID.String(): "admin client admin", stranger.ID: " client admin",
				}[id]
				if who == "viewer" && id == analyst.ID {
					want = " soc analyst" // people of the SOC have no names for the client
				}
				if p := people[id]; strings.Join([]string{p.Name, p.Side, p.Role}, " ") != want {
					t.Errorf("%s: to %s, %s is %+v, want %q", path, who, id, p, want)
				}
			}
		}
	}
}

func TestAResponseAuthorityNamesWhoSignedIt(t *testing.T) {
	w := newWorld(t)
	version := w.draft("isolate")
	lead, admin := w.users["lead"].ID.String(), w.users["admin"].ID.String()
	var signed peopled
	w.must(http.StatusOK, w.sign("admin", version)).into(t, &signed)
	for who, drafter := range map[string]string{"analyst": "lead", "viewer": ""} {
		people := w.peopleIn(who, w.clientPath("response-authority")).People
		if p := people[lead]; p.Name != drafter || p.Side != "soc" {
			t.Errorf("to %s it was drafted by %+v", who, p)
		}
		if p := people[admin]; p.Name != "admin" || p.Side != "client" || len(people) != 2 {
			t.Errorf("to %s it was signed by %+v of %v", who, p, people)
		}
	}
	if p := signed.People[admin]; p.Name != "admin" {
		t.Errorf("the signature names %+v", signed.People)
	}
}
