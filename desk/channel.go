package desk

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/auth"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	codeFor    = 10 * time.Minute // after which a code expires
	wrongCodes = 5                // tries, after which only a new code helps
	memoEffect = "effect"         // in a channel check's memo: the key of its effect
)

// VerifyChannel sends a code over a channel of a contact and returns when it expires. The same key again gives the same
// answer and sends nothing new. NotFound: the client with the number has no such contact. Invalid: the contact does not
// have the channel, or the key was used for another request. Conflict: another check of the channel is under way.
// TooMany: the channel, or its address, was sent too many codes and test messages.
// Unavailable: the engine does not answer, and nothing was sent.
func (d *Desk) VerifyChannel(ctx context.Context, u models.User, number int, contact uuid.UUID, ch models.Channel, key string) (time.Time, error) {
	if err := auth.Allow("verify-channel", u.Role); err != nil {
		return time.Time{}, err
	}
	begun, err := d.startChannelCheck(ctx, u, number, channelCheckRequest{"verify-channel", notify.PurposeCode, contact, ch, key})
	return begun.Add(codeFor), err
}

// TestChannel sends a test message over a channel of a contact. Errors are those of VerifyChannel; Invalid also for
// calls, because to test a call is to verify the channel.
func (d *Desk) TestChannel(ctx context.Context, u models.User, number int, contact uuid.UUID, ch models.Channel, key string) error {
	if err := auth.Allow("test-channel", u.Role); err != nil {
		return err
	}
	if ch == models.ChannelVoice {
		return models.InvalidField("/channel", "must be email or sms; to test a call, verify the channel")
	}
	_, err := d.startChannelCheck(ctx, u, number, channelCheckRequest{"test-channel", notify.PurposeTest, contact, ch, key})
	return err
}

// channelCheckRequest is a person's request to try a channel of a contact.
type channelCheckRequest struct {
	name    string
	purpose notify.Purpose
	contact uuid.UUID
	channel models.Channel
	key     string // the caller's own name for the request
}

// startChannelCheck starts a channel check, unless the same request has started it, and returns when the check began.
func (d *Desk) startChannelCheck(ctx context.Context, u models.User, number int, c channelCheckRequest) (time.Time, error) {
	request := requestID(u, c.name, c.key)
	run, begun, err := d.requestChannelCheck(ctx, u, number, c, request)
	if err != nil || !begun.IsZero() {
		return begun, err
	}
	if err := d.startCheckWorkflow(ctx, run); err != nil {
		return time.Time{}, err
	}
	return store.Run(d.inClient(ctx, u, number), func(tx *store.Tx) (begun time.Time, err error) {
		now := tx.Now()
		if begun, err = tx.BeginChannelCheck(request, now); err != nil || !begun.Equal(now) {
			return begun, err
		}
		err = d.appendAudit(tx, u, c.name, c.contact.String(), []string{string(c.channel)})
		if err != nil || c.purpose != notify.PurposeCode {
			return begun, err
		}
		return begun, tx.SetCode(c.contact, c.channel, run.Effect.Key, begun.Add(codeFor))
	})
}

// requestChannelCheck keeps the request, which counts against the limits once, however often it is repeated. It returns
// the input of the check's workflow or, when the check has begun, the moment it did.
func (d *Desk) requestChannelCheck(ctx context.Context, u models.User, number int, c channelCheckRequest, request string) (run notify.ChannelCheckInput, begun time.Time, err error) {
	asked, err := requestFingerprint(c.name, []string{c.contact.String(), string(c.channel)})
	if err != nil {
		return run, begun, err
	}
	var known bool
	var contact models.Contact
	err = d.inClient(ctx, u, number)(func(tx *store.Tx) error {
		if known, begun, err = tx.ChannelCheck(request, asked); err != nil || !begun.IsZero() {
			return err
		}
		if contact, err = contactWithChannel(tx, c.contact, c.channel); err != nil {
			return err
		}
		if why := d.explainBarred(contact.Phone); c.channel != models.ChannelEmail && why != "" {
			return models.InvalidField("/channel", "the phone number %s", why)
		}
		client, err := tx.Client()
		run = notify.ChannelCheckInput{
			Effect:  notify.ChannelCheckEffect(client.ID, client.Number, c.purpose, c.contact, c.channel, request),
			Channel: c.channel, RingFor: client.Policy.RingFor,
		}
		return err
	})
	if err != nil || known {
		return run, begun, err
	}
	if err := d.useChannel(ctx, u, number, c.name, contact, c.channel); err != nil {
		return run, begun, err
	}
	err = d.inClient(ctx, u, number)(func(tx *store.Tx) error {
		begun, err = tx.RequestChannelCheck(request, asked)
		return err
	})
	return run, begun, err
}

// contactWithChannel returns a contact who was not removed and has the channel.
func contactWithChannel(tx *store.Tx, contact uuid.UUID, ch models.Channel) (models.Contact, error) {
	c, err := tx.Contact(contact)
	switch {
	case err != nil:
		return c, err
	case !c.RemovedAt.IsZero():
		return c, models.Errorf(models.NotFound, "contact not found")
	case !c.Has(ch):
		return c, models.InvalidField("/channel", "is not a channel of this contact")
	}
	return c, nil
}

// startCheckWorkflow starts a channel check's workflow. It succeeds when the same check runs already. Conflict: another
// check of the channel is under way.
func (d *Desk) startCheckWorkflow(ctx context.Context, run notify.ChannelCheckInput) error {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	id := run.Effect.Workflow
	_, err := d.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: models.QueueIncidents, Memo: map[string]any{memoEffect: run.Effect.Key},
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            fmt.Sprintf("%s by %s", run.Effect.Purpose, run.Channel),
	}, models.ChannelCheckWorkflow, run)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &exists):
		return d.requireSameCheck(ctx, id, run.Effect.Key)
	case err != nil:
		d.log.WarnContext(ctx, "the engine takes no channel check", "error", err.Error())
		return engineUnavailable()
	}
	return nil
}

// requireSameCheck returns nil when the channel check that runs under an id is that of an effect, else Conflict.
func (d *Desk) requireSameCheck(ctx context.Context, id, effect string) error {
	running, err := d.temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		d.log.WarnContext(ctx, "the engine does not describe a channel check", "error", err.Error())
		return engineUnavailable()
	}
	var about string
	if field := running.GetWorkflowExecutionInfo().GetMemo().GetFields()[memoEffect]; field != nil {
		about, err = memoText(field)
	}
	if err != nil || about != effect {
		return models.Errorf(models.Conflict, "another check of this channel is under way; wait until it ends")
	}
	return nil
}

func memoText(p *commonpb.Payload) (string, error) {
	var text string
	err := converter.GetDefaultDataConverter().FromPayload(p, &text)
	return text, err
}

// ConfirmChannel takes the code that was sent to a contact over a channel and returns the contact with the channel
// verified. A verified channel without an outstanding code stays verified. NotFound: the client with the number has no
// such contact. Invalid: the contact does not have the channel, or the code is wrong, which counts. Conflict: no code
// is outstanding, and the caller must send a new one.
func (d *Desk) ConfirmChannel(ctx context.Context, u models.User, number int, contact uuid.UUID, ch models.Channel, code string) (models.Contact, error) {
	if err := auth.Allow("confirm-channel", u.Role); err != nil {
		return models.Contact{}, err
	}
	var c models.Contact
	var wrong error // a wrong code is counted, so it must not undo the transaction
	err := d.changeContact(ctx, u, number, "confirm-channel", contact, func(tx *store.Tx) (err error) {
		if c, err = contactWithChannel(tx, contact, ch); err != nil {
			return err
		}
		right, verified, err := d.outstandingCode(tx, c, ch)
		switch {
		case err != nil || verified:
			return err
		case subtle.ConstantTimeCompare([]byte(right), []byte(code)) != 1:
			wrong = models.InvalidField("/code", "is not the code that was sent")
			return tx.WrongCode(contact, ch)
		}
		c, err = tx.Verify(contact, ch, tx.Now())
		return err
	})
	if err != nil {
		return models.Contact{}, err
	}
	return c, wrong
}

// outstandingCode returns the outstanding code of a contact's channel, or that the channel is verified and there is
// none.
func (d *Desk) outstandingCode(tx *store.Tx, c models.Contact, ch models.Channel) (code string, verified bool, err error) {
	key, expires, wrong, err := tx.Code(c.ID, ch)
	none := models.KindOf(err) == models.NotFound
	switch {
	case none && !c.Verified[ch].IsZero():
		return "", true, nil
	case none:
		return "", false, models.Errorf(models.Conflict, "no code was sent over this channel; send one")
	case err != nil:
		return "", false, err
	case wrong >= wrongCodes:
		return "", false, models.Errorf(models.Conflict, "too many wrong codes; send a new one")
	case !tx.Now().Before(expires):
		return "", false, models.Errorf(models.Conflict, "the code has expired; send a new one")
	}
	code, err = tx.SentCode(key)
	if models.KindOf(err) == models.NotFound {
		err = models.Errorf(models.Conflict, "the code has not been sent yet; try again")
	}
	return code, false, err
}
