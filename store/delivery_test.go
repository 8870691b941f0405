package store_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// ledger runs fn as a worker of the house's first client.
func (h *house) ledger(fn func(*store.Tx) error) { h.Helper(); h.as(store.Worker, h.acme, fn) }

func (h *house) effect(key string) store.LedgerRow {
	h.Helper()
	var row store.LedgerRow
	h.ledger(func(tx *store.Tx) (err error) {
		row, err = tx.Effect(key)
		return err
	})
	return row
}

func TestIntendOnce(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	first, again := h.intend(h.acme, i, 1), h.intend(h.acme, i, 1)
	same(t, "row of the repeat", again, first)
	equal(t, "length of the token", len(first.Token), 32)
	equal(t, "state", first.State, notify.EffectIntended)
	if other := h.intend(h.acme, i, 2); other.Token == first.Token || other.ID == first.ID {
		t.Error("two effects share a token or an id")
	}
	h.ledger(func(tx *store.Tx) error {
		byToken, err := tx.EffectByToken(first.Token)
		same(t, "by token", byToken, first)
		return err
	})
	h.as(store.Worker, h.other, func(tx *store.Tx) error {
		_, err := tx.EffectByToken(first.Token)
		h.fails(err, models.NotFound)
		return nil
	})
	foreign := message(h.other, i, models.ChannelEmail, 3)
	foreign.ClientID = h.acme.ID
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.Intend(foreign, noon)
		return err
	}), models.NotFound)
}

func TestAttemptIsAFence(t *testing.T) {
	h := newHouse(t)
	key := h.intend(h.acme, h.published(h.acme, "open"), 1).Key
	attempt := func(previous, at time.Time) (won bool) {
		h.ledger(func(tx *store.Tx) (err error) {
			won, err = tx.Attempt(key, previous, at)
			return err
		})
		return won
	}
	race := func(previous, base time.Time) int64 {
		var winners atomic.Int64
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				if attempt(previous, base.Add(time.Duration(n)*time.Second+123*time.Nanosecond)) {
					winners.Add(1)
				}
			})
		}
		all.Wait()
		return winners.Load()
	}
	equal(t, "winners of the first attempt", race(time.Time{}, noon), 1)
	equal(t, "winners of the second", race(h.effect(key).AttemptAt, noon.Add(time.Hour)), 1)
	equal(t, "attempts", h.effect(key).Attempts, 2)
	fine := noon.Add(90*time.Minute + 7*time.Nanosecond) // finer than the database keeps
	equal(t, "an attempt", attempt(h.effect(key).AttemptAt, fine), true)
	equal(t, "taken back", attempt(fine, time.Time{}), true)
	equal(t, "time of an attempt taken back", h.effect(key).AttemptAt.IsZero(), true)
	equal(t, "attempts counted", h.effect(key).Attempts, 3)
	equal(t, "an attempt after that", attempt(time.Time{}, noon.Add(2*time.Hour)), true)
	equal(t, "a stale attempt", attempt(time.Time{}, noon), false)
	h.ledger(func(tx *store.Tx) error { return tx.Accept(key, "sendgrid", "m-1", noon) })
	equal(t, "an attempt after acceptance", attempt(h.effect(key).AttemptAt, noon.Add(2*time.Hour)), false)
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		_, err := tx.Attempt("no such key", time.Time{}, noon)
		return err
	}), models.NotFound)
}

func TestAcceptAndReject(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	taken, rejected := h.intend(h.acme, i, 1).Key, h.intend(h.acme, i, 2).Key
	h.ledger(func(tx *store.Tx) error {
		h.ok(tx.Accept(taken, "sendgrid", "m-1", noon))
		h.ok(tx.Accept(taken, "sendgrid", "m-2", noon.Add(time.Hour)))
		h.fails(tx.Reject(taken, "sendgrid", "rejected", noon), models.Conflict)
		h.ok(tx.Reject(rejected, "sendgrid", "rejected 400", noon))
		h.ok(tx.Reject(rejected, "sendgrid", "rejected 400", noon))
		h.fails(tx.Accept(rejected, "sendgrid", "m-3", noon), models.Conflict)
		h.fails(tx.Accept("no such key", "sendgrid", "m-3", noon), models.NotFound)
		unclaimed, err := tx.UnclaimedVendorIDs("sendgrid", []string{"m-9", "m-1", "m-2"})
		equal(t, "unclaimed ids", strings.Join(unclaimed, " "), "m-9 m-2")
		return err
	})
	row := h.effect(taken)
	equal(t, "id", row.VendorID, "m-1")
	equal(t, "accepted at", row.AcceptedAt, noon)
	equal(t, "reason", h.effect(rejected).Reason, "rejected 400")
}

func TestAdoptKeepsTheFirstID(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	row := h.intend(h.acme, i, 1)
	adopt := func(id string) (mine bool) {
		h.ledger(func(tx *store.Tx) error {
			got, ours, err := tx.Adopt(row.Token, "twilio", id, noon)
			equal(t, "id that may speak", got.SessionID, "CA1")
			mine = ours
			return err
		})
		return mine
	}
	equal(t, "the first", adopt("CA1"), true)
	equal(t, "a second", adopt("CA2"), false)
	equal(t, "the first again", adopt("CA1"), true)
	h.ledger(func(tx *store.Tx) error { return tx.Accept(row.Key, "twilio", "CA2", noon) })
	got := h.effect(row.Key)
	equal(t, "state", got.State, notify.EffectAccepted)
	equal(t, "id after a late acceptance", got.VendorID, "CA1")
	h.ledger(func(tx *store.Tx) error {
		_, _, err := tx.Adopt("no such token", "twilio", "CA3", noon)
		h.fails(err, models.NotFound)
		return nil
	})
}

func TestAcknowledgedStays(t *testing.T) {
	h := newHouse(t)
	key := h.intend(h.acme, h.published(h.acme, "open"), 1).Key
	h.ledger(func(tx *store.Tx) error {
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.ok(tx.SetOutcome(key, "acknowledged", noon))
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.fails(tx.SetOutcome("no such key", "x", noon), models.NotFound)
		return nil
	})
	equal(t, "outcome", h.effect(key).Outcome, "acknowledged")
}

func TestTheFirstAcknowledgementStays(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	key := h.intend(h.acme, i, 1).Key
	h.ledger(func(tx *store.Tx) error {
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.ok(tx.Acknowledge(key, h.acme.contact.ID, "key press 1", noon))
		h.ok(tx.Acknowledge(key, h.acme.contact.ID, "reply to text message", noon.Add(time.Hour)))
		h.ok(tx.SetOutcome(key, "no_key", noon))
		h.fails(tx.Acknowledge("no such key", h.acme.contact.ID, "key press 1", noon), models.NotFound)
		return nil
	})
	row := h.effect(key)
	equal(t, "outcome", row.Outcome, "acknowledged")
	equal(t, "by", row.AcknowledgedBy, h.acme.contact.ID)
	equal(t, "how", row.How, "key press 1")
	equal(t, "at", row.AcknowledgedAt, noon)
	for _, who := range []store.Audience{store.SOC, store.Portal, store.Worker} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			all, err := tx.Deliveries(i.Reference, store.Cursor{}, 10)
			h.ok(err)
			same(t, "as "+string(who)+" sees it", [2]any{all[0].AcknowledgedBy, all[0].How}, [2]any{h.acme.contact.ID, "key press 1"})
			return nil
		})
	}
	other := h.intend(h.acme, i, 2).Key
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		return tx.Acknowledge(other, h.other.contact.ID, "key press 1", noon)
	}), models.NotFound)
}

func TestCancelWhatWasNotTried(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	fresh, tried, takenBack, accepted := h.intend(h.acme, i, 1).Key, h.intend(h.acme, i, 2).Key, h.intend(h.acme, i, 3).Key, h.intend(h.acme, i, 4).Key
	later := noon.Add(time.Hour)
	h.ledger(func(tx *store.Tx) error {
		for _, key := range []string{tried, takenBack} {
			_, err := tx.Attempt(key, time.Time{}, noon)
			h.ok(err)
		}
		_, err := tx.Attempt(takenBack, noon, time.Time{})
		h.ok(err)
		h.ok(tx.Accept(accepted, "sendgrid", "m-1", noon))
		for _, key := range []string{fresh, tried, takenBack, accepted, fresh, "no such key"} {
			h.ok(tx.Cancel(key, notify.ReasonSuperseded, later))
		}
		won, err := tx.Attempt(fresh, time.Time{}, later)
		equal(t, "an attempt after that", won, false)
		h.fails(tx.Accept(fresh, "sendgrid", "m-2", noon), models.Conflict)
		return err
	})
	for key, want := range map[string]notify.EffectState{
		fresh: notify.EffectCanceled, tried: notify.EffectIntended, takenBack: notify.EffectCanceled, accepted: notify.EffectAccepted,
	} {
		equal(t, "state of "+key, h.effect(key).State, want)
	}
	equal(t, "canceled at", h.effect(fresh).UpdatedAt, later)
	equal(t, "canceled because it is", h.effect(fresh).Reason, notify.ReasonSuperseded)
	equal(t, "what was tried has the reason", h.effect(tried).Reason, "")
	h.as(store.Worker, h.other, func(tx *store.Tx) error { return tx.Cancel(tried, "", later) })
}

func TestEffectsAboutNoIncident(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	check := notify.ChannelCheckEffect(h.acme.ID, h.acme.Number, notify.PurposeCode, h.acme.contact.ID, models.ChannelSMS, "request-1")
	planned := noon.Add(48 * time.Hour)
	var row store.LedgerRow
	h.ledger(func(tx *store.Tx) (err error) {
		row, err = tx.Intend(check, planned)
		return err
	})
	same(t, "read again", h.effect(check.Key), row)
	equal(t, "incident", row.Incident, "")
	equal(t, "kind", row.Kind, notify.EffectText)
	equal(t, "occurrence", row.Occurrence, 1)
	equal(t, "planned at", row.PlannedAt, planned)
	shown := h.intend(h.acme, i, 1)
	h.advance(h.acme, "twilio", store.VendorReport{EventID: "e1", Effect: row.ID, State: "sent", Sequence: -1},
		store.VendorReport{EventID: "e2", Effect: shown.ID, State: "sent", Sequence: -1})
	h.soc(func(tx *store.Tx) error {
		seen, err := tx.Effect(check.Key)
		equal(t, "the SOC's code", seen.Code(), row.Code())
		return err
	})
	h.as(store.Portal, h.acme, func(tx *store.Tx) error {
		keys, err := tx.Texts("select key from effects union all select key from effect_states")
		same(t, "effects and words the portal sees", keys, []string{shown.Key, shown.Key})
		return err
	})
}

// TestACodeFollowsFromAKeyOutsideTheDatabase: what the database holds is not enough to know a code.
func TestACodeFollowsFromAKeyOutsideTheDatabase(t *testing.T) {
	h := newHouse(t)
	row := h.intend(h.acme, h.open(h.acme, "open"), 1)
	before, err := store.Open(t.Context(), h.appURL, store.Options{})
	h.ok(err)
	defer closeStore(t, before)
	code := func(s *store.Store, key string) (code string) {
		h.ok(s.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
			row, err := tx.Effect(key)
			code = row.Code()
			return err
		}))
		return code
	}
	equal(t, "with the key", code(h.Store, row.Key), row.Code())
	fromToken := store.LedgerRow{Token: row.Token}.Code()
	if row.Code() == fromToken || len(row.Code()) != 6 {
		t.Errorf("the code is %q, from the token alone %q", row.Code(), fromToken)
	}
	equal(t, "without the key", code(before, row.Key), "")
	h.owner("update effects set code_key = 'gone'")
	equal(t, "of a key that is not there any more", code(h.Store, row.Key), "")
	h.owner("update effects set code_key = ''")
	equal(t, "of a row of before", code(h.Store, row.Key), fromToken)
}

func TestCodeOfAnEffect(t *testing.T) {
	// sha256sum of "watchfire channel code\n" and the token; its first 16 hex digits modulo a million, by hand.
	row := store.LedgerRow{Token: "00112233445566778899aabbccddeeff"}
	equal(t, "code", row.Code(), "426803")
	digits := regexp.MustCompile(`^[0-9]{6}$`)
	codes := map[string]bool{}
	for n := range 200 {
		code := store.LedgerRow{Token: fmt.Sprintf("%032x", n)}.Code()
		if codes[code] = true; !digits.MatchString(code) {
			t.Errorf("code %q", code)
		}
	}
	if len(codes) < 195 {
		t.Errorf("200 tokens have %d codes", len(codes))
	}
}
