package activities

import (
	"context"
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

// RecipientsInput asks who is reached over a channel for a severity.
type RecipientsInput struct {
	ClientID uuid.UUID
	Severity models.Severity
	Channel  models.Channel
}

// Recipients returns the client's contacts to reach, in order: ids only.
func (r *Records) Recipients(ctx context.Context, in RecipientsInput) (out []models.Recipient, err error) {
	err = r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		contacts, err := tx.Contacts()
		out = models.Recipients(contacts, in.Severity, in.Channel)
		return err
	})
	return out, err
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
}

// Outcome writes our word on an effect into the ledger.
func (r *Records) Outcome(ctx context.Context, in OutcomeInput) error {
	return r.Store.ForClient(ctx, store.Worker, in.ClientID, func(tx *store.Tx) error {
		return tx.SetOutcome(in.Effect, in.Outcome, r.Now())
	})
}
