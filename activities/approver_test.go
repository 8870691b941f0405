package activities_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// What an analyst does to get an approval from a phone of their own, and what ends an approver's say.
func TestWhoMayApproveIsSaidByTheStoreAsItIsNow(t *testing.T) {
	o := newOffice(t)
	contact := o.hires("first", models.Hours{})
	contact.Channels = []models.Channel{models.ChannelVoice}
	ref, client := o.effect.Incident, o.effect.ClientID
	admin, err := o.ledger.Store.CreateUser(t.Context(), models.User{ClientID: client, Name: "A", Email: "a@acme.example", Role: models.RoleAdmin})
	o.ok(err)
	analyst := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	colleague := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
	answers := func(round int, at time.Time, keys ...notify.Key) {
		call := notify.ApprovalCallEffect(ref, client, "a1", "e1", round, 1, contact.ID)
		o.as(store.Worker, func(tx *store.Tx) error {
			_, err := tx.Intend(call, at)
			return err
		})
		for _, key := range keys {
			o.as(store.Hooks, func(tx *store.Tx) error {
				return tx.SaveStatement(store.Statement{Effect: call.Key, Key: key, Incident: ref, Contact: contact.ID, Seq: 1, At: at})
			})
		}
	}
	answers(1, o.now, notify.KeyAcknowledge, notify.KeyDeny, notify.KeyHeard)
	const none, made = "no admin of the client lets this contact, as they are reached now, approve", "whoever asked for this made, changed or verified the contact"
	const elsewhere = "the call went where the contact is not reached any more"
	const disabled, colleagues = "the contact is a user of the client who is disabled", "the contact is a user of the SOC"
	wants := func(when string, by models.Actor, want string) {
		t.Helper()
		in := activities.StatementInput{ClientID: client, Reference: ref, Contact: contact.ID, Key: notify.KeyAcknowledge, Approval: "a1"}
		in.AskedBy = &by
		found, err := o.records.FindStatement(t.Context(), in)
		o.ok(err)
		if !found.Known || found.Refused != want {
			t.Errorf("%s: %+v, want it refused because %q", when, found, want)
		}
		plan, err := o.records.PlanRecipients(t.Context(), activities.PlanInput{
			ClientID: client, Reference: ref, Severity: models.SeverityCritical, At: o.now, Approval: true, AskedBy: &by,
		})
		o.ok(err)
		if called := len(plan.Calls) == 1; called != (want == "" || want == elsewhere) {
			t.Errorf("%s: called %+v", when, plan.Calls)
		}
		if in.Key = notify.KeyDeny; by.ID == analyst.ID {
			found, err = o.records.FindStatement(t.Context(), in)
			o.ok(err)
			if !found.Known || found.Refused != "" {
				t.Errorf("%s, a denial: %+v", when, found)
			}
		}
	}
	confirmAt := func(at time.Time) {
		o.as(store.Portal, func(tx *store.Tx) error {
			_, err := tx.ConfirmApprover(contact.ID, admin.ID, "", at)
			return err
		})
	}
	confirm := func() { confirmAt(o.now) }
	noted := func(operation string, by models.Actor, fields ...string) {
		o.as(store.SOC, func(tx *store.Tx) error {
			return tx.AppendAudit(models.AuditEntry{At: o.now, By: uuid.MustParse(by.ID), Side: models.SideSOC, Operation: operation, Subject: contact.ID.String(), Fields: fields})
		})
	}
	change := func(phone string) {
		o.as(store.SOC, func(tx *store.Tx) error {
			c := contact
			c.Phone = phone
			if _, err := tx.UpdateContact(c); err != nil {
				return err
			}
			_, err := tx.Verify(c.ID, models.ChannelVoice, o.now)
			return err
		})
	}
	change("+12025550191")
	wants("nobody confirmed", analyst, none)
	confirm()
	wants("confirmed", analyst, "")
	noted("update-contact", analyst, "name", "order")
	noted("test-channel", analyst, "voice")
	wants("named anew and tested", analyst, "")
	change("+12025550192")
	wants("another number", analyst, none)
	change("+12025550191")
	wants("there and back", analyst, none)
	confirm()
	wants("confirmed again", analyst, "")
	o.as(store.Portal, func(tx *store.Tx) error {
		_, err := tx.RevokeApprover(contact.ID, admin.ID, o.now)
		return err
	})
	wants("revoked", analyst, none)
	confirm()
	later := o.now.Add(time.Minute)
	confirmAt(later)
	wants("confirmed anew during the call", analyst, "")
	change("+12025550193")
	confirmAt(later)
	wants("another number, confirmed during the call", analyst, elsewhere)
	answers(2, later, notify.KeyAcknowledge)
	wants("called there", analyst, "")
	for operation, fields := range map[string][]string{
		"create-contact": {"name", "phone"}, "update-contact": {"name", "phone"}, "confirm-channel": {"verified/voice"}, "verify-channel": {"voice"},
	} {
		by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
		noted(operation, by, fields...)
		wants(operation+" by whoever asks", by, made)
	}
	noted("update-contact", colleague, "email")
	wants("another address by whoever asks", colleague, made)
	wants("by another", analyst, "")
	var users []models.User
	for _, email := range []string{"first+phone@acme.example", "other@acme.example"} {
		u, err := o.ledger.Store.CreateUser(t.Context(), models.User{ClientID: client, Name: "U", Email: email, Role: models.RoleResponder})
		o.ok(err)
		users = append(users, u)
	}
	disable := func(u models.User, yes bool) {
		o.ok(o.ledger.Store.ForLogins(t.Context(), client, func(tx *store.Tx) error {
			_, _, err := tx.ChangeUser(u.ID, store.UserChange{Role: u.Role, Disabled: yes})
			return err
		}))
	}
	disable(users[1], true)
	wants("another user disabled", analyst, "")
	disable(users[0], true)
	wants("as a user disabled", analyst, disabled)
	disable(users[0], false)
	wants("enabled again", analyst, "")
	wants("asked by the client", models.Actor{Side: models.SideClient, ID: colleague.ID, Role: models.RoleAdmin}, "")
	asker, err := o.ledger.Store.CreateUser(t.Context(), models.User{Name: "U", Email: "first+soc@acme.example", Role: models.RoleAnalyst})
	o.ok(err)
	wants("asked by the contact", models.Actor{Side: models.SideSOC, ID: asker.ID.String(), Role: models.RoleAnalyst}, colleagues)
	wants("asked by the contact's colleague", analyst, colleagues)

	heard, err := o.records.FindStatement(t.Context(), activities.StatementInput{ClientID: client, Reference: ref, Contact: contact.ID, Key: notify.KeyHeard})
	o.ok(err)
	if !heard.Known {
		t.Error("what was heard in the call acknowledges nothing")
	}
}
