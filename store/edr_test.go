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
		Vendor: vendor, BaseURL: "https://api." + vendor + ".example", Sealed: []byte("sealed " + at.String()), DataKey: []byte("key " + at.String()),
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
	kept, err := h.KeepsEDRCredentials(t.Context())
	h.ok(err)
	equal(t, "kept at first", kept, false)
	_, err = h.edrOf(h.acme, "mde")
	h.refused(err, models.NotFound)
	for _, at := range []time.Time{noon, noon.Add(time.Hour)} {
		h.setEDR(h.acme, "mde", at)
		got, err := h.edrOf(h.acme, "mde")
		h.ok(err)
		want := edrCredentials("mde", at)
		if !bytes.Equal(got.Sealed, want.Sealed) || !bytes.Equal(got.DataKey, want.DataKey) || !got.UpdatedAt.Equal(at) || got.BaseURL != want.BaseURL || got.UpdatedBy != want.UpdatedBy {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	h.setEDR(h.acme, "trend", noon)
	h.as(store.SOC, h.acme, func(tx *store.Tx) error {
		c, err := tx.Client()
		equal(t, "EDR", c.EDR, models.EDR{Vendor: "trend"})
		h.ok(err)
		at, err := tx.EDRCredentialsSetAt("mde")
		equal(t, "set at", at, noon.Add(time.Hour))
		h.ok(err)
		at, err = tx.EDRCredentialsSetAt("sophos")
		equal(t, "never set", at, time.Time{})
		return err
	})
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		all, err := tx.AllEDRCredentials()
		equal(t, "all", len(all), 2)
		return err
	})
	kept, err = h.KeepsEDRCredentials(t.Context())
	h.ok(err)
	equal(t, "kept", kept, true)
	_, err = h.edrOf(h.other, "mde")
	h.refused(err, models.NotFound)
	h.refused(h.ForClient(t.Context(), store.SOC, uuid.New(), func(tx *store.Tx) error {
		return tx.SetEDRCredentials(edrCredentials("mde", noon), models.EDR{Vendor: "mde"})
	}), models.NotFound)
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
