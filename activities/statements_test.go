package activities_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestADecisionIsBackedByItsOwnRowOnly(t *testing.T) {
	o := newOffice(t)
	user, err := o.ledger.Store.CreateUser(t.Context(), models.User{ClientID: o.effect.ClientID, Name: "R", Email: "r@acme.example", Role: models.RoleResponder})
	o.ok(err)
	body := `{"approval":"a1"}`
	row := store.Decision{
		RequestID: "d-1", Incident: o.effect.Incident, Command: "approve", UserID: user.ID, Fingerprint: incident.Fingerprint("approve", []byte(body)), At: o.now,
		Said: store.Said{Role: models.RoleResponder, Person: "p", Via: "api", Body: body, Seq: 5},
	}
	old := row
	old.RequestID, old.Said = "d-0", store.Said{}
	o.as(store.Portal, func(tx *store.Tx) error { return tx.SaveDecision(row) })
	o.as(store.Portal, func(tx *store.Tx) error { return tx.SaveDecision(old) })
	good := activities.DecisionInput{
		ClientID: o.effect.ClientID, Reference: o.effect.Incident, RequestID: "d-1", Command: "approve", UserID: user.ID.String(),
		Role: models.RoleResponder, Person: "p", Via: "api", Fingerprint: row.Fingerprint,
	}
	for name, change := range map[string]func(*activities.DecisionInput) (backed bool){
		"as it was made":                 func(*activities.DecisionInput) bool { return true },
		"a row from before it said more": func(in *activities.DecisionInput) bool { in.RequestID, in.Person = "d-0", "q"; return true },
		"no row":                         func(in *activities.DecisionInput) bool { in.RequestID = "d-2"; return false },
		"another entrance":               func(in *activities.DecisionInput) bool { in.Via = "request"; return false },
		"another command":                func(in *activities.DecisionInput) bool { in.Command = "deny"; return false },
		"another incident":               func(in *activities.DecisionInput) bool { in.Reference = "SI-1001-0099"; return false },
		"another user":                   func(in *activities.DecisionInput) bool { in.UserID = uuid.NewString(); return false },
		"another role":                   func(in *activities.DecisionInput) bool { in.Role = models.RoleAdmin; return false },
		"another person":                 func(in *activities.DecisionInput) bool { in.Person = "q"; return false },
		"another body": func(in *activities.DecisionInput) bool {
			in.Fingerprint = incident.Fingerprint("approve", []byte(`{"approval":"a2"}`))
			return false
		},
		"another body, and an old row": func(in *activities.DecisionInput) bool { in.RequestID, in.Fingerprint = "d-0", "f"; return false },
	} {
		in := good
		want := activities.Decision{Backed: change(&in)}
		switch in.RequestID {
		case "d-0":
			want.Old = true
		case "d-1":
			want.Seq = 5
		}
		got, err := o.records.FindDecision(t.Context(), in)
		o.ok(err)
		if in.Reference != good.Reference {
			want.Seq = 0
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	var invited models.Account
	o.as(store.Portal, func(tx *store.Tx) (err error) {
		invited, err = tx.Invite(models.User{Name: "I", Email: "i@acme.example", Role: models.RoleResponder}, user, models.Token{Hash: make([]byte, 32)})
		return err
	})
	stranger, err := o.ledger.Store.CreateUser(t.Context(), models.User{ClientID: o.effect.ClientID, Name: "S", Email: "s@acme.example", Role: models.RoleAdmin})
	o.ok(err)
	for before, want := range map[models.Actor]bool{invited.Actor(): true, stranger.Actor(): false, user.Actor(): false} { // oneself is no other one
		in := good
		in.Givers = []models.Actor{before}
		if got, err := o.records.FindDecision(t.Context(), in); err != nil || got.AreOne != want {
			t.Errorf("beside %s: %+v, %v, want one: %t", before, got, err, want)
		}
	}
	o.as(store.Portal, func(tx *store.Tx) error { return tx.RefuseDecision("d-1", 6) })
	refused, err := o.records.FindDecision(t.Context(), good)
	o.ok(err)
	if refused.Backed {
		t.Error("a refused decision counts")
	}
}

func TestAStatementIsBackedByTheContactsOwnRowOnly(t *testing.T) {
	o := newOffice(t)
	first, second := o.hires("first", models.Hours{}), o.hires("second", models.Hours{})
	ref, client := o.effect.Incident, o.effect.ClientID
	said := func(e notify.Effect, key notify.Key, seq int) {
		o.as(store.Hooks, func(tx *store.Tx) error {
			return tx.SaveStatement(store.Statement{Effect: e.Key, Key: key, Incident: ref, Contact: e.Contact, Seq: seq, At: o.now})
		})
	}
	said(notify.CallEffect(ref, client, 1, 1, 1, first.ID), notify.KeyAcknowledge, 4)
	said(notify.CallEffect(ref, client, 2, 5, 1, first.ID), notify.KeyAcknowledge, 7)
	said(notify.ApprovalCallEffect(ref, client, "a1", "e1", 3, 2, second.ID), notify.KeyAcknowledge, 6)
	said(notify.ApprovalCallEffect(ref, client, "a1", "e1", 3, 2, second.ID), notify.KeyHeard, 6)
	said(notify.MessageEffect(ref, client, notify.Notification{Purpose: notify.PurposeApproval, Revision: 4, Occurrence: 1, Contact: second.ID, Channel: models.ChannelSMS}), notify.KeyReply, 8)
	for name, c := range map[string]struct {
		contact  models.Contact
		key      notify.Key
		approval string
		seq      int // 0: nothing backs it
		about    int // the revision, or the round of the approval
	}{
		"the last of two acknowledgements":  {first, notify.KeyAcknowledge, "", 7, 2},
		"a denial that was none":            {first, notify.KeyDeny, "", 0, 0},
		"an acknowledgement as approval":    {first, notify.KeyAcknowledge, "a1", 0, 0},
		"an approval":                       {second, notify.KeyAcknowledge, "a1", 6, 3},
		"of another device":                 {second, notify.KeyAcknowledge, "a2", 0, 0},
		"an approval as denial":             {second, notify.KeyDeny, "a1", 0, 0},
		"an approval as acknowledgement":    {second, notify.KeyAcknowledge, "", 0, 0},
		"a reply":                           {second, notify.KeyReply, "", 8, 4},
		"heard in a call about an approval": {second, notify.KeyHeard, "", 6, 0}, // it told of no revision
		"another's reply":                   {first, notify.KeyReply, "", 0, 0},
	} {
		in := activities.StatementInput{ClientID: client, Reference: ref, Contact: c.contact.ID, Key: c.key, Approval: c.approval}
		got, err := o.records.FindStatement(t.Context(), in)
		o.ok(err)
		want := activities.Statement{}
		if c.seq > 0 {
			want = activities.Statement{Known: true, Seq: c.seq, About: c.about, Person: c.contact.Person()}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// What was said counts for nothing when whoever said it has lost the right before it is judged.
func TestWhoHasLostTheRightSaysNothing(t *testing.T) {
	o := newOffice(t)
	db, ref, client := o.ledger.Store, o.effect.Incident, o.effect.ClientID
	body := `{"approval":"a1"}`
	user, err := db.CreateUser(t.Context(), models.User{ClientID: client, Name: "R", Email: "r@acme.example", Role: models.RoleResponder})
	o.ok(err)
	analyst, err := db.CreateUser(t.Context(), models.User{Name: "A", Email: "a@soc.example", Role: models.RoleAnalyst})
	o.ok(err)
	decision := activities.DecisionInput{
		ClientID: client, Reference: ref, RequestID: "d-1", Command: "approve", UserID: user.ID.String(), Role: models.RoleResponder, Person: "p",
		Via: "api", Fingerprint: incident.Fingerprint("approve", []byte(body)),
	}
	o.as(store.Portal, func(tx *store.Tx) error {
		return tx.SaveDecision(store.Decision{
			RequestID: "d-1", Incident: ref, Command: "approve", UserID: user.ID, Fingerprint: decision.Fingerprint, At: o.now,
			Said: store.Said{Role: models.RoleResponder, Person: "p", Via: "api", Body: body, Seq: 5},
		})
	})
	contact := o.hires("first", models.Hours{})
	for key, e := range map[notify.Key]notify.Effect{
		notify.KeyAcknowledge: notify.ApprovalCallEffect(ref, client, "a1", "e1", 1, 1, contact.ID),
		notify.KeyDeny:        notify.CallEffect(ref, client, 1, 1, 1, contact.ID),
	} {
		o.as(store.Hooks, func(tx *store.Tx) error {
			return tx.SaveStatement(store.Statement{Effect: e.Key, Key: key, Incident: ref, Contact: contact.ID, Seq: 6, At: o.now})
		})
	}
	judge := func() (lost, analystLost, consents, denies bool) {
		d, err := o.records.FindDecision(t.Context(), decision)
		o.ok(err)
		a, err := o.records.MayNotAct(t.Context(), activities.SenderInput{ClientID: client, UserID: analyst.ID, Role: models.RoleAnalyst})
		o.ok(err)
		yes, err := o.records.FindStatement(t.Context(), activities.StatementInput{ClientID: client, Reference: ref, Contact: contact.ID, Key: notify.KeyAcknowledge, Approval: "a1"})
		o.ok(err)
		other, err := o.records.FindStatement(t.Context(), activities.StatementInput{ClientID: client, Reference: ref, Contact: contact.ID, Key: notify.KeyDeny})
		o.ok(err)
		return d.Disabled, a, yes.Known, other.Known
	}
	if lost, analystLost, consents, denies := judge(); lost || analystLost || !consents || !denies {
		t.Errorf("at first: %v %v %v %v", lost, analystLost, consents, denies)
	}
	change := func(of, id uuid.UUID, c store.UserChange) {
		o.ok(db.ForLogins(t.Context(), of, func(tx *store.Tx) error {
			_, _, err := tx.ChangeUser(id, c)
			return err
		}))
	}
	change(client, user.ID, store.UserChange{Role: models.RoleViewer})
	change(uuid.Nil, analyst.ID, store.UserChange{Role: models.RoleLead})
	if lost, analystLost, consents, denies := judge(); !lost || !analystLost || !consents || !denies {
		t.Errorf("in other roles: %v %v %v %v", lost, analystLost, consents, denies)
	}
	before, err := o.records.MayNotAct(t.Context(), activities.SenderInput{ClientID: client, UserID: analyst.ID})
	o.ok(err)
	if before {
		t.Error("a command from before roles were told is judged by the role")
	}
	change(client, user.ID, store.UserChange{Role: models.RoleResponder, Disabled: true})
	change(uuid.Nil, analyst.ID, store.UserChange{Role: models.RoleAnalyst, Limited: true})
	o.as(store.SOC, func(tx *store.Tx) error { return tx.RemoveContact(contact.ID, o.now) })
	if lost, analystLost, consents, denies := judge(); !lost || !analystLost || consents || !denies {
		t.Errorf("at last: %v %v %v %v", lost, analystLost, consents, denies)
	}
	change(uuid.Nil, analyst.ID, store.UserChange{Role: models.RoleAnalyst})
	if _, analystLost, _, _ := judge(); analystLost {
		t.Error("an analyst who sees all clients again may not act")
	}
	change(uuid.Nil, analyst.ID, store.UserChange{Role: models.RoleAnalyst, Disabled: true})
	if _, analystLost, _, _ := judge(); !analystLost {
		t.Error("a disabled analyst may act")
	}
}

// Who agreed before, and may not act any more when another one agrees, is none of two persons.
func TestAnEarlierConsentIsVoidWithoutTheRightOfWhoGaveIt(t *testing.T) {
	o := newOffice(t)
	db, ref, client := o.ledger.Store, o.effect.Incident, o.effect.ClientID
	newUser := func(name string, role models.Role) models.User {
		u, err := db.CreateUser(t.Context(), models.User{ClientID: client, Name: name, Email: name + "@acme.example", Role: role})
		o.ok(err)
		return u
	}
	second, admin := newUser("second", models.RoleAdmin), newUser("admin", models.RoleAdmin)
	stays, disabled, demoted := newUser("stays", models.RoleResponder), newUser("disabled", models.RoleResponder), newUser("demoted", models.RoleAdmin)
	kept, removed, revoked, moved := o.hires("kept", models.Hours{}), o.hires("removed", models.Hours{}), o.hires("revoked", models.Hours{}), o.hires("moved", models.Hours{})
	for _, c := range []models.Contact{kept, removed, revoked, moved} {
		o.as(store.Portal, func(tx *store.Tx) error {
			_, err := tx.ConfirmApprover(c.ID, admin.ID, "", o.now)
			return err
		})
	}
	before := activities.AgreedBefore{AskedBy: &models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}}
	for _, u := range []models.User{stays, disabled, demoted} {
		before.Givers = append(before.Givers, u.Actor())
	}
	for _, c := range []models.Contact{kept, removed, revoked, moved} {
		before.Givers = append(before.Givers, models.ContactActor(c.ID))
	}
	body := `{"approval":"a1"}`
	decision := activities.DecisionInput{
		ClientID: client, Reference: ref, RequestID: "d-1", Command: "approve", UserID: second.ID.String(), Role: models.RoleAdmin, Person: "p",
		Via: "api", Fingerprint: incident.Fingerprint("approve", []byte(body)), AgreedBefore: before,
	}
	o.as(store.Portal, func(tx *store.Tx) error {
		return tx.SaveDecision(store.Decision{
			RequestID: "d-1", Incident: ref, Command: "approve", UserID: second.ID, Fingerprint: decision.Fingerprint, At: o.now,
			Said: store.Said{Role: models.RoleAdmin, Person: "p", Via: "api", Body: body, Seq: 5},
		})
	})
	caller := o.hires("caller", models.Hours{})
	call := notify.ApprovalCallEffect(ref, client, "a1", "e1", 1, 1, caller.ID)
	o.as(store.Hooks, func(tx *store.Tx) error {
		return tx.SaveStatement(store.Statement{Effect: call.Key, Key: notify.KeyAcknowledge, Incident: ref, Contact: caller.ID, Seq: 6, At: o.now})
	})
	wants := func(when string, want ...models.Actor) {
		t.Helper()
		d, err := o.records.FindDecision(t.Context(), decision)
		o.ok(err)
		s, err := o.records.FindStatement(t.Context(), activities.StatementInput{
			ClientID: client, Reference: ref, Contact: caller.ID, Key: notify.KeyAcknowledge, Approval: "a1", AgreedBefore: before,
		})
		o.ok(err)
		if !d.Backed || !s.Known || !slices.Equal(d.Voided, want) || !slices.Equal(s.Voided, want) {
			t.Errorf("%s: voided for a user %+v, for a contact %+v, want %+v", when, d.Voided, s.Voided, want)
		}
	}
	wants("at first")
	change := func(u models.User, c store.UserChange) {
		o.ok(db.ForLogins(t.Context(), client, func(tx *store.Tx) error {
			_, _, err := tx.ChangeUser(u.ID, c)
			return err
		}))
	}
	change(disabled, store.UserChange{Role: models.RoleResponder, Disabled: true})
	change(demoted, store.UserChange{Role: models.RoleViewer})
	o.as(store.SOC, func(tx *store.Tx) error { return tx.RemoveContact(removed.ID, o.now) })
	o.as(store.Portal, func(tx *store.Tx) error {
		_, err := tx.RevokeApprover(revoked.ID, admin.ID, o.now)
		return err
	})
	o.as(store.SOC, func(tx *store.Tx) error {
		moved.Phone = "+12025550199"
		_, err := tx.UpdateContact(moved)
		return err
	})
	wants("at last", disabled.Actor(), demoted.Actor(), models.ContactActor(removed.ID), models.ContactActor(revoked.ID), models.ContactActor(moved.ID))
}
