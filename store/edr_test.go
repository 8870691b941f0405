package store_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func edrCredentials(vendor string, at time.Time) store.EDRCredentials {
	return store.EDRCredentials{
		Vendor: vendor, BaseURL: "https://api." + vendor + ".example", Open: map[string]string{"id": at.String()}, Sealed: []byte("sealed " + at.String()), DataKey: []byte("key " + at.String()),
		UpdatedAt: at, UpdatedBy: uuid.MustParse("7d1a3c52-6f0e-4b0a-9c55-3b8f7f0b6a10"),
	}
}

func (h *house) setEDR(te tenant, vendor string, at time.Time) {
	h.Helper()
	h.as(store.SOC, te, func(tx *store.Tx) error {
		return tx.SetEDRCredentials(edrCredentials(vendor, at), models.EDR{Vendor: vendor})
	})
}

func (h *house) edrOf(te tenant, vendor string) (c store.EDRCredentials, err error) {
	err = h.ForClient(h.Context(), store.Worker, te.ID, func(tx *store.Tx) (err error) {
		c, err = tx.EDRCredentials(vendor)
		return err
	})
	return c, err
}

func TestEDRCredentialsAreReplaced(t *testing.T) {
	h := newHouse(t)
	kept, err := h.HasEDRCredentials(t.Context())
	h.ok(err)
	equal(t, "kept at first", kept, false)
	_, err = h.edrOf(h.acme, "mde")
	h.fails(err, models.NotFound)
	for _, at := range []time.Time{noon, noon.Add(time.Hour)} {
		h.setEDR(h.acme, "mde", at)
		got, err := h.edrOf(h.acme, "mde")
		h.ok(err)
		want := edrCredentials("mde", at)
		if !bytes.Equal(got.Sealed, want.Sealed) || !bytes.Equal(got.DataKey, want.DataKey) || !got.UpdatedAt.Equal(at) || got.BaseURL != want.BaseURL || got.Open["id"] != at.String() || got.UpdatedBy != want.UpdatedBy {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	h.setEDR(h.acme, "trend", noon)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		c, err := tx.Client()
		equal(t, "EDR", c.EDR, models.EDR{Vendor: "trend"})
		h.ok(err)
		return nil
	})
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		all, err := tx.AllEDRCredentials()
		if len(all) != 1 || all[0].Vendor != "trend" { // those of another vendor are dropped
			t.Errorf("kept are %+v", all)
		}
		return err
	})
	kept, err = h.HasEDRCredentials(t.Context())
	h.ok(err)
	equal(t, "kept", kept, true)
	_, err = h.edrOf(h.other, "mde")
	h.fails(err, models.NotFound)
	h.fails(h.ForClient(t.Context(), store.SOC, uuid.New(), func(tx *store.Tx) error {
		return tx.SetEDRCredentials(edrCredentials("mde", noon), models.EDR{Vendor: "mde"})
	}), models.NotFound)
}

func TestWhatIsKnownOfAnEDR(t *testing.T) {
	h := newHouse(t)
	status := func(who store.Audience) (s models.EDRStatus) {
		t.Helper()
		h.as(who, h.acme, func(tx *store.Tx) (err error) {
			s, err = tx.EDRStatus()
			return err
		})
		return s
	}
	same(t, "the provider's own", status(store.SOC), models.EDRStatus{EDR: models.EDR{Vendor: "crowdstrike", Tenant: "cid"}})
	h.setEDR(h.acme, "mde", noon)
	c := edrCredentials("mde", noon)
	want := models.EDRStatus{EDR: models.EDR{Vendor: "mde"}, BaseURL: c.BaseURL, Values: c.Open, SetAt: noon, SetBy: c.UpdatedBy}
	same(t, "never checked", status(store.SOC), want)
	checked := models.EDRCheck{Vendor: "mde", Problem: "config", At: noon.Add(time.Minute), SetAt: noon}
	save := func(tx *store.Tx) error { return tx.SaveEDRCheck(checked) }
	h.as(store.SOC, h.acme, save)
	h.fails(h.ForClient(t.Context(), store.Portal, h.acme.ID, save), models.Forbidden)
	want.Check = &checked
	same(t, "checked", status(store.SOC), want)
	same(t, "as the portal sees it", status(store.Portal), models.EDRStatus{EDR: want.EDR, SetAt: noon, Check: &checked})
	h.owner("update edr_credentials set open_values = null")
	if got := status(store.SOC); got.Values != nil {
		t.Errorf("values nobody kept: %v", got.Values)
	}
	h.setEDR(h.acme, "mde", noon.Add(time.Hour))
	equal(t, "changed since the check", status(store.SOC).Changed, true)
	h.setEDR(h.acme, "trend", noon)
	if got := status(store.SOC); got.Check != nil || got.Changed {
		t.Errorf("the check of another product: %+v", got)
	}
}

func TestAnEDRIsTakenBack(t *testing.T) {
	h := newHouse(t)
	h.setEDR(h.acme, "mde", noon)
	h.setEDR(h.other, "mde", noon)
	for range 2 {
		h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.RemoveEDR() })
	}
	_, err := h.edrOf(h.acme, "mde")
	h.fails(err, models.NotFound)
	_, err = h.edrOf(h.other, "mde")
	h.ok(err)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		s, err := tx.EDRStatus()
		same(t, "what is known", s, models.EDRStatus{})
		return err
	})
	for _, who := range []store.Audience{store.Portal, store.Worker} {
		h.fails(h.ForClient(t.Context(), who, h.other.ID, func(tx *store.Tx) error { return tx.RemoveEDR() }), models.Forbidden)
	}
	h.fails(h.ForClient(t.Context(), store.SOC, uuid.New(), func(tx *store.Tx) error { return tx.RemoveEDR() }), models.NotFound)
}

func TestADataKeyIsReplacedUnlessTheCredentialsWere(t *testing.T) {
	h := newHouse(t)
	h.setEDR(h.acme, "mde", noon)
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{noon, true}, {noon.Add(-time.Second), false}} {
		h.as(store.SOC, h.acme, func(tx *store.Tx) error {
			did, err := tx.SetEDRDataKey("mde", c.at, []byte("new"))
			equal(t, "replaced", did, c.want)
			return err
		})
	}
	got, err := h.edrOf(h.acme, "mde")
	h.ok(err)
	equal(t, "data key", string(got.DataKey), "new")
	equal(t, "sealed", string(got.Sealed), string(edrCredentials("mde", noon).Sealed))
	equal(t, "set at", got.UpdatedAt, noon)
}

func TestEDRCredentialsSetAtOnce(t *testing.T) {
	h := newHouse(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() { h.setEDR(h.acme, "mde", noon.Add(time.Duration(n)*time.Second)) })
	}
	all.Wait()
	got, err := h.edrOf(h.acme, "mde")
	h.ok(err)
	equal(t, "of one version", string(got.Sealed), string(edrCredentials("mde", got.UpdatedAt).Sealed))
}
