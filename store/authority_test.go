package store_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/store"
)

// authorities reads the versions of a client's response authority and the one that holds.
func (h *house) authorities(who store.Audience, te tenant) (list []authority.Authority, holds authority.Authority) {
	h.Helper()
	h.as(who, te, func(tx *store.Tx) (err error) {
		if list, err = tx.Authorities(); err != nil {
			return err
		}
		holds, err = tx.Authority()
		return err
	})
	return list, holds
}

func TestAResponseAuthorityHoldsOnceTheClientSignsIt(t *testing.T) {
	h := newHouse(t)
	list, holds := h.authorities(store.Worker, h.acme)
	equal(t, "versions at first", len(list), 0)
	same(t, "what holds at first", holds, authority.Authority{})

	first, second := h.draft(h.acme, "first"), h.draft(h.acme, "second")
	want := someAuthority("first", h.analyst)
	want.Version = 1
	same(t, "first draft", first, want)
	equal(t, "second version", second.Version, 2)
	_, holds = h.authorities(store.Worker, h.acme)
	equal(t, "what holds of drafts", holds.Version, 0)

	signed, err := h.sign(h.acme, 1, noon.Add(time.Minute))
	h.ok(err)
	want.SignedBy, want.SignedAt = h.acme.user.ID, noon.Add(time.Minute)
	same(t, "signed", signed, want)
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		list, holds = h.authorities(who, h.acme)
		same(t, string(who)+" reads", list, []authority.Authority{second, want})
		same(t, string(who)+" holds to", holds, want)
	}
	again, err := h.sign(h.acme, 1, noon.Add(time.Hour))
	h.ok(err)
	same(t, "signed again", again, want)
	_, err = h.sign(h.acme, 2, noon.Add(2*time.Minute))
	h.ok(err)
	_, holds = h.authorities(store.Worker, h.acme)
	equal(t, "what holds now", holds.Version, 2)
}

func TestANewerSignatureMakesOlderVersionsUnsignable(t *testing.T) {
	h := newHouse(t)
	h.draft(h.acme, "first")
	h.draft(h.acme, "second")
	_, err := h.sign(h.acme, 3, noon)
	h.fails(err, models.NotFound)
	_, err = h.sign(h.acme, 2, noon)
	h.ok(err)
	_, err = h.sign(h.acme, 1, noon)
	h.fails(err, models.Conflict)
	list, _ := h.authorities(store.SOC, h.acme)
	if !list[1].SignedAt.IsZero() {
		t.Error("the older version is signed")
	}
}

// The portal itself can neither move a signature to somebody else nor take it back, and only the client's users sign.
func TestASignatureStays(t *testing.T) {
	h := newHouse(t)
	colleague := h.newUser(models.User{ClientID: h.acme.ID, Name: "C", Email: "c@client.example", Role: models.RoleAdmin})
	h.draft(h.acme, "first")
	for name, id := range map[string]uuid.UUID{"of the SOC": h.analyst.ID, "of another client": h.other.user.ID, "nobody": uuid.New()} {
		err := h.ForClient(t.Context(), store.Portal, h.acme.ID, func(tx *store.Tx) error {
			_, err := tx.SignAuthority(1, id, noon)
			return err
		})
		if models.KindOf(err) != models.NotFound {
			t.Errorf("signed by a user %s: %v", name, err)
		}
	}
	want, err := h.sign(h.acme, 1, noon)
	h.ok(err)
	for _, statement := range []string{
		"update response_authorities set signed_by = '" + colleague.ID.String() + "'",
		"update response_authorities set signed_at = signed_at + interval '1 day'",
		"update response_authorities set signed_by = null, signed_at = null",
	} {
		h.as(store.Portal, h.acme, func(tx *store.Tx) error { return tx.Exec(statement) })
	}
	_, holds := h.authorities(store.Worker, h.acme)
	same(t, "what holds", holds, want)
}

func TestDraftsOfOneRequestAreOneVersion(t *testing.T) {
	h := newHouse(t)
	var all sync.WaitGroup
	versions := make([]int, 12)
	for n := range versions {
		all.Go(func() {
			err := h.ForClient(t.Context(), store.SOC, h.acme.ID, func(tx *store.Tx) error {
				name := "request " + strconv.Itoa(n%4)
				a, err := tx.DraftAuthority(someAuthority(name, h.analyst), name)
				versions[n] = a.Version
				return err
			})
			if err != nil {
				t.Errorf("draft: %v", err)
			}
		})
	}
	all.Wait()
	list, _ := h.authorities(store.SOC, h.acme)
	equal(t, "versions", len(list), 4)
	for n, v := range versions {
		equal(t, "the same request again", v, versions[n%4])
	}
	h.fails(h.ForSOC(t.Context(), func(tx *store.Tx) error {
		_, err := tx.DraftAuthority(someAuthority("x", h.analyst), "x")
		return err
	}), models.Forbidden)
}

func TestAResponseAuthorityIsItsClientsAlone(t *testing.T) {
	h := newHouse(t)
	h.draft(h.acme, "acme's")
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		list, _ := h.authorities(who, h.other)
		equal(t, "versions of another client", len(list), 0)
	}
	_, err := h.sign(h.other, 1, noon)
	h.fails(err, models.NotFound)
	equal(t, "another client's first version", h.draft(h.other, "acme's").Version, 1)
	list, _ := h.authorities(store.SOC, h.acme)
	if len(list) != 1 || !list[0].SignedAt.IsZero() {
		t.Errorf("acme's: %+v", list)
	}
}

// However drafts and signatures come, the newest signed version holds and no version ever changes.
func TestTheNewestSignedVersionHolds(t *testing.T) {
	h := newHouse(t)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 12 {
		te := h.newTenant("client " + strconv.Itoa(round))
		var drafts []authority.Authority
		signed := map[int]bool{}
		for n := range 12 {
			if len(drafts) == 0 || random.IntN(2) == 0 {
				drafts = append(drafts, h.draft(te, "request "+strconv.Itoa(n)))
				continue
			}
			version := random.IntN(len(drafts)+1) + 1
			newer := slices.ContainsFunc(drafts, func(a authority.Authority) bool { return a.Version > version && signed[a.Version] })
			_, err := h.sign(te, version, noon)
			if want := map[bool]models.Kind{true: models.Conflict}[newer]; version <= len(drafts) && models.KindOf(err) != want {
				t.Fatalf("sign %d of %d: %v", version, len(drafts), err)
			}
			signed[version] = signed[version] || err == nil
		}
		list, holds := h.authorities(store.Worker, te)
		newest := 0
		for n, a := range list {
			if signed[a.Version] {
				newest = max(newest, a.Version)
			}
			if a.SignedAt.IsZero() == signed[a.Version] {
				t.Fatalf("version %d: signed %v", a.Version, signed[a.Version])
			}
			a.SignedBy, a.SignedAt = uuid.UUID{}, time.Time{}
			same(t, "version", a, drafts[len(drafts)-1-n])
		}
		equal(t, "the version that holds", holds.Version, newest)
	}
}
