package activities

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// NotifyInput is a batch of an incident's events, and the messages that follow from them.
type NotifyInput struct {
	RecordInput
	Exercise models.Exercise
	Mails    []notify.Notification `json:",omitempty"` // to contacts who are told now
	Later    []notify.Notification `json:",omitempty"` // messages that wait for a contact's hours
}

// Notified says what became of the mails of a batch.
type Notified struct {
	Accepted []bool          `json:"accepted"`           // for each mail: a mailer took it
	Failures map[int]Failure `json:"failures,omitempty"` // by the mail's place: it is not to be tried again at once
	Sent
}

// Failure is a vendor's answer after which the whole channel waits.
type Failure struct {
	Class      models.VendorClass `json:"class"`
	Message    string             `json:"message"`
	RetryAfter time.Duration      `json:"retry_after,omitempty"`
}

// failureIn returns the failure in an error, if it is one.
func failureIn(err error) (Failure, bool) {
	var v *models.VendorError
	if !errors.As(err, &v) || v.Class != models.Config && v.Class != models.Throttled {
		return Failure{}, false
	}
	return Failure{Class: v.Class, Message: v.Error(), RetryAfter: v.RetryAfter}, true
}

const (
	// mailsAtOnce bounds the mails of one batch that are handed over side by side.
	mailsAtOnce = 8
	// beatEvery is the pause between two signs of life of a worker that waits for a mailer.
	beatEvery = 2 * time.Second
)

// Notify records events as Record does, and hands the mails that follow from them to a mailer: the events, the intents
// and the first attempts in one transaction, then the mails side by side, then all answers in one transaction. It makes
// no second attempt at a mail, and fails for none: those that are not accepted are SendMail's. Messages that wait are
// put into the ledger, so that people see them coming. Without a turn for this process it begins no mail.
func (m *Mail) Notify(ctx context.Context, in NotifyInput) (Notified, error) {
	done, ok := m.Turns.takeTurns(len(in.Mails))
	if !ok {
		in.Mails = nil
	}
	defer done()
	out := Notified{Accepted: make([]bool, len(in.Mails))}
	var begun []letterBegun
	err := in.write(ctx, m.Effects.Store, func(tx *store.Tx) (err error) {
		for _, n := range in.Later {
			if _, err := tx.Intend(in.message(n).Effect(), n.At); err != nil {
				return err
			}
		}
		begun, err = m.begin(tx, in, out.Accepted)
		return err
	})
	if err != nil || len(begun) == 0 {
		return out, err
	}
	stop := beat(ctx)
	defer stop()
	routes := m.routes(in.Exercise.IsSimulated())
	answers := make([]asked, len(begun))
	var sending errgroup.Group
	sending.SetLimit(mailsAtOnce)
	for n, b := range begun {
		sending.Go(func() error {
			answers[n] = ask(ctx, b.effect, b.row, func(ctx context.Context, _ store.LedgerRow) (Acceptance, error) { return routes.send(ctx, b.mail) })
			return nil
		})
	}
	_ = sending.Wait() // the failures are in the answers
	inOrder := slices.Clone(answers)
	if err := m.Effects.conclude(ctx, in.ClientID, inOrder...); err != nil {
		slog.WarnContext(ctx, "the ledger was not told of mails; each is looked up", "error", err.Error())
		return out, nil
	}
	for n, b := range begun {
		out.Accepted[b.at] = answers[n].err == nil
		if f, is := failureIn(answers[n].err); is {
			if out.Failures == nil {
				out.Failures = map[int]Failure{}
			}
			out.Failures[b.at] = f
		}
	}
	if !in.Exercise.IsSimulated() {
		m.tellOperator(ctx)
		out.Refused = m.Routes.refused()
	}
	return out, nil
}

// letterBegun is a mail whose first attempt is claimed.
type letterBegun struct {
	at     int // among the batch's
	effect notify.Effect
	row    store.LedgerRow
	mail   models.OutboundMail
}

// begin claims the first attempts at the mails of a batch, and composes them. One that the ledger has already is left as
// it is; accepted says of which a mailer took it.
func (m *Mail) begin(tx *store.Tx, in NotifyInput, accepted []bool) ([]letterBegun, error) {
	if len(in.Mails) == 0 {
		return nil, nil
	}
	d, err := tx.Directory()
	if err != nil {
		return nil, err
	}
	contacts := map[uuid.UUID]models.Contact{}
	for _, c := range d.Contacts {
		contacts[c.ID] = c
	}
	at := map[string]int{} // key -> place among the mails
	var effects []notify.Effect
	for n, mail := range in.Mails {
		if _, is := contacts[mail.Contact]; is { // or removed meanwhile
			e := in.message(mail).Effect()
			at[e.Key], effects = n, append(effects, e)
		}
	}
	rows, fresh, err := tx.Begin(effects, tx.Now())
	if err != nil {
		return nil, err
	}
	says := map[notify.Notification]content{} // to everyone
	var begun []letterBegun
	for _, row := range rows {
		n := at[row.Key]
		if !fresh[row.Key] {
			accepted[n] = row.State == notify.EffectAccepted
			continue
		}
		message := in.message(in.Mails[n])
		mail, err := m.writeOne(tx, message, says, contacts[row.Contact], row)
		if err != nil { // SendMail says why; the events must not wait for it
			if _, err := tx.Attempt(row.Key, row.AttemptAt, time.Time{}); err != nil {
				return nil, err
			}
			continue
		}
		begun = append(begun, letterBegun{at: n, effect: message.Effect(), row: row, mail: mail})
	}
	return begun, nil
}

// writeOne composes one of the mails of a batch. known keeps what the mails say, by their notification to everyone.
func (m *Mail) writeOne(tx *store.Tx, in MessageInput, known map[notify.Notification]content, c models.Contact, row store.LedgerRow) (models.OutboundMail, error) {
	all := in.Notification.AddressedTo(notify.Recipient{})
	if _, is := known[all]; !is {
		says, err := in.read(tx)
		if err != nil {
			return models.OutboundMail{}, err
		}
		known[all] = says
	}
	return m.write(in, known[all], c, row)
}

// message returns one of the messages.
func (in NotifyInput) message(n notify.Notification) MessageInput {
	return MessageInput{ClientID: in.ClientID, Reference: in.Reference, Notification: n, Exercise: in.Exercise}
}

// beat tells Temporal again and again that the worker lives, until it is stopped.
func beat(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return cancel
}
