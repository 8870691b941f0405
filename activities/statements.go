package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// DecisionInput names a decision of the client as a workflow got it.
type DecisionInput struct {
	ClientID    uuid.UUID
	Reference   models.Reference
	RequestID   string
	Command     string
	UserID      string
	Role        models.Role
	Person      string
	Via         string
	Fingerprint string // see incident.Fingerprint
	AgreedBefore
}

// AgreedBefore names those who have agreed already to what somebody consents to, and the user who asked for it.
type AgreedBefore struct {
	Givers  []models.Actor `json:",omitempty"`
	AskedBy *models.Actor  `json:",omitempty"` // see PlanInput
}

// voided returns those who may not act any more: users who are disabled or have another role than they consented in, and
// contacts who may not approve, as things are now.
func (b AgreedBefore) voided(tx *store.Tx) ([]models.Actor, error) {
	lost, err := tx.LostRoles(b.Givers)
	if err != nil {
		return nil, err
	}
	for _, giver := range b.Givers {
		id, is := giver.Contact()
		if !is {
			continue
		}
		c, err := tx.Contact(id)
		if err != nil {
			return nil, err
		}
		isLost := !c.RemovedAt.IsZero()
		if b.AskedBy != nil {
			why, err := whyNoApprovers(tx, *b.AskedBy, c)
			if err != nil {
				return nil, err
			}
			isLost = isLost || why[id] != ""
		}
		if isLost {
			lost = append(lost, giver)
		}
	}
	return lost, nil
}

// Decision is what the store knows of a decision.
type Decision struct {
	Backed   bool // the client's own row says the same, and was not refused
	Disabled bool `json:",omitempty"` // the user was disabled since, or has another role
	AreOne   bool `json:",omitempty"` // one person may be behind the user and one who agreed before, see store.Tx.AreOne
	// Voided are those who agreed before and may not act any more.
	Voided []models.Actor `json:",omitempty"`
	Old    bool           // the row is from before rows said more: nobody knows what it answers
	Seq    int            // of the last event that the store had when it was said last
}

// FindDecision looks for the client's own row behind a command: the same request, command and body, of the same person in
// the same role through the same entrance.
func (r *Records) FindDecision(ctx context.Context, in DecisionInput) (found Decision, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, stands, err := tx.Decision(in.RequestID, in.Reference)
		if models.KindOf(err) == models.NotFound {
			return nil
		}
		found.Old, found.Seq = d.Said == (store.Said{}), d.Said.Seq
		found.Backed = stands && d.Command == in.Command && d.UserID.String() == in.UserID && d.Fingerprint == in.Fingerprint &&
			(found.Old || d.Said.Role == in.Role && models.SamePerson(d.Said.Person, in.Person) && d.Said.Via == in.Via)
		if err == nil {
			found.Disabled, err = tx.MayNotAct(d.UserID, d.Said.Role)
		}
		if err == nil {
			found.Voided, err = in.voided(tx)
		}
		if err == nil {
			found.AreOne, err = tx.AreOne(d.UserID, in.Givers)
		}
		return err
	})
	return found, err
}

// SenderInput names a user of the SOC who sent a command.
type SenderInput struct {
	ClientID uuid.UUID
	UserID   uuid.UUID
	Role     models.Role `json:",omitempty"` // that they sent it in
}

// MayNotAct reports whether a user of the SOC is known to have lost the right to act for a client since they sent a
// command: they are disabled, have another role, or their reach does not hold the client any more.
func (r *Records) MayNotAct(ctx context.Context, in SenderInput) (bool, error) {
	return r.Store.MayNotAct(ctx, in.ClientID, in.UserID, in.Role)
}

// StatementInput names what a contact is said to have said.
type StatementInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Contact   uuid.UUID
	Key       notify.Key
	Approval  string // "" for an acknowledgement
	AgreedBefore
}

// Statement is what the store knows of a contact's statement.
type Statement struct {
	Known  bool   // the contact's own row says the same
	Seq    int    // of the last event that the store had then; of the last such row
	About  int    `json:",omitempty"` // the revision that was told of, or how often the approval was asked for; of the last such row
	Person string // see models.PersonOf
	// Refused says why the contact may not approve, as things are now; "" when they may, or nothing was approved.
	Refused string `json:",omitempty"`
	// Voided are those who agreed before to what was approved and may not act any more.
	Voided []models.Actor `json:",omitempty"`
}

// Answers reports whether the statement answers a question: it was said after the event with this Seq that put the
// question, or in a call or text that put it, which may go out before the store has that event. about is what such a call
// or text is about at least, see Statement.About; 0 when nobody knows.
func (s Statement) Answers(seq, about int) bool {
	return s.Known && (s.Seq >= seq || about > 0 && s.About >= about)
}

// FindStatement looks for the contact's own row behind a statement: of the same contact, key and matter.
func (r *Records) FindStatement(ctx context.Context, in StatementInput) (found Statement, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		said, err := tx.Statements(in.Reference, in.Contact)
		if err != nil {
			return err
		}
		var calls []string
		for _, s := range said {
			if in.isSaidIn(s) {
				calls = append(calls, s.Effect)
				found.Known, found.Seq, found.About = true, max(found.Seq, s.Seq), max(found.About, in.About(s.Effect))
			}
		}
		if !found.Known {
			return nil
		}
		c, err := tx.Contact(in.Contact)
		if err != nil {
			return err
		}
		if in.Approval != "" && !c.RemovedAt.IsZero() { // who is no contact any more does not speak for the client
			found = Statement{}
			return nil
		}
		found.Person = c.Person()
		if found.Voided, err = in.voided(tx); err != nil {
			return err
		}
		if in.AskedBy != nil && in.Approval != "" && in.Key == notify.KeyAcknowledge {
			why, err := whyNoApprovers(tx, *in.AskedBy, c)
			if err != nil {
				return err
			}
			found.Refused = why[c.ID]
			was, err := tx.WasApproverWhenCalled(c.ID, calls)
			if err != nil {
				return err
			}
			if found.Refused == "" && !was {
				found.Refused = "the call went where the contact is not reached any more"
			}
		}
		return nil
	})
	return found, err
}

// whyNoApprovers returns which of some contacts may not approve what somebody asked for, and why.
func whyNoApprovers(tx *store.Tx, by models.Actor, contacts ...models.Contact) (map[uuid.UUID]string, error) {
	made, err := tx.ContactsMadeBy(by)
	if err != nil {
		return nil, err
	}
	people, err := tx.NoApprovers()
	if err != nil {
		return nil, err
	}
	why := map[uuid.UUID]string{}
	for _, c := range contacts {
		switch not := people.WhyNot(c); {
		case c.Approver == nil:
			why[c.ID] = "no admin of the client lets this contact, as they are reached now, approve"
		case made[c.ID]:
			why[c.ID] = "whoever asked for this made, changed or verified the contact"
		case not != "":
			why[c.ID] = not
		}
	}
	return why, nil
}

func (in StatementInput) isSaidIn(s store.Statement) bool {
	approval := "" // whoever sends the code of a text back, or hears the reference, acknowledges
	if s.Key != notify.KeyReply && s.Key != notify.KeyHeard {
		approval, _ = notify.ApprovalOf(s.Effect, in.Reference)
	}
	return s.Key == in.Key && approval == in.Approval
}

// About returns what a contact spoke about in a call or text: the revision that it told of or, of an approval, how often
// it was asked for then.
func (in StatementInput) About(effect string) int {
	if in.Approval != "" {
		return notify.RoundOf(effect)
	}
	return notify.RevisionOf(effect, in.Reference)
}
