package activities

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

// Records are the activities that only touch the store. Record runs as an ordinary activity, the others as local ones.
type Records struct {
	Store *store.Store
	Now   func() time.Time
}

// RecordInput is a batch of an incident's events.
type RecordInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Events    []models.Event
}

// Record appends events and updates the read tables in one transaction. Events the store has already are skipped.
func (r *Records) Record(ctx context.Context, in RecordInput) error {
	return r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		return tx.Record(in.Reference, in.Events)
	})
}

// PlanInput asks who is reached about a notice to everyone, or, without one, who is called.
type PlanInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Severity  models.Severity
	At        time.Time
	Notice    models.Notice
	Waiting   []models.Notice // whoever one of these waits for gets no message over its channel
	Approval  bool            // who is called about an approval
}

// Plan returns who is reached, how and when: ids only. Messages that wait for a contact's hours go into the ledger at
// once, so that people see them coming.
func (r *Records) Plan(ctx context.Context, in PlanInput) (plan models.Plan, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, err := tx.Directory()
		if err != nil {
			return err
		}
		plan = d.Plan(in.Severity, in.At).Without(in.Waiting)
		if in.Approval {
			plan.Calls = d.Callable(in.Severity, in.At)
		}
		for _, m := range plan.Messages {
			if in.Notice.Purpose == "" || !m.At.After(in.At) {
				continue
			}
			if _, err := tx.Intend(models.MessageEffect(in.Reference, in.ClientID, in.Notice.To(m)), m.At); err != nil {
				return err
			}
		}
		return nil
	})
	return plan, err
}

// FallbackInput asks how else the contact of a notice is reached after its channel failed.
type FallbackInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Notice    models.Notice
	Severity  models.Severity
	At        time.Time
}

// Fallback returns over which other channel a contact is reached, and when; the zero Reach when there is none, or when
// the notice has gone that way before.
func (r *Records) Fallback(ctx context.Context, in FallbackInput) (reach models.Reach, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, err := tx.Directory()
		if err != nil {
			return err
		}
		n := slices.IndexFunc(d.Contacts, func(c models.Contact) bool { return c.ID == in.Notice.Contact })
		if n < 0 { // removed meanwhile
			return nil
		}
		to, ok := d.Fallback(d.Contacts[n], in.Severity, in.Notice.Channel, in.At)
		if !ok {
			return nil
		}
		_, err = tx.Effect(models.MessageEffect(in.Reference, in.ClientID, in.Notice.To(to)).Key)
		if models.KindOf(err) == models.NotFound {
			reach, err = to, nil
		}
		return err
	})
	return reach, err
}

// RemindInput asks when a reminder that is due is sent.
type RemindInput struct {
	ClientID uuid.UUID
	Severity models.Severity
	Due      time.Time
}

// RemindAt moves a reminder into the client's business hours.
func (r *Records) RemindAt(ctx context.Context, in RemindInput) (at time.Time, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, err := tx.Directory()
		at = d.RemindAt(in.Severity, in.Due)
		return err
	})
	return at, err
}

// RuleInput asks what a client's response authority says to a request about an endpoint.
type RuleInput struct {
	ClientID   uuid.UUID
	Request    models.ResponseRequest
	Reference  models.Reference
	Endpoint   string
	Generation int // of what is wanted of it
}

// Rule returns the decision of the client's response authority. While isolation is paused it permits none, and more than
// the client's policy permits in a while are asked.
func (r *Records) Rule(ctx context.Context, in RuleInput) (ruling models.Ruling, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, err := tx.Directory()
		if err != nil {
			return err
		}
		a, err := tx.Authority()
		if err != nil {
			return err
		}
		ruling = a.Decide(in.Request, d.Zone, d.Business)
		if in.Request.Action == models.DesiredIsolated && ruling.Decision != models.DecideNever {
			ruling, err = r.limited(tx, in, ruling)
		}
		return err
	})
	return ruling, err
}

// limited is what remains of a ruling that lets a device be isolated, once the switch and the limit were looked at.
func (r *Records) limited(tx *store.Tx, in RuleInput, ruling models.Ruling) (models.Ruling, error) {
	s, err := tx.IsolationSwitch()
	ruling = s.Hold(ruling)
	if err != nil || !ruling.Unasked() {
		return ruling, err
	}
	c, err := tx.Client()
	if err != nil {
		return ruling, err
	}
	now := r.Now()
	passes, err := tx.PassIsolation(in.Reference, in.Endpoint, in.Generation, c.Policy.IsolationLimit(), now.Add(-models.IsolationWindow), now)
	if !passes {
		ruling = c.Policy.Exceeded(ruling)
	}
	return ruling, err
}

// CancelInput is an effect that is not wanted any more.
type CancelInput struct {
	Effect models.Effect
	Reason string // "" when the effect's own reason is gone
}

// Cancel marks an effect as canceled, so that it is never tried, also when it was not planned yet. What was tried stays
// as it is.
func (r *Records) Cancel(ctx context.Context, in CancelInput) error {
	return r.Store.ForClient(ctx, store.Worker, in.Effect.ClientID, func(tx *store.Tx) error {
		if _, err := tx.Intend(in.Effect, r.Now()); err != nil {
			return err
		}
		return tx.Cancel(in.Effect.Key, in.Reason, r.Now())
	})
}

// DecidedInput names a client's decision.
type DecidedInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	RequestID string
	Command   string
	UserID    string
}

// Decided reports whether the client's own row backs a decision: same request, same command, same person.
func (r *Records) Decided(ctx context.Context, in DecidedInput) (decided bool, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		d, err := tx.Decision(in.RequestID, in.Reference)
		if models.KindOf(err) == models.NotFound {
			return nil
		}
		decided = err == nil && d.Command == in.Command && d.UserID.String() == in.UserID
		return err
	})
	return decided, err
}

// OutcomeInput is our own word on how an effect ended.
type OutcomeInput struct {
	ClientID uuid.UUID
	Effect   string
	Outcome  string
	By       uuid.UUID // the contact who acknowledged, if one did
	How      string
}

// Outcome writes our word on an effect into the ledger. An effect that was never begun has no row, and no outcome.
func (r *Records) Outcome(ctx context.Context, in OutcomeInput) error {
	err := r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		if in.By != uuid.Nil {
			return tx.Acknowledge(in.Effect, in.By, in.How, r.Now())
		}
		return tx.SetOutcome(in.Effect, in.Outcome, r.Now())
	})
	if models.KindOf(err) == models.NotFound {
		return nil
	}
	return err
}
