package hooks_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	burst       = 2000 // contacts, each with one mail and one call
	burstBounce = 20   // every so manyth mail bounces
)

// crowd gives the incident many contacts more, and plans an effect for each.
func (d *door) crowd(plan func(contact uuid.UUID) notify.Effect) (rows []store.LedgerRow) {
	d.Helper()
	var contacts []uuid.UUID
	d.ok(d.store.ForClient(d.Context(), store.SOC, d.client.ID, func(tx *store.Tx) error {
		for n := range burst {
			c, err := tx.CreateContact(models.Contact{Name: fmt.Sprint("Contact ", n), Language: "en"}, fmt.Sprint("crowd ", n), "")
			if err != nil {
				return err
			}
			contacts = append(contacts, c.ID)
		}
		return nil
	}))
	d.ledger(d.client.ID, func(tx *store.Tx) error {
		for _, c := range contacts {
			row, err := tx.Intend(plan(c), d.now)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows
}

// atOnce does things from many places, in no order.
func atOnce[T any](places int, things []T, do func(T)) {
	rand.Shuffle(len(things), func(a, b int) { things[a], things[b] = things[b], things[a] })
	queue := make(chan T)
	var all sync.WaitGroup
	for range places {
		all.Go(func() {
			for thing := range queue {
				do(thing)
			}
		})
	}
	for _, thing := range things {
		queue <- thing
	}
	close(queue)
	all.Wait()
}

// settled checks the last words on all effects of an incident.
func (d *door) settled(rows []store.LedgerRow, want func(n int) string) {
	d.Helper()
	states := map[string]string{}
	d.ledger(d.client.ID, func(tx *store.Tx) error {
		const atOnce = 1000
		for c := (store.Cursor{}); ; {
			deliveries, err := tx.Deliveries(d.incident.Reference, c, atOnce)
			for _, delivery := range deliveries {
				states[delivery.Key] = delivery.VendorState
				c = store.Cursor{At: delivery.PlannedAt, ID: delivery.ID.String()}
			}
			if err != nil || len(deliveries) < atOnce {
				return err
			}
		}
	})
	wrong := 0
	for n, row := range rows {
		if states[row.Key] != want(n) {
			wrong++
		}
	}
	if wrong > 0 {
		d.Errorf("%d of %d effects are not as they should be", wrong, len(rows))
	}
}

func TestABurstOfMailEvents(t *testing.T) {
	d := newDoor(t)
	mails := d.crowd(func(c uuid.UUID) notify.Effect {
		return notify.MessageEffect(d.incident.Reference, d.client.ID, notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: c, Channel: models.ChannelEmail})
	})
	final := func(n int) string {
		if n%burstBounce == 0 {
			return "bounce"
		}
		return "delivered"
	}
	var events []string
	for n, mail := range mails {
		events = append(events, event(mail, fmt.Sprint("p", n), "processed"), event(mail, fmt.Sprint("d", n), "delivered"))
		if final(n) == "bounce" {
			events = append(events, event(mail, fmt.Sprint("b", n), "bounce"))
		}
	}
	rand.Shuffle(len(events), func(a, b int) { events[a], events[b] = events[b], events[a] })
	events = append(events, events[:len(events)/10]...)
	rand.Shuffle(len(events), func(a, b int) { events[a], events[b] = events[b], events[a] })
	var batches [][]string
	for len(events) > 0 {
		size := min(1+rand.IntN(100), len(events))
		batches, events = append(batches, events[:size]), events[size:]
	}
	atOnce(16, batches, func(batch []string) {
		if w := d.events(batch...); w.Code != http.StatusNoContent {
			t.Errorf("a batch is answered %d", w.Code)
		}
	})
	d.settled(mails, final)
	times := map[told]int{}
	for _, fact := range d.engine.told {
		times[fact]++
	}
	if len(times) != burst/burstBounce {
		t.Errorf("%d bounces were told of %d", len(times), burst/burstBounce)
	}
	for fact, n := range times {
		if n != 1 {
			t.Errorf("told %d times: %v", n, fact)
		}
	}
}

func TestABurstOfCallReports(t *testing.T) {
	d := newDoor(t)
	calls := d.crowd(func(c uuid.UUID) notify.Effect {
		return notify.CallEffect(d.incident.Reference, d.client.ID, 1, 1, 1, c)
	})
	type word struct {
		call     int
		status   string
		sequence string
	}
	var words []word
	for n := range calls {
		words = append(words, word{n, "initiated", "0"}, word{n, "ringing", "1"}, word{n, "completed", "3"})
	}
	atOnce(200, words, func(w word) {
		form := url.Values{"CallSid": {fmt.Sprintf("CA%032x", w.call)}, "CallStatus": {w.status}, "SequenceNumber": {w.sequence}}
		if got := d.twilio("status", calls[w.call], "", form); got.Code != http.StatusNoContent {
			t.Errorf("%v is answered %d", w, got.Code)
		}
	})
	d.settled(calls, func(int) string { return "completed" })
	ended := map[told]bool{}
	for _, fact := range d.engine.told {
		ended[fact] = true
	}
	if len(ended) != burst {
		t.Errorf("the end of %d calls of %d was told", len(ended), burst)
	}
}
