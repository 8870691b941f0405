package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// Records are the activities that touch the store alone. Record runs as an ordinary activity, the others as local ones.
type Records struct {
	Store *store.Store
}

// RecordInput is a batch of an incident's events.
type RecordInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Events    []incident.Event
	Commands  []incident.CommandResult `json:",omitempty"` // whose last event is in the batch
	Calls     []notify.CallEnd         `json:",omitempty"` // for the ledger
}

// The types of the errors by which Record refuses a batch for good.
const (
	// ErrDiverged: the store has other events under these numbers, or one of the commands: the workflow was reset.
	ErrDiverged = "diverged"
	// ErrRefused: the events do not follow from what the store has.
	ErrRefused = "refused"
)

// Record appends events, updates the read tables and tells the ledger how calls ended, in one transaction. Events the store has already are skipped. An
// error of type ErrDiverged or ErrRefused is not retried. The operator is told of the latter: the reconciler, which
// looks at pending activities, does not see it.
func (r *Records) Record(ctx context.Context, in RecordInput) error {
	return in.write(ctx, r.Store, func(*store.Tx) error { return nil })
}

// write does what Record does, and in the same transaction what also does.
func (in RecordInput) write(ctx context.Context, s *store.Store, also func(*store.Tx) error) error {
	var failed error
	err := s.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		if len(in.Events) > 0 {
			if err := tx.Record(in.Reference, in.Events, in.Commands...); err != nil {
				return err
			}
		}
		if failed = recordCalls(tx, in.Calls); failed == nil {
			failed = also(tx)
		}
		return failed
	})
	if failed != nil {
		return failed // it says nothing of the events
	}
	if errors.Is(err, store.ErrDiverged) {
		return temporal.NewNonRetryableApplicationError("the store has other events under these numbers", ErrDiverged, err)
	}
	switch models.KindOf(err) {
	case models.Conflict, models.Forbidden, models.NotFound, models.Invalid:
		alarm := models.Alarm{Kind: models.AlarmNotRecorded, Subject: string(in.Reference),
			Detail: "the database refuses the incident's events, and its commands are stopped: see watchfire reconcile"}
		if failed := s.RaiseAlarm(ctx, alarm); failed != nil {
			return failed // asked again
		}
		return temporal.NewNonRetryableApplicationError("the store refuses the events", ErrRefused, err)
	}
	return err
}

// CommandInput names a command.
type CommandInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	RequestID string
}

// FindCommand returns the result of a command that was carried out before, nil for none.
func (r *Records) FindCommand(ctx context.Context, in CommandInput) (*incident.CommandResult, error) {
	found, err := store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) ([]incident.CommandResult, error) {
		return tx.Commands(in.Reference, in.RequestID)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// RecordedInput asks for an incident as the store has it.
type RecordedInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Requests  []string
	After     int              // Seq of the last event that the workflow knows to be in the store
	Facts     []incident.Event // that the workflow decided since, and no command did
}

// Recorded is an incident as the store has it, as a workflow carries it, what is left to do about its messages, those
// of the requests asked for that are in its log, and the numbers of the facts that the store has already.
type Recorded struct {
	Incident incident.Incident
	Commands []incident.CommandResult
	Unsent   incident.Unsent
	Repeated []int
}

// ReadRecorded returns an incident as the store has it.
func (r *Records) ReadRecorded(ctx context.Context, in RecordedInput) (Recorded, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) (out Recorded, err error) {
		l, err := tx.Lost(in.Reference)
		if err != nil {
			return out, err
		}
		out.Incident, out.Unsent, out.Repeated = l.Incident.Carried(), l.Unsent(), l.Repeated(in.Facts, in.After)
		out.Commands, err = tx.Commands(in.Reference, in.Requests...)
		return out, err
	})
}

// SeqInput asks how far the store has an incident.
type SeqInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
}

// LastRecorded returns the Seq of the last event of an incident in the store.
func (r *Records) LastRecorded(ctx context.Context, in SeqInput) (int, error) {
	return r.Store.Recorded(ctx, store.Worker, in.ClientID, in.Reference)
}

// PlanInput asks who is reached.
type PlanInput struct {
	ClientID  uuid.UUID
	Reference models.Reference
	Severity  models.Severity
	At        time.Time
	Approval  bool          // the calls are about an approval
	AskedBy   *models.Actor `json:",omitempty"` // who asked for what is to be approved: contacts whom they made may not answer
	Persons   int           `json:",omitempty"` // how many must agree
	AlsoTold  []uuid.UUID   `json:",omitempty"` // contacts who are being told, whom the ledger may not have yet
}

// PlanRecipients returns who is reached, how and when: ids only.
func (r *Records) PlanRecipients(ctx context.Context, in PlanInput) (notify.Plan, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) (notify.Plan, error) {
		d, err := tx.Directory()
		if err != nil {
			return notify.Plan{}, err
		}
		except := map[uuid.UUID]bool{}
		if in.Approval && in.AskedBy != nil {
			why, err := whyNoApprovers(tx, *in.AskedBy, d.Contacts...)
			if err != nil {
				return notify.Plan{}, err
			}
			for id := range why {
				except[id] = true
			}
		}
		return in.planIn(d, except, func() ([]uuid.UUID, error) { return tx.ToldContacts(in.Reference) })
	})
}

// planIn plans in a directory. except are the contacts who may not approve. told returns whom the ledger knows to have
// been told of the incident.
func (in PlanInput) planIn(d notify.Directory, except map[uuid.UUID]bool, told func() ([]uuid.UUID, error)) (plan notify.Plan, err error) {
	all, err := told()
	if err != nil {
		return notify.Plan{}, err
	}
	all = append(all, in.AlsoTold...)
	plan = d.Plan(in.Severity, in.At, all...)
	if in.Approval {
		plan.Calls = d.CallableApprovers(except, in.Persons, in.Severity, in.At, all...)
	}
	return plan, nil
}

// FallbackInput asks for another channel to the contact of a notification whose channel failed.
type FallbackInput struct {
	ClientID     uuid.UUID
	Reference    models.Reference
	Notification notify.Notification
	Severity     models.Severity
	At           time.Time
}

// PlanFallback returns the other channel a contact is reached over, and when. The zero Recipient: there is none, the
// notification has gone that way before, or the contact was removed.
func (r *Records) PlanFallback(ctx context.Context, in FallbackInput) (notify.Recipient, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) (none notify.Recipient, err error) {
		d, err := tx.Directory()
		if err != nil {
			return none, err
		}
		n := slices.IndexFunc(d.Contacts, func(c models.Contact) bool { return c.ID == in.Notification.Contact })
		if n < 0 { // removed meanwhile
			return none, nil
		}
		to, ok := d.Fallback(d.Contacts[n], in.Severity, in.Notification.Channel, in.At)
		if !ok {
			return none, nil
		}
		_, err = tx.Effect(notify.MessageEffect(in.Reference, in.ClientID, in.Notification.AddressedTo(to)).Key)
		if models.KindOf(err) == models.NotFound {
			return to, nil
		}
		return none, err
	})
}

// ReminderInput asks when a reminder that is due may be sent.
type ReminderInput struct {
	ClientID uuid.UUID
	Severity models.Severity
	Due      time.Time
}

// PlanReminder moves a reminder into the client's business hours.
func (r *Records) PlanReminder(ctx context.Context, in ReminderInput) (time.Time, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) (time.Time, error) {
		d, err := tx.Directory()
		return d.RemindAt(in.Severity, in.Due), err
	})
}

// EvaluateAuthorityInput asks for a client's ruling on a request about an endpoint.
type EvaluateAuthorityInput struct {
	ClientID   uuid.UUID
	Request    authority.Request
	Reference  models.Reference
	Endpoint   string
	Generation int // of the desired state
}

// EvaluateAuthority returns the ruling of the client's response authority. While isolations are paused it permits none;
// one that exceeds the client's isolation limit is asked.
func (r *Records) EvaluateAuthority(ctx context.Context, in EvaluateAuthorityInput) (authority.Ruling, error) {
	return store.Run(r.Store.InClient(ctx, store.Worker, in.ClientID), func(tx *store.Tx) (authority.Ruling, error) {
		d, err := tx.Directory()
		if err != nil {
			return authority.Ruling{}, err
		}
		a, err := tx.Authority()
		if err != nil {
			return authority.Ruling{}, err
		}
		ruling := a.Evaluate(in.Request, d.Zone, d.Business)
		if in.Request.Action == models.DesiredIsolated && ruling.Decision != authority.DecideNever {
			return r.applyIsolationLimit(tx, in, ruling)
		}
		return ruling, nil
	})
}

// applyIsolationLimit restricts a ruling that lets a device be isolated by the client's isolation switch and limit.
func (r *Records) applyIsolationLimit(tx *store.Tx, in EvaluateAuthorityInput, ruling authority.Ruling) (authority.Ruling, error) {
	s, err := tx.IsolationSwitch()
	ruling = ruling.RestrictedBySwitch(s)
	if err != nil || !ruling.IsAutomatic() {
		return ruling, err
	}
	c, err := tx.Client()
	if err != nil {
		return ruling, err
	}
	passes, err := tx.PassIsolation(in.Reference, in.Endpoint, in.Generation, c.Policy.IsolationLimit(), tx.Now().Add(-models.IsolationWindow), tx.Now())
	if !passes {
		ruling = ruling.RestrictedByLimit(c.Policy)
	}
	return ruling, err
}

// CancelInput names an effect that is not wanted any more.
type CancelInput struct {
	Effect notify.Effect
	Reason string // "" when the effect's own reason is gone
}

// CancelEffect marks an effect as canceled, so that it is never tried, also when it was not planned yet. An effect that
// was tried stays as it is.
func (r *Records) CancelEffect(ctx context.Context, in CancelInput) error {
	return r.Store.ForClient(ctx, store.Worker, in.Effect.ClientID, func(tx *store.Tx) error {
		if _, err := tx.Intend(in.Effect, tx.Now()); err != nil {
			return err
		}
		return tx.Cancel(in.Effect.Key, in.Reason, tx.Now())
	})
}

// recordCalls writes our word on calls into the ledger. One that was never begun has no row.
func recordCalls(tx *store.Tx, calls []notify.CallEnd) error {
	for _, c := range calls {
		var err error
		if c.By != uuid.Nil {
			err = tx.Acknowledge(c.Effect, c.By, c.How, tx.Now())
		} else {
			err = tx.SetOutcome(c.Effect, string(c.Outcome), tx.Now())
		}
		if err != nil && models.KindOf(err) != models.NotFound {
			return err
		}
	}
	return nil
}

// NoteCanary says that a worker's canary workflow came to its end.
func (r *Records) NoteCanary(ctx context.Context, process uuid.UUID) error {
	return r.Store.NoteCanary(ctx, process)
}
