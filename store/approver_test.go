package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestOnlyAUserOfTheClientConfirmsAnApprover(t *testing.T) {
	h := newHouse(t)
	confirm := func(who store.Audience, te tenant, user uuid.UUID) error {
		return h.ForClient(t.Context(), who, te.ID, func(tx *store.Tx) error {
			_, err := tx.ConfirmApprover(h.acme.contact.ID, user, "", noon)
			return err
		})
	}
	h.fails(confirm(store.SOC, h.acme, h.acme.user.ID), models.Forbidden)
	h.fails(confirm(store.Worker, h.acme, h.acme.user.ID), models.Forbidden)
	h.fails(confirm(store.Portal, h.other, h.other.user.ID), models.NotFound)
	for _, stranger := range []uuid.UUID{h.analyst.ID, h.other.user.ID} {
		if confirm(store.Portal, h.acme, stranger) == nil {
			t.Errorf("a user who is not the client's confirmed an approver")
		}
	}
	h.ok(confirm(store.Portal, h.acme, h.acme.user.ID))
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		c, err := tx.Contact(h.acme.contact.ID)
		same(t, "approver", c.Approver, &models.Approver{By: h.acme.user.ID, At: noon})
		return err
	})
}

// The SOC may change where a contact is reached, and cannot hide that it did.
func TestEveryChangeOfReachIsCounted(t *testing.T) {
	h := newHouse(t)
	h.as(store.Portal, h.acme, func(tx *store.Tx) error {
		_, err := tx.ConfirmApprover(h.acme.contact.ID, h.acme.user.ID, "", noon)
		return err
	})
	err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error { return tx.Exec("update contacts set address_version = 1") })
	h.fails(err, models.Forbidden)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		return tx.Exec("update contacts set removed_at = ? where id = ?", noon, h.acme.contact.ID)
	})
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		return tx.Exec("update contacts set removed_at = null where id = ?", h.acme.contact.ID)
	})
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		c, err := tx.Contact(h.acme.contact.ID)
		if c.Approver != nil {
			t.Errorf("a contact who was removed and is back may approve: %+v", c.Approver)
		}
		return err
	})
}

func TestTheCallbacksReadTheHashOfOneContact(t *testing.T) {
	h := newHouse(t)
	h.everything(h.acme)
	h.ok(h.As(t.Context(), "watchfire_hooks", h.acme.ID, func(tx *store.Tx) error {
		all, err := tx.Texts("select pin from approvers")
		equal(t, "hashes without a contact", len(all), 0)
		return err
	}))
	h.as(store.Hooks, h.acme, func(tx *store.Tx) error {
		hash, err := tx.ApproverPIN(h.acme.contact.ID)
		equal(t, "hash", hash, "hash")
		return err
	})
	h.as(store.Hooks, h.acme, func(tx *store.Tx) error {
		hash, err := tx.ApproverPIN(uuid.New())
		equal(t, "hash of nobody", hash, "")
		return err
	})
	h.as(store.Portal, h.acme, func(tx *store.Tx) error {
		_, err := tx.RevokeApprover(h.acme.contact.ID, h.acme.user.ID, noon.Add(time.Hour))
		return err
	})
	h.as(store.Hooks, h.acme, func(tx *store.Tx) error {
		hash, err := tx.ApproverPIN(h.acme.contact.ID)
		equal(t, "hash after it was revoked", hash, "")
		return err
	})
}
