package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// deliveries lists the effects of an incident as a worker of a client sees them.
func (h *house) deliveries(te tenant, r models.Reference) []models.Delivery {
	h.Helper()
	var all []models.Delivery
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		all, err = tx.Deliveries(r)
		return err
	})
	return all
}

func TestDeliveriesNameContacts(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 3)
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(models.EndpointEffect(i.Reference, h.acme.ID, models.PurposeIsolate, "e1", 1, 1), noon.Add(time.Second))
		return err
	})
	h.advance(h.acme, "sendgrid", store.Word{EventID: "e", Effect: row.ID, State: "deferred", Rank: 2, Sequence: -1, Detail: "421"})
	look := func(who string, tx *store.Tx) error {
		all, err := tx.Deliveries(i.Reference)
		h.ok(err)
		equal(t, who+": deliveries", len(all), 2)
		equal(t, who+": incident", all[0].Incident, i.Reference)
		equal(t, who+": name", all[0].ContactName, h.acme.contact.Name)
		equal(t, who+": contact", all[0].Contact, h.acme.contact.ID)
		equal(t, who+": occurrence", all[0].Occurrence, 3)
		same(t, who+": words", all[0].States, []models.DeliveryState{{State: "deferred", At: noon, Detail: "421"}})
		equal(t, who+": endpoint", all[1].Endpoint, "e1")
		equal(t, who+": contact of an isolation", all[1].Contact, uuid.Nil)
		same(t, who+": words on an isolation", all[1].States, []models.DeliveryState{})
		return nil
	}
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			before := h.Statements()
			defer func() { equal(t, "statements", h.Statements()-before, 2) }()
			return look(string(who), tx)
		})
	}
	h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error { return look("over all clients", tx) }))
	equal(t, "deliveries of another client's incident", len(h.deliveries(h.other, i.Reference)), 0)
}

func TestWordsAreListedAsTheyCame(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	word := func(state string, rank int, at time.Time) store.Word {
		return store.Word{EventID: fmt.Sprint("event ", 9-rank), Effect: row.ID, State: state, Rank: rank, Sequence: -1, At: at}
	}
	second := noon.Truncate(time.Second) // a vendor may count in seconds
	h.advance(h.acme, "v", word("delivered", 4, second), word("deferred", 2, second), word("accepted", 0, second.Add(-time.Second)))
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Advance("v", []store.Word{word("a late one", 1, second.Add(-time.Hour))}, noon.Add(time.Minute))
		return err
	})
	var states []string
	for _, s := range h.deliveries(h.acme, i.Reference)[0].States {
		states = append(states, s.State)
	}
	same(t, "words", states, []string{"accepted", "deferred", "delivered", "a late one"})
}

func TestAwaitedReplies(t *testing.T) {
	h := newHouse(t)
	i, foreign := h.published(h.acme, "open"), h.published(h.other, "open")
	phone := h.acme.contact.Phone // both tenants' contacts have it
	var removed, another models.Contact
	h.soc(func(tx *store.Tx) (err error) {
		removed, err = tx.CreateContact(models.Contact{Name: "Removed", Phone: phone}, "contact-2", "")
		h.ok(err)
		h.ok(tx.RemoveContact(removed.ID, noon))
		another, err = tx.CreateContact(models.Contact{Name: "Another", Phone: "+15005550001"}, "contact-3", "")
		return err
	})
	text := func(te tenant, i models.Incident, n int, at time.Time, change func(*models.Effect)) string {
		e := message(te, i, models.ChannelSMS, n)
		change(&e)
		h.as(store.Worker, te, func(tx *store.Tx) error {
			_, err := tx.Intend(e, at)
			h.ok(err)
			return tx.Accept(e.Key, "twilio", e.Key, at)
		})
		return e.Key
	}
	as := func(contact uuid.UUID) func(*models.Effect) { return func(e *models.Effect) { e.Contact = contact } }
	plain := func(*models.Effect) {}
	first := text(h.acme, i, 1, noon.Add(time.Minute), plain)
	newest := text(h.other, foreign, 1, noon.Add(2*time.Minute), plain)
	text(h.acme, i, 2, noon, plain)
	text(h.acme, i, 3, noon.Add(time.Minute), as(removed.ID))
	text(h.acme, i, 4, noon.Add(time.Minute), as(another.ID))
	text(h.acme, i, 5, noon.Add(time.Minute), func(e *models.Effect) { e.Incident = "" })
	text(h.acme, i, 6, noon.Add(time.Minute), func(e *models.Effect) { e.Kind = models.EffectMail })
	h.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(message(h.acme, i, models.ChannelSMS, 7), noon.Add(time.Minute))
		return err
	})
	replies := func(phone string) (keys []string) {
		h.ok(h.ForSOC(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.AwaitedReplies(phone, noon)
			for _, row := range rows {
				keys = append(keys, row.Key)
			}
			return err
		}))
		return keys
	}
	same(t, "texts", replies(phone), []string{newest, first})
	equal(t, "texts to an unknown number", len(replies("+15005559999")), 0)
	for n := range 60 {
		text(h.acme, i, 100+n, noon.Add(time.Hour), plain)
	}
	equal(t, "texts at most", len(replies(phone)), 50)
}
