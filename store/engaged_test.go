package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestOnlyOneAtATimeIsToldThatANumberIsFree(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open-1")
	e := notify.CallEffect(i.Reference, h.acme.ID, 1, 1, 1, h.acme.contact.ID)
	second := make(chan bool, 1)
	var asking sync.WaitGroup
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		row, err := tx.Intend(e, noon)
		h.ok(err)
		engaged, err := tx.IsEngaged(h.acme.contact.Phone, row.ID, noon.Add(-time.Minute))
		h.ok(err)
		equal(t, "engaged before anybody is called", engaged, false)
		_, err = tx.Attempt(e.Key, time.Time{}, noon)
		h.ok(err)
		asking.Go(func() {
			h.as(store.Worker, h.other, func(tx *store.Tx) error { // their contact has the same number
				engaged, err := tx.IsEngaged(h.other.contact.Phone, h.other.contact.ID, noon.Add(-time.Minute))
				second <- engaged
				return err
			})
		})
		waits := "select count(*)::text from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())"
		for len(second) == 0 && ownerTexts(t, h.ownerURL, waits)[0] != "1" {
			continue
		}
		return nil
	})
	equal(t, "engaged for whoever asked meanwhile", <-second, true)
	asking.Wait() // for the end of their transaction, too
	h.as(store.Worker, h.other, func(tx *store.Tx) error {
		_, err := tx.Effect(e.Key)
		h.fails(err, models.NotFound)
		engaged, err := tx.IsEngaged(h.other.contact.Phone, h.other.contact.ID, noon.Add(-time.Minute))
		equal(t, "engaged", engaged, true)
		_, denied := tx.Effect(e.Key)
		h.fails(denied, models.NotFound) // it sees its own client again
		return err
	})
}
