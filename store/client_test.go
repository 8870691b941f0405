package store_test

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestCreateClient(t *testing.T) {
	h := newHouse(t)
	equal(t, "first number", h.acme.Number, 1001)
	equal(t, "second number", h.other.Number, 1002)
	again, err := h.CreateClient(t.Context(), models.Client{LegalName: "Acme"}, "client-Acme", "")
	h.ok(err)
	if !reflect.DeepEqual(again, h.acme.Client) {
		t.Errorf("the request again made %+v, want %+v", again, h.acme.Client)
	}
	chosen, err := h.CreateClient(t.Context(), models.Client{LegalName: "Chosen", Number: 1003}, "chosen", "")
	h.ok(err)
	equal(t, "chosen number", chosen.Number, 1003)
	if chosen.CreatedAt.IsZero() {
		t.Error("a client without a moment of creation")
	}
	next, err := h.CreateClient(t.Context(), models.Client{LegalName: "Next"}, "next", "")
	h.ok(err)
	equal(t, "number after one that was chosen", next.Number, 1004)
	_, err = h.CreateClient(t.Context(), models.Client{LegalName: "Twice", Number: 1003}, "twice", "")
	h.fails(err, models.Conflict)
	_, err = h.CreateClient(t.Context(), models.Client{LegalName: "Small", Number: 42}, "small", "")
	h.fails(err, models.Invalid)
	found, err := h.ClientByNumber(t.Context(), 1001)
	h.ok(err)
	equal(t, "found", found.ID, h.acme.ID)
	_, err = h.ClientByNumber(t.Context(), 4711)
	h.fails(err, models.NotFound)
	h.as(store.Portal, h.acme, func(tx *store.Tx) error {
		c, err := tx.Client()
		if !reflect.DeepEqual(c, h.acme.Client) {
			t.Errorf("read %+v, created %+v", c, h.acme.Client)
		}
		return err
	})
}

func TestAuthenticate(t *testing.T) {
	h := newHouse(t)
	for name, token := range map[string]models.Token{
		"lasting": {UserID: h.acme.user.ID, Hash: hash("lasting")},
		"timely":  {UserID: h.analyst.ID, Hash: hash("timely"), ExpiresAt: time.Now().Add(time.Hour)},
		"expired": {UserID: h.analyst.ID, Hash: hash("expired"), ExpiresAt: time.Now().Add(-time.Hour)},
	} {
		if err := h.CreateToken(t.Context(), token); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	before := h.Statements()
	u, err := h.Authenticate(t.Context(), hash("lasting"))
	h.ok(err)
	equal(t, "statements", h.Statements()-before, 5) // role and token; and once a minute role and use
	_, err = h.Authenticate(t.Context(), hash("lasting"))
	h.ok(err)
	equal(t, "statements of the next", h.Statements()-before, 7)
	equal(t, "user", u.User, h.acme.user)
	u, err = h.Authenticate(t.Context(), hash("timely"))
	h.ok(err)
	equal(t, "user of the SOC", u.User, h.analyst)
	for _, secret := range []string{"expired", "unknown", ""} {
		_, err = h.Authenticate(t.Context(), hash(secret))
		h.fails(err, models.Unauthorized)
	}
	h.fails(h.CreateToken(t.Context(), models.Token{UserID: uuid.New(), Hash: hash("x")}), models.NotFound)
	h.fails(h.CreateToken(t.Context(), models.Token{UserID: h.analyst.ID, Hash: hash("timely")}), models.Conflict)
}

func TestUsers(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		user models.User
		kind models.Kind
	}{
		"a viewer without a client":  {models.User{Role: models.RoleViewer, Email: "a@b.example"}, models.Invalid},
		"an analyst with a client":   {models.User{Role: models.RoleAnalyst, Email: "a@b.example", ClientID: h.acme.ID}, models.Invalid},
		"an unknown role":            {models.User{Role: "root", Email: "a@b.example"}, models.Invalid},
		"an unknown client":          {models.User{Role: models.RoleViewer, Email: "a@b.example", ClientID: uuid.New()}, models.NotFound},
		"an address in another form": {models.User{Role: models.RoleViewer, Email: "acme@CLIENT.example.", ClientID: h.acme.ID}, models.Conflict},
		"an address twice":           {models.User{Role: models.RoleViewer, Email: "ACME@client.example", ClientID: h.acme.ID}, models.Conflict},
		"an address of the SOC, too": {models.User{Role: models.RoleLead, Email: "Ada@soc.example"}, models.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.CreateUser(t.Context(), c.user)
			h.fails(err, c.kind)
		})
	}
	ids := []uuid.UUID{h.acme.user.ID, h.other.user.ID, h.analyst.ID, uuid.New()}
	for who, want := range map[store.Audience]int{store.Portal: 1, store.Worker: 2, store.SOC: 2} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			names, err := tx.UserNames(ids)
			equal(t, "names for "+string(who), len(names), want)
			equal(t, "name", names[h.acme.user.ID], h.acme.user.Name)
			return err
		})
	}
	h.as(store.SOC, h.acme, func(tx *store.Tx) error { return tx.RemoveContact(h.acme.contact.ID, noon) })
	for _, who := range []store.Audience{store.Portal, store.SOC} {
		h.as(who, h.acme, func(tx *store.Tx) error {
			before := h.Statements()
			names, err := tx.ContactNames([]uuid.UUID{h.acme.contact.ID, h.other.contact.ID, uuid.New()})
			equal(t, "contacts named for "+string(who), len(names), 1)
			equal(t, "name of a removed contact", names[h.acme.contact.ID], h.acme.contact.Name)
			_, none := tx.ContactNames(nil)
			h.ok(none)
			equal(t, "statements", h.Statements()-before, 1)
			return err
		})
	}
}

func TestDecisions(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	save := func(change func(*store.Decision)) error {
		d := decision(h.acme, i.Reference, "d-1")
		change(&d)
		return h.ForClient(t.Context(), store.Portal, h.acme.ID, func(tx *store.Tx) error { return tx.SaveDecision(d) })
	}
	h.ok(save(func(*store.Decision) {}))
	h.ok(save(func(d *store.Decision) { d.At = noon.Add(time.Hour) }))
	h.fails(save(func(d *store.Decision) { d.Fingerprint = "another" }), models.Invalid)
	h.fails(save(func(d *store.Decision) { d.RequestID, d.UserID = "d-2", h.other.user.ID }), models.NotFound)
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		d, stands, err := tx.Decision("d-1", i.Reference)
		h.ok(err)
		equal(t, "stands", stands, true)
		equal(t, "decision", d, decision(h.acme, i.Reference, "d-1"))
		_, _, err = tx.Decision("d-1", "SI-1001-0099")
		h.fails(err, models.NotFound)
		return nil
	})
	h.ok(h.ForLogins(t.Context(), h.acme.ID, func(tx *store.Tx) error {
		_, _, err := tx.ChangeUser(h.acme.user.ID, store.UserChange{Role: h.acme.user.Role, Disabled: true})
		return err
	}))
	h.fails(save(func(d *store.Decision) { d.RequestID = "late" }), models.Forbidden)
	h.ok(save(func(d *store.Decision) { d.RequestID, d.Said = "recovered", store.Said{} })) // by a restore, of long ago
}

func TestARefusedDecisionIsWorthNothingUntilItIsSaidAgain(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	said := func(seq int) error {
		d := decision(h.acme, i.Reference, "d-1")
		d.Said.Seq = seq
		return h.ForClient(t.Context(), store.Portal, h.acme.ID, func(tx *store.Tx) error { return tx.SaveDecision(d) })
	}
	check := func(what string, stands bool, seq int) {
		t.Helper()
		h.as(store.Worker, h.acme, func(tx *store.Tx) error {
			d, is, err := tx.Decision("d-1", i.Reference)
			if is != stands || d.Said.Seq != seq {
				t.Errorf("%s: stands %t, of event %d, want %t, %d", what, is, d.Said.Seq, stands, seq)
			}
			return err
		})
	}
	refuse := func(as store.Audience) {
		h.as(as, h.acme, func(tx *store.Tx) error { return tx.RefuseDecision("d-1", 3) })
	}
	h.ok(said(1))
	h.ok(said(1))
	check("said", true, 1)
	h.ok(said(2)) // by a program that got no answer
	check("said later", true, 2)
	refuse(store.Portal)
	check("refused", false, 1)
	h.ok(said(2))
	check("said again", true, 2)
	reject := h.events(&i, models.System(), &incident.CommandRejected{Command: "request-closure", Reason: "r", RequestID: "d-1", By: h.acme.user.Actor()})
	h.as(store.Worker, h.acme, func(tx *store.Tx) error { return tx.Record(i.Reference, reject) })
	check("rejected as a signal", false, 1)
	h.as(store.Worker, h.acme, func(tx *store.Tx) error { return tx.RefuseDecision("none", 3) })
	h.fails(h.ForClient(t.Context(), store.Worker, h.acme.ID, func(tx *store.Tx) error {
		return tx.Exec("insert into decision_marks (client_id, request_id, said, seq, at) values (?, 'd-1', true, 9, now())", h.acme.ID)
	}), models.Forbidden)
	d := decision(h.acme, i.Reference, "d-1")
	d.Said.Role = models.RoleAdmin
	h.fails(h.ForClient(t.Context(), store.Portal, h.acme.ID, func(tx *store.Tx) error { return tx.SaveDecision(d) }), models.Invalid)
}

func TestStatements(t *testing.T) {
	h := newHouse(t)
	i := h.published(h.acme, "open")
	save := func(change func(*store.Statement)) error {
		w := statement(h.acme, i.Reference)
		change(&w)
		return h.ForClient(t.Context(), store.Hooks, h.acme.ID, func(tx *store.Tx) error { return tx.SaveStatement(w) })
	}
	h.ok(save(func(*store.Statement) {}))
	h.ok(save(func(*store.Statement) {}))
	h.ok(save(func(w *store.Statement) { w.Seq, w.At = 9, noon.Add(time.Hour) })) // the same key, when things have changed
	h.ok(save(func(w *store.Statement) { w.Key, w.At = notify.KeyDeny, noon.Add(time.Minute) }))
	h.fails(save(func(w *store.Statement) { w.Effect, w.Contact = "elsewhere", h.other.contact.ID }), models.NotFound)
	h.as(store.Worker, h.acme, func(tx *store.Tx) error {
		said, err := tx.Statements(i.Reference, h.acme.contact.ID)
		denied := statement(h.acme, i.Reference)
		denied.Key, denied.At = notify.KeyDeny, noon.Add(time.Minute)
		later := statement(h.acme, i.Reference)
		later.Seq, later.At = 9, noon.Add(time.Hour)
		if want := []store.Statement{statement(h.acme, i.Reference), denied, later}; !slices.Equal(said, want) {
			t.Errorf("statements %+v, want %+v", said, want)
		}
		return err
	})
}

func TestTokensAreRevokedAtOnce(t *testing.T) {
	h := newHouse(t)
	hash := sha256.Sum256([]byte("secret"))
	h.ok(h.CreateToken(h.Context(), models.Token{UserID: h.acme.user.ID, Hash: hash[:]}))
	known, err := h.UserByEmail(h.Context(), h.acme.ID, strings.ToUpper(h.acme.user.Email))
	h.ok(err)
	if known.ID != h.acme.user.ID || known.Role != h.acme.user.Role {
		t.Fatalf("found %+v", known)
	}
	if _, err := h.UserByEmail(h.Context(), h.other.ID, h.acme.user.Email); models.KindOf(err) != models.NotFound {
		t.Errorf("another client's user was found: %v", err)
	}
	h.ok(h.ForLogins(h.Context(), h.acme.ID, func(tx *store.Tx) error {
		list, err := tx.Tokens(known.ID)
		h.ok(err)
		return tx.RevokeToken(known.ID, list[0].ID)
	}))
	if _, err := h.Authenticate(h.Context(), hash[:]); models.KindOf(err) != models.Unauthorized {
		t.Errorf("a revoked token is still good: %v", err)
	}
}
