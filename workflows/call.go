package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

const (
	// talkFor is how long an answered call may go on before it counts as over.
	talkFor = 2 * time.Minute
	// firstLook and nextLook pace the polling that stands in for lost status callbacks.
	firstLook = 10 * time.Second
	nextLook  = 15 * time.Second
)

// callRound is one round of calls through a client's contacts, in their order, until a human presses a key.
type callRound struct {
	models.CallRoundRun
	digits  map[string]string            // effect key -> key that ended the matter (1 or 3)
	status  map[string]models.CallStatus // effect key -> the carrier's last word
	machine map[string]bool              // effect key -> a machine picked up
	seq     map[string]int
	stopped bool
	tried   int
	noting  int // outcomes that are not in the ledger yet
	reached *uuid.UUID
	agreed  map[uuid.UUID]bool // contacts who answered an approval with yes
	refused bool               // one answered it with no
}

// CallRound calls the recipients one after the other. It reports every call and its end to the incident's workflow.
func CallRound(ctx workflow.Context, run models.CallRoundRun) error {
	w := &callRound{CallRoundRun: run, digits: map[string]string{}, status: map[string]models.CallStatus{}, machine: map[string]bool{}, agreed: map[uuid.UUID]bool{}, seq: map[string]int{}}
	w.listen(ctx)
	for _, r := range run.Calls {
		if w.over() {
			break
		}
		if err := w.callContact(ctx, r); err != nil {
			return err
		}
	}
	w.ended(ctx)
	return workflow.Await(ctx, func() bool { return w.noting == 0 })
}

// ended tells the incident that nobody is called any more.
func (w *callRound) ended(ctx workflow.Context) {
	if w.Approval != nil {
		w.report(ctx, models.SignalConsent, models.PhoneConsent{Approval: w.Approval.ID, Ended: true})
		return
	}
	result := models.RoundResult{Round: w.Round, Tried: w.tried}
	if w.reached != nil {
		result.Acknowledged, result.Contact = true, *w.reached
	}
	w.report(ctx, models.SignalRoundEnded, result)
}

// listen takes what the phone, the carrier and the incident say.
func (w *callRound) listen(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var k models.KeyPress
			workflow.GetSignalChannel(ctx, models.SignalKeyPress).Receive(ctx, &k)
			w.digits[k.Effect] = k.Digit
			switch {
			case w.Approval != nil && (k.Digit == "1" || k.Digit == "9"):
				w.answered(ctx, k)
			case k.Digit == "1" && w.reached == nil:
				w.reached = &k.Contact
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			var p models.CallProgress
			workflow.GetSignalChannel(ctx, models.SignalCallProgress).Receive(ctx, &p)
			if p.Machine {
				w.machine[p.Effect] = true
			} else {
				w.progress(p.Effect, p.Status, p.Sequence)
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, models.SignalStop).Receive(ctx, nil)
		w.stopped = true
	})
}

// progress applies the carrier's word if it is newer than the last and the call is not over already.
func (w *callRound) progress(effect string, s models.CallStatus, sequence int) {
	if w.status[effect].Final() || sequence < w.seq[effect] {
		return
	}
	w.status[effect], w.seq[effect] = s, sequence
}

// over reports whether nobody needs to be called any more.
func (w *callRound) over() bool {
	if w.Approval != nil {
		return w.stopped || w.refused || len(w.agreed) >= w.Approval.Persons
	}
	return w.reached != nil && !w.Everyone || w.stopped
}

// answered passes a contact's answer about an approval on.
func (w *callRound) answered(ctx workflow.Context, k models.KeyPress) {
	said := models.PhoneConsent{Approval: w.Approval.ID, Contact: k.Contact, Granted: k.Digit == "1"}
	for _, r := range w.Calls {
		if r.Contact == k.Contact {
			said.Person = r.Person
		}
	}
	w.report(ctx, models.SignalConsent, said)
	if said.Granted {
		w.agreed[k.Contact] = true
	} else {
		w.refused = true
	}
}

// callContact calls one contact, again after a busy line as often as the policy says.
func (w *callRound) callContact(ctx workflow.Context, r models.Reach) error {
	w.tried++
	for try := 1; try <= w.Policy.BusyTries+1; try++ {
		result, err := w.call(ctx, r, try)
		if err != nil {
			return err
		}
		if w.Approval == nil {
			w.report(ctx, models.SignalContactCalled, models.CallResult{Round: w.Round, Try: try, Contact: r.Contact, Outcome: result})
		}
		if result != models.OutcomeBusy || w.over() || try > w.Policy.BusyTries {
			return nil
		}
		if stop, err := awaitFor(ctx, time.Duration(w.Policy.BusyAgainAfter), "busy: call again", w.over); stop || err != nil {
			return err
		}
	}
	return nil
}

// call places one call and sees it through.
func (w *callRound) call(ctx workflow.Context, r models.Reach, try int) (models.CallOutcome, error) {
	e := models.CallEffect(w.Reference, w.ClientID, w.Revision, w.Round, try, r.Contact)
	if w.Approval != nil {
		e = models.ApprovalCallEffect(w.Reference, w.ClientID, *w.Approval, w.Round, try, r.Contact)
	}
	e.Rehearsal = w.Rehearsal
	summary := fmt.Sprintf("call contact %d of %d, try %d", w.tried, len(w.Calls), try)
	id, err := w.place(ctx, summary, callInput{Effect: e, RingFor: time.Duration(w.Policy.RingFor)})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	result := models.OutcomeUnplaced
	switch {
	case err == nil:
		if result, err = w.follow(ctx, e.Key, id); err != nil {
			return "", err
		}
	case w.settled(e.Key):
		result = w.outcome(e.Key)
	case classOf(err) == models.Rejected:
		result = models.OutcomeRefused
	}
	if result == models.OutcomeCanceled && id != "" {
		if err := hangup(ctx, callRef{ClientID: w.ClientID, CallID: id, Rehearsal: w.Rehearsal}); err != nil {
			workflow.GetLogger(ctx).Warn("call not hung up", "error", err)
		}
	}
	said := outcomeInput{ClientID: w.ClientID, Effect: e.Key, Outcome: string(result)}
	if result == models.OutcomeAcknowledged {
		said.By, said.How = r.Contact, "key press 1"
	}
	w.note(ctx, said)
	return result, nil
}

// note writes our word on a call into the ledger, however long that takes: nobody waits for it.
func (w *callRound) note(ctx workflow.Context, said outcomeInput) {
	w.noting++
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := outcome(ctx, said); err != nil {
			workflow.GetLogger(ctx).Error("outcome of a call not noted", "error", err)
		}
		w.noting--
	})
}

// place asks the carrier for the call. When its answer is lost, what the contact or the carrier reports meanwhile proves
// that there was a call and how it ended: then the answer is waited for no longer.
func (w *callRound) place(ctx workflow.Context, summary string, in callInput) (string, error) {
	placing, cancel := workflow.WithCancel(ctx)
	defer cancel()
	var id string
	err := errors.New("the carrier's answer was not waited for")
	answered := false
	workflow.Go(placing, func(ctx workflow.Context) {
		id, err = placeCall(ctx, summary, time.Duration(w.Policy.TellAfter), in)
		answered = true
	})
	proven := func() bool { return w.digits[in.Effect.Key] != "" || w.status[in.Effect.Key].Final() }
	if werr := workflow.Await(ctx, func() bool { return answered || proven() }); werr != nil {
		return "", werr
	}
	return id, err
}

// settled reports whether nothing more is to be waited for about a call.
func (w *callRound) settled(effect string) bool {
	return w.digits[effect] != "" || w.status[effect].Final() || w.over()
}

// follow waits until a key ends the matter, the carrier says the call is over, or the round is. When the carrier's
// reports stay away it asks.
func (w *callRound) follow(ctx workflow.Context, effect, id string) (models.CallOutcome, error) {
	settled := func() bool { return w.settled(effect) }
	start := workflow.Now(ctx)
	limit := time.Duration(w.Policy.RingFor) + talkFor
	first := time.Duration(w.Policy.RingFor)
	if !w.Rehearsal { // in a rehearsal there is no carrier that could report first
		first += firstLook
	}
	for pause := first; ; pause = nextLook {
		ok, err := awaitFor(ctx, pause, "no word from the carrier: ask it", settled)
		if err != nil {
			return "", err
		}
		if ok {
			break
		}
		if s, err := callStatus(ctx, callRef{ClientID: w.ClientID, CallID: id, Rehearsal: w.Rehearsal}); err == nil && s != "" {
			w.progress(effect, s, w.seq[effect])
		}
		if !settled() && workflow.Now(ctx).Sub(start) > limit {
			return models.OutcomeUnreachable, nil
		}
	}
	return w.outcome(effect), nil
}

// outcome says what a settled call came to: the key before the carrier's word.
func (w *callRound) outcome(effect string) models.CallOutcome {
	switch {
	case w.digits[effect] == "1":
		return models.OutcomeAcknowledged
	case w.digits[effect] == "9":
		return models.OutcomeDeclined
	case w.digits[effect] == "3":
		return models.OutcomePassedOn
	case w.status[effect] == models.CallCompleted && w.machine[effect]:
		return models.OutcomeVoicemail
	case w.status[effect].Final():
		return models.OutcomeOf(w.status[effect])
	default:
		return models.OutcomeCanceled
	}
}

func (w *callRound) report(ctx workflow.Context, signal string, arg any) {
	if err := workflow.SignalExternalWorkflow(ctx, w.Reference.WorkflowID(), "", signal, arg).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the incident did not take a report", "signal", signal, "error", err)
	}
}
