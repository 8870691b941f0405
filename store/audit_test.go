package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestChangesAreKeptOfBothSidesAndPaged(t *testing.T) {
	h := newHouse(t)
	for n, at := range []time.Time{noon, noon.Add(time.Second), noon.Add(time.Second), noon.Add(time.Minute)} { // two share a moment
		by, as := h.analyst, store.SOC
		if n == 3 {
			by, as = h.acme.user, store.Portal
		}
		h.as(as, h.acme, func(tx *store.Tx) error { return tx.AppendAudit(h.change(by, at)) })
	}
	h.as(store.SOC, h.other, func(tx *store.Tx) error { return tx.AppendAudit(h.change(h.analyst, noon)) })
	for _, who := range []store.Audience{store.SOC, store.Portal} {
		var got []models.AuditEntry
		for place := (store.Cursor{}); len(got) < 4; {
			h.as(who, h.acme, func(tx *store.Tx) error {
				list, err := tx.AuditLog(place, 1)
				h.ok(err)
				equal(t, "changes on a page", len(list), 1)
				place = store.Cursor{At: list[0].At, ID: list[0].ID.String()}
				got = append(got, list...)
				names, err := tx.UserNames([]uuid.UUID{h.acme.user.ID, h.other.user.ID})
				equal(t, "names after the list", len(names), 1) // it has its own sight again
				return err
			})
		}
		var people []string
		for _, c := range got {
			people = append(people, c.ByName)
			c.ID, c.ByName = uuid.Nil, ""
			by := map[models.Side]models.User{models.SideSOC: h.analyst, models.SideClient: h.acme.user}[c.Side]
			same(t, "change", c, h.change(by, c.At))
		}
		same(t, "who", people, []string{h.acme.user.Name, h.analyst.Name, h.analyst.Name, h.analyst.Name})
		if !slices.IsSortedFunc(got, func(a, b models.AuditEntry) int { return b.At.Compare(a.At) }) {
			t.Errorf("not the newest first: %+v", got)
		}
		h.as(who, h.acme, func(tx *store.Tx) error {
			last := got[3]
			list, err := tx.AuditLog(store.Cursor{At: last.At, ID: last.ID.String()}, 1)
			equal(t, "changes after the last", len(list), 0)
			return err
		})
		h.fails(h.ForClient(t.Context(), who, h.acme.ID, func(tx *store.Tx) error {
			_, err := tx.AuditLog(store.Cursor{At: noon, ID: "x"}, 1)
			return err
		}), models.Invalid)
	}
	for _, sql := range []string{"update audit_log set fields = '[]'", "delete from audit_log", "truncate audit_log"} {
		if err := ownerExec(t.Context(), h.ownerURL, sql); err == nil {
			t.Errorf("the owner may %s", sql)
		}
	}
}
