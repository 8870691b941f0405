package activities_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// carrier takes every call, and loses the answer if it is told to.
type carrier struct {
	activities.Carrier
	mu     sync.Mutex
	calls  []models.PlacedCall
	placed int
	to     string // the number of the last one
	loses  bool

	time     time.Time           // its own; the zero time: it does not tell
	requests map[string][]string // by call
}

func (c *carrier) Place(_ context.Context, out models.OutboundCall) (models.PlacedCall, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = out.To
	if c.loses {
		return models.PlacedCall{}, failed(models.Ambiguous)
	}
	c.placed++
	call := models.PlacedCall{ID: fmt.Sprintf("CA%d", c.placed)}
	c.calls = append(c.calls, call)
	return call, nil
}

func (c *carrier) Recent(context.Context, string) ([]models.PlacedCall, time.Time, error) {
	return c.calls, c.time, nil
}

func (c *carrier) Requests(_ context.Context, id string) ([]string, error) {
	return c.requests[id], nil
}

// line is a phone with a number that contacts of two clients have.
type line struct {
	*bench
	carrier *carrier
	phone   activities.Phone
	clients [2]uuid.UUID
	contact [2]uuid.UUID
	ref     [2]models.Reference
}

func newLine(t *testing.T) *line {
	l := &line{bench: newBench(t), carrier: &carrier{}}
	l.phone = activities.Phone{Effects: l.ledger, Carrier: l.carrier, Simulated: l.carrier, Vendor: "twilio", PublicURL: &url.URL{Scheme: "https", Host: "watchfire.example"}}
	for n := range l.clients {
		c, err := l.ledger.Store.CreateClient(t.Context(), models.Client{LegalName: fmt.Sprint("Client ", n), TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, fmt.Sprint("line ", n), "")
		if err != nil {
			t.Fatal(err)
		}
		l.clients[n] = c.ID
		err = l.ledger.Store.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error {
			contact, err := tx.CreateContact(models.Contact{Name: "C", Phone: "+12025550177", Order: 1, Language: "en",
				Severities: models.Severities(), Channels: []models.Channel{models.ChannelVoice}}, "contact", "")
			if err != nil {
				return err
			}
			by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
			i, err := tx.OpenIncident(incident.Opened{ClientID: c.ID, Title: "t", Severity: models.SeverityCritical}, by, l.now, "open", "f")
			l.contact[n], l.ref[n] = contact.ID, i.Reference
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// call is a call of a client's incident, in its round.
func (l *line) call(client, round int) notify.Effect {
	return notify.CallEffect(l.ref[client], l.clients[client], 1, round, 1, l.contact[client])
}

// place asks for a call and wants it to end with an error of a type, "" for success.
func (l *line) place(e notify.Effect, want string) {
	l.Helper()
	_, err := l.phone.PlaceCall(l.Context(), activities.CallInput{Effect: e, RingFor: 30 * time.Second})
	var app *temporal.ApplicationError
	switch {
	case want == "" && err != nil:
		l.Fatalf("rejected: %v", err)
	case want != "" && (!errors.As(err, &app) || app.Type() != want):
		l.Fatalf("got %v, want an error of type %s", err, want)
	}
}

func (l *line) ledgerSays(e notify.Effect) (row store.LedgerRow) {
	l.Helper()
	err := l.ledger.Store.ForClient(l.Context(), store.Worker, e.ClientID, func(tx *store.Tx) (err error) {
		row, err = tx.Effect(e.Key)
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	return row
}

func TestANumberIsEngagedWhileWeCallIt(t *testing.T) {
	for _, other := range []int{0, 1} { // the same client's contact, and another's with the same number
		l := newLine(t)
		l.place(l.call(0, 1), "")
		l.place(l.call(other, 2), activities.ErrEngaged)
		if len(l.carrier.calls) != 1 {
			t.Fatalf("the carrier was asked for %d calls", len(l.carrier.calls))
		}
		if row := l.ledgerSays(l.call(other, 2)); row.State != notify.EffectIntended || row.Attempts != 0 {
			t.Errorf("the ledger says %s after %d attempts", row.State, row.Attempts)
		}
		l.place(l.call(0, 1), "") // the same call again is found done
		l.later(151 * time.Second)
		l.place(l.call(other, 2), "") // a call nobody tells the end of holds the number for a while
	}
}

func TestANumberIsFreeWhenTheCallIsOver(t *testing.T) {
	for name, end := range map[string]func(l *line) error{
		"our word": func(l *line) error {
			r := activities.Records{Store: l.ledger.Store}
			return r.Record(l.Context(), activities.RecordInput{ClientID: l.clients[0], Calls: []notify.CallEnd{{Effect: l.call(0, 1).Key, Outcome: notify.OutcomeNoAnswer}}})
		},
		"the carrier's": func(l *line) error {
			return l.ledger.Store.ForClient(l.Context(), store.Worker, l.clients[0], func(tx *store.Tx) error {
				_, err := tx.Advance("twilio", []store.VendorReport{{EventID: "1", Effect: l.ledgerSays(l.call(0, 1)).ID, State: string(models.CallNoAnswer), Sequence: 3}}, l.now)
				return err
			})
		},
	} {
		l := newLine(t)
		l.place(l.call(0, 1), "")
		if err := end(l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l.place(l.call(1, 1), "")
	}
}

func TestASimulatedCallEngagesNoNumber(t *testing.T) {
	l := newLine(t)
	pretended := l.call(0, 1)
	pretended.Simulated = true
	l.carrier.loses = true
	l.place(pretended, string(models.Ambiguous))
	l.carrier.loses = false
	l.place(l.call(1, 1), "")
	pretended = l.call(0, 2)
	pretended.Simulated = true
	l.place(pretended, "")
}

func TestALostCallIsNotTakenForAnotherClients(t *testing.T) {
	l := newLine(t)
	l.place(l.call(1, 1), "") // CA1
	l.later(151 * time.Second)
	l.carrier.loses = true
	l.place(l.call(0, 1), string(models.Ambiguous))
	l.later(settle)
	l.carrier.loses = false
	l.place(l.call(0, 1), "")
	if id := l.ledgerSays(l.call(0, 1)).VendorID; id != "CA2" {
		t.Errorf("the lost call is %s, which is the other client's", id)
	}
}

func TestAContactIsCalledAsTheyAreKnownAtThatMoment(t *testing.T) {
	l := newLine(t)
	change := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := l.ledger.Store.ForClient(t.Context(), store.SOC, l.clients[0], fn); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *store.Tx) error {
		c, err := tx.Contact(l.contact[0])
		if err != nil {
			return err
		}
		c.Phone = "+12025550188"
		_, err = tx.UpdateContact(c)
		return err
	})
	l.place(l.call(0, 1), "")
	if l.carrier.to != "+12025550188" {
		t.Errorf("called %s", l.carrier.to)
	}
	change(func(tx *store.Tx) error { return tx.RemoveContact(l.contact[0], l.now) })
	l.place(l.call(0, 2), string(models.Rejected))
	if len(l.carrier.calls) != 1 {
		t.Error("a contact who was removed is called")
	}
}

// The look-up of a call whose answer was lost proves it by the token in its addresses, by the carrier's own clock, and
// takes no stranger's call.
func TestALostCallIsProvenByItsToken(t *testing.T) {
	ours := func(row store.LedgerRow) []string {
		return []string{"https://watchfire.example/hooks/twilio/status/" + row.ClientID.String() + "/" + row.Token}
	}
	foreign := func(store.LedgerRow) []string { return []string{"https://elsewhere.example/hooks/1"} }
	silent := func(store.LedgerRow) []string { return nil }
	type call struct {
		after    time.Duration // the attempt
		requests func(store.LedgerRow) []string
	}
	l, round := newLine(t), 0
	for name, c := range map[string]struct {
		listed []call
		want   string // the id of the call, "again" for a new one, or the type of the error
	}{
		"ours among strangers'":       {[]call{{0, foreign}, {time.Second, ours}, {2 * time.Second, foreign}}, "CA2"},
		"a stranger's":                {[]call{{time.Second, foreign}}, "again"},
		"the carrier does not say":    {[]call{{time.Second, silent}}, string(models.Ambiguous)},
		"it does not say of one":      {[]call{{0, foreign}, {time.Second, silent}}, string(models.Ambiguous)},
		"from long before":            {[]call{{-10 * time.Minute, silent}}, "again"},
		"from long after":             {[]call{{settle + 10*time.Minute, silent}}, "again"},
		"more than can be looked at":  {slices.Repeat([]call{{0, foreign}}, 301), string(models.Ambiguous)},
		"ours, slow to be taken down": {[]call{{settle, ours}}, "CA1"},
	} {
		for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} { // of the carrier's clock
			t.Log(name, skew)
			l.later(time.Hour) // the number is free
			round++
			e := l.call(0, round)
			l.carrier.calls, l.carrier.loses = nil, true
			l.place(e, string(models.Ambiguous))
			l.later(20 * time.Minute)
			row := l.ledgerSays(e)
			l.carrier.loses, l.carrier.time, l.carrier.requests = false, time.Now().Add(skew), map[string][]string{}
			for n, k := range c.listed {
				id := fmt.Sprintf("CA%d/%d", n+1, round)
				l.carrier.calls = append(l.carrier.calls, models.PlacedCall{ID: id, At: row.AttemptAt.Add(skew + k.after)})
				l.carrier.requests[id] = k.requests(row)
			}
			placed := len(l.carrier.calls)
			switch c.want {
			case string(models.Ambiguous):
				l.place(e, c.want)
			case "again":
				l.place(e, "")
				placed++
			default:
				l.place(e, "")
				if id := l.ledgerSays(e).VendorID; id != fmt.Sprintf("%s/%d", c.want, round) {
					t.Errorf("the ledger took %s for ours, want %s", id, c.want)
				}
			}
			if len(l.carrier.calls) != placed {
				t.Errorf("%d calls were placed", len(l.carrier.calls)-len(c.listed))
			}
		}
	}
}

// What cannot be proven holds the call back for a while only: a call that comes twice is better than silence.
func TestACallThatIsNeverProvenIsPlacedOnceMore(t *testing.T) {
	l := newLine(t)
	l.carrier.loses = true
	l.place(l.call(0, 1), string(models.Ambiguous))
	l.carrier.loses = false
	l.carrier.calls = []models.PlacedCall{{ID: "CA-other"}}
	l.later(settle)
	l.place(l.call(0, 1), string(models.Ambiguous))
	l.later(giveUp)
	l.place(l.call(0, 1), string(models.Ambiguous))
	l.place(l.call(0, 1), "")
	if id := l.ledgerSays(l.call(0, 1)).VendorID; id != "CA1" {
		t.Errorf("the ledger took %s for ours", id)
	}
}
