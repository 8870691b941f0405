package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// due returns the notice that is due for a client, and whether there is one.
func (h *house) due(te tenant) (found notify.ContactNotice, ok bool) {
	h.Helper()
	all, err := h.UntoldContactChanges(h.Context())
	h.ok(err)
	for _, n := range all {
		if n.ClientID == te.ID {
			if ok {
				h.Errorf("two notices are due: %v", all)
			}
			found, ok = n, true
		}
	}
	return found, ok
}

func (h *house) beginNotice(te tenant, id uuid.UUID) (changes []notify.ContactChange) {
	h.Helper()
	h.as(store.Worker, te, func(tx *store.Tx) (err error) {
		changes, err = tx.BeginContactNotice(id)
		return err
	})
	return changes
}

// Every change is told by one notice; those that come while one was begun lately wait for the next.
func TestChangesOfContactsWaitForOneNotice(t *testing.T) {
	h := newHouse(t)
	change := func(te tenant) {
		h.as(store.SOC, te, func(tx *store.Tx) error { return tx.AppendContactChange(contactChange(te, models.RoleLead)) })
	}
	change(h.other)
	for range 120 {
		change(h.acme)
	}
	first, ok := h.due(h.acme)
	equal(t, "a notice is due", ok, true)
	changes := h.beginNotice(h.acme, first.ID)
	equal(t, "changes told at once", len(changes), 100)
	equal(t, "the first", changes[0].ID, first.ID)
	equal(t, "told of", [2]notify.Addresses{changes[0].Before, changes[0].After}, [2]notify.Addresses{contactChange(h.acme, models.RoleLead).Before, {Email: "new@client.example"}})
	equal(t, "again", len(h.beginNotice(h.acme, first.ID)), 100)
	if n, ok := h.due(h.acme); ok {
		t.Errorf("the rest does not wait: %v", n)
	}
	if _, ok := h.due(h.other); !ok {
		t.Error("another client waits, too")
	}
	open, _, err := h.OpenContactNotices(t.Context())
	h.ok(err)
	h.owner("update contact_changes set noticed_at = now() - interval '61 seconds' where noticed_at is not null")
	second, ok := h.due(h.acme)
	equal(t, "the rest is due", ok && second != first, true)
	other, _ := h.due(h.other)
	equal(t, "the open notices", slices.Equal(open, []notify.ContactNotice{other, first, second}), true)
	equal(t, "the rest", len(h.beginNotice(h.acme, second.ID)), 20)
	h.owner("update contact_changes set at = at - interval '1 hour' where notice_id = '" + second.ID.String() + "'")
	late, err := h.ClientsNotTold(t.Context(), time.Hour)
	h.ok(err)
	equal(t, "the clients not told for an hour", slices.Equal(late, []int{h.acme.Number}), true)

	h.owner("update contact_changes set noticed_at = now() - interval '11 minutes' where notice_id = '" + first.ID.String() + "'")
	again, ok := h.due(h.acme)
	equal(t, "a notice that did not end is due again", ok && again == first, true)
	h.as(store.Worker, h.acme, func(tx *store.Tx) error { return tx.EndContactNotice(first.ID) })
	if n, ok := h.due(h.acme); ok {
		t.Errorf("a notice that ended is due: %v", n)
	}
	equal(t, "told again", len(h.beginNotice(h.acme, first.ID)), 0)
	equal(t, "addresses that were kept", len(ownerTexts(t, h.ownerURL, "select id::text from contact_changes where told_at is not null and (before is not null or after is not null)")), 0)
	equal(t, "addresses that are still needed", len(ownerTexts(t, h.ownerURL, "select id::text from contact_changes where before is not null and client_id = '"+h.acme.ID.String()+"'")), 20)
}

func TestAChangeOfAContactIsKeptWithItOrNotAtAll(t *testing.T) {
	h := newHouse(t)
	h.fails(h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
		h.ok(tx.RemoveContact(h.acme.contact.ID, tx.Now()))
		h.ok(tx.AppendContactChange(contactChange(h.acme, models.RoleLead)))
		return models.Errorf(models.Conflict, "no")
	}), models.Conflict)
	if n, ok := h.due(h.acme); ok {
		t.Errorf("a change that was not made is told: %v", n)
	}
}

func TestAdminsAreThoseOfTheClientWhoAreEnabled(t *testing.T) {
	h := newHouse(t)
	admin := h.newUser(models.User{ClientID: h.acme.ID, Name: "A", Email: "Boss@client.example", Role: models.RoleAdmin})
	h.newUser(models.User{ClientID: h.other.ID, Name: "B", Email: "boss@other.example", Role: models.RoleAdmin})
	left := h.newUser(models.User{ClientID: h.acme.ID, Name: "C", Email: "left@client.example", Role: models.RoleAdmin})
	h.ok(h.ForLogins(t.Context(), h.acme.ID, func(tx *store.Tx) error {
		_, _, err := tx.ChangeUser(left.ID, store.UserChange{Role: models.RoleAdmin, Disabled: true})
		return err
	}))
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		all, err := tx.Admins()
		if err == nil && (len(all) != 1 || all[0].ID != admin.ID || all[0].Email != "Boss@client.example") {
			t.Errorf("got %+v", all)
		}
		return err
	})
}
