package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// ledger runs fn as a worker of Acme.
func (w *world) ledger(fn func(*store.Tx) error) {
	w.Helper()
	w.ok(w.store.ForClient(w.Context(), store.Worker, w.acme.ID, fn))
}

// mail plans a mail about an incident of Acme and returns its key.
func (w *world) mail(ref models.Reference, contact uuid.UUID, occurrence int, planned time.Time) string {
	w.Helper()
	e := notify.MessageEffect(ref, w.acme.ID, notify.Notification{
		Purpose: notify.PurposeReminder, Revision: 1, Occurrence: occurrence, Contact: contact, Channel: models.ChannelEmail})
	w.ledger(func(tx *store.Tx) error {
		_, err := tx.Intend(e, planned)
		return err
	})
	return e.Key
}

type deliveryPage struct {
	Items           []notify.Delivery
	Next            string
	Acknowledgement *struct{ By, Name, Channel, How string }
}

// deliveryPages reads a list of deliveries to its end; the path has its first parameter already.
func (w *world) deliveryPages(who, path string) (pages []deliveryPage) {
	w.Helper()
	for target := path; len(pages) < 100; {
		var page deliveryPage
		w.must(http.StatusOK, w.get(who, target)).into(w, &page)
		pages = append(pages, page)
		if page.Next == "" {
			return pages
		}
		target = path + "&cursor=" + page.Next
	}
	w.Fatalf("%s does not end", path)
	return nil
}

func TestDeliveriesOfAnIncidentArePaged(t *testing.T) {
	w := newWorld(t)
	ref, another, ada := w.published(), w.published(), w.contact()
	w.happen(ref, models.Actor{Side: models.SideClient, ID: "contact:" + ada.String()}, &incident.AcknowledgedBy{Channel: "sms", How: "reply to text message"})
	began := time.Now()
	var want []string // in the order planned, which is not that of the keys
	for n := range 6 {
		want = append([]string{w.mail(ref, ada, n+1, began.Add(-time.Duration(n)*time.Second))}, want...)
	}
	w.mail(another, ada, 1, began)
	for _, who := range []string{"analyst", "viewer"} {
		for limit, count := range map[int]int{2: 3, 4: 2, 6: 1, 200: 1} {
			var got []string
			pages := w.deliveryPages(who, at(ref, fmt.Sprintf("deliveries?limit=%d", limit)))
			for _, page := range pages {
				if page.Acknowledgement == nil || page.Acknowledgement.By != ada.String() || len(page.Items) > limit {
					t.Errorf("%s, %d at once: %+v", who, limit, page)
				}
				for _, d := range page.Items {
					got = append(got, d.Key)
				}
			}
			if !slices.Equal(got, want) || len(pages) != count {
				t.Errorf("%s, %d at once: %d pages of %v, want %d of %v", who, limit, len(pages), got, count, want)
			}
		}
	}
	for n := range 45 { // 51 in all, at moments that are shared
		w.mail(ref, ada, n+7, began)
	}
	seen := map[uuid.UUID]bool{}
	pages := w.deliveryPages("analyst", at(ref, "deliveries?"))
	for _, page := range pages {
		for _, d := range page.Items {
			seen[d.ID] = true
		}
	}
	if len(pages) != 2 || len(pages[0].Items) != 50 || len(pages[1].Items) != 1 || len(seen) != 51 {
		t.Errorf("%d pages with %d deliveries", len(pages), len(seen))
	}
}

// A test belongs to no incident, so only the contact's deliveries show it.
func TestDeliveriesToAContact(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.contact(), w.contactWith(map[string]any{"name": "Bob", "phone": "+12025550101"}).ID
	began := time.Now().Add(-time.Minute)
	var want []string // the newest first
	for n := range 3 {
		want = append([]string{w.mail(w.published(), ada, 1, began.Add(time.Duration(n)*time.Second))}, want...)
	}
	w.mail(w.published(), bob, 1, began)
	w.code(ada, models.ChannelVoice)
	w.must(http.StatusAccepted, w.post("analyst", contactPath(w, ada, "test-channel"), channel(models.ChannelSMS)))
	row, err := w.engine.Carry(t.Context(), ada, models.ChannelSMS)
	w.ok(err)
	w.ledger(func(tx *store.Tx) error {
		_, err := tx.Advance("twilio", []store.VendorReport{{EventID: "e1", Effect: row.ID, State: "undelivered", Sequence: -1, At: began, Detail: "30003"}}, time.Now())
		return err
	})

	all := w.deliveryPages("operator", contactPath(w, ada, "deliveries?"))[0].Items
	if len(all) != 5 {
		t.Fatalf("%+v", all)
	}
	test, code := all[0], all[1]
	if test.ID != row.ID || test.Purpose != notify.PurposeTest || test.Kind != notify.EffectText || test.Incident != "" || test.Contact != ada ||
		test.ContactName != "Ada Example" || test.VendorState != "undelivered" || len(test.States) != 1 || test.States[0].Detail != "30003" {
		t.Errorf("%+v", test)
	}
	if code.Purpose != notify.PurposeCode || code.Kind != notify.EffectCall || len(code.States) != 0 {
		t.Errorf("%+v", code)
	}
	want = append([]string{test.Key, code.Key}, want...)
	w.must(http.StatusNoContent, w.remove("analyst", contactPath(w, ada))) // the contact's deliveries stay
	for limit, count := range map[int]int{1: 5, 2: 3, 5: 1} {
		var got []string
		pages := w.deliveryPages("analyst", contactPath(w, ada, fmt.Sprintf("deliveries?limit=%d", limit)))
		for _, page := range pages {
			for _, d := range page.Items {
				got = append(got, d.Key)
			}
		}
		if !slices.Equal(got, want) || len(pages) != count {
			t.Errorf("%d at once: %d pages of %v, want %d of %v", limit, len(pages), got, count, want)
		}
	}
}

func TestDeliveriesSayWhoAcknowledgedAndWhatVendorsSaid(t *testing.T) {
	w := newWorld(t)
	ref, ada := w.published(), w.contactWith(map[string]any{"name": "Ada"})
	read := func(who string, ref models.Reference) deliveryPage {
		t.Helper()
		var list deliveryPage
		w.must(http.StatusOK, w.get(who, at(ref, "deliveries"))).into(t, &list)
		return list
	}
	if list := read("viewer", ref); list.Acknowledgement != nil || len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	w.ledger(func(tx *store.Tx) error {
		text := notify.MessageEffect(ref, w.acme.ID, notify.Notification{
			Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: ada.ID, Channel: models.ChannelSMS})
		row, err := tx.Intend(text, time.Now())
		if err != nil {
			return err
		}
		if _, err := tx.Advance("twilio", []store.VendorReport{{EventID: "e1", Effect: row.ID, State: "delivered", Sequence: -1, At: time.Now(), Detail: "30003"}}, time.Now()); err != nil {
			return err
		}
		gone := notify.MessageEffect(ref, w.acme.ID, notify.Notification{Purpose: notify.PurposeReminder, Revision: 1, Occurrence: 1, Contact: ada.ID, Channel: models.ChannelEmail})
		if _, err := tx.Intend(gone, time.Now().Add(time.Hour)); err != nil {
			return err
		}
		if err := tx.Cancel(gone.Key, "", time.Now()); err != nil {
			return err
		}
		return tx.Acknowledge(text.Key, ada.ID, "reply to text message", time.Now())
	})
	w.happen(ref, models.Actor{Side: models.SideClient, ID: "contact:" + ada.ID.String()}, &incident.AcknowledgedBy{Channel: "sms", How: "reply to text message"})
	list := read("viewer", ref)
	if a := list.Acknowledgement; a == nil || a.By != ada.ID.String() || a.Name != "Ada" || a.Channel != "sms" || a.How != "reply to text message" {
		t.Errorf("%+v", a)
	}
	if len(list.Items) != 2 || list.Items[1].State != notify.EffectCanceled {
		t.Fatalf("%+v", list.Items)
	}
	d := list.Items[0]
	if d.Kind != notify.EffectText || d.AcknowledgedBy != ada.ID || d.How == "" || d.Occurrence != 1 || len(d.States) != 1 || d.States[0].Detail != "30003" {
		t.Errorf("%+v", d)
	}
	byUser := w.published()
	w.must(http.StatusOK, w.post("responder", at(byUser, "acknowledge"), map[string]any{}))
	for _, who := range []string{"analyst", "viewer"} {
		if a := read(who, byUser).Acknowledgement; a == nil || a.By != w.users["responder"].ID.String() || a.Name != "responder" || a.Channel != "api" {
			t.Errorf("%s reads %+v", who, a)
		}
	}
}
