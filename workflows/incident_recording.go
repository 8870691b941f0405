package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The bounds of a batch for the store. Temporal refuses a payload above two mebibytes, and then no step of the workflow
// is made any more. One event always fits.
const (
	batchBytes  = 256 << 10
	batchEvents = 200
)

// askAgainAfter is how long the workflow waits before it hands the store again what the store refused.
const askAgainAfter = time.Minute

// recording is the transient state of recordEvents.
type recording struct {
	pending   []pendingEvent           // applied and not in the store yet, in order
	commands  []incident.CommandResult // those whose last event is pending
	calls     []notify.CallEnd         // that the ledger is to be told of
	recorded  int                      // Seq of the last event that the store is known to have
	handed    int                      // Seq up to which Notify is at work, 0 when it is not
	refusedTo int                      // Seq of the last event that the store refused
	refused   bool                     // the store refuses the first of them: no command is carried out
	rebases   int                      // how often the incident went on from what the store has
	rebasing  bool
}

// pendingEvent is an event that is not known to be in the store.
type pendingEvent struct {
	incident.Event
	size          int                   // of its JSON in bytes
	notifications []notify.Notification // which wait for it to be there
	planned       bool                  // it is known to whom they go
	held          []notify.Notification // messages to contacts which wait for it to be there
}

func recordingOf(s incident.State) recording {
	r := recording{commands: s.UnrecordedBy, calls: s.UnrecordedCalls, recorded: s.Incident.Seq - len(s.Unrecorded)}
	for _, e := range s.Unrecorded {
		r.pending = append(r.pending, pendingEvent{Event: e, size: e.Size(), notifications: s.UnrecordedMessages[e.Seq]})
	}
	return r
}

// events returns the pending events.
func (r *recording) events() (events []incident.Event) {
	for _, e := range r.pending {
		events = append(events, e.Event)
	}
	return events
}

// messages returns the messages to everyone that follow from pending events, by their Seq.
func (r *recording) messages() map[int][]notify.Notification {
	all := map[int][]notify.Notification{}
	for _, e := range r.pending {
		if len(e.notifications) > 0 {
			all[e.Seq] = e.notifications
		}
	}
	return all
}

// isBehind reports whether something is to be written that is not known to be in the store.
func (r *recording) isBehind() bool { return len(r.pending) > 0 || len(r.calls) > 0 }

// bytes returns the size of the pending events.
func (r *recording) bytes() (sum int) {
	for _, e := range r.pending {
		sum += e.size
	}
	return sum
}

// addPending queues the event that was applied last for the store, and the messages that follow from it until it is
// there: a reset workflow repeats commands and signals, and may have to take back what it makes of them.
func (w *incidentWorkflow) addPending(e incident.Event) {
	p := pendingEvent{Event: e, size: e.Size(), notifications: w.state.Incident.NotificationsAfter(e)}
	w.room.Add(p.size)
	w.containing.noteVersions(w.state.Incident)
	for _, n := range p.notifications {
		w.messaging.waited[n] = w.waitingReminders(n)
	}
	w.recording.pending = append(w.recording.pending, p)
}

// release lets the messages out that wait for an event, but for those that Notify is at work with.
func (w *incidentWorkflow) release(p *pendingEvent) {
	if !p.planned {
		for _, n := range p.notifications {
			w.queueNotification(n)
		}
		p.notifications = nil
	}
	w.queueDue(p.held)
	p.held = nil
}

// holdMessages has messages wait until a batch is in the store, or is refused; those of one that is there are let out.
func (w *incidentWorkflow) holdMessages(in recordInput, all []notify.Notification) {
	if len(all) == 0 {
		return
	}
	last := in.Events[len(in.Events)-1].Seq
	for n := range w.recording.pending {
		if p := &w.recording.pending[n]; p.Seq == last {
			p.held = append(p.held, all...)
			return
		}
	}
	w.queueDue(all)
}

// mayFollow reports whether what follows from an event may leave the incident: the store has it, or refuses it, which
// the operator is told of.
func (w *incidentWorkflow) mayFollow(seq int) bool {
	return seq <= w.recording.recorded || w.recording.refused
}

// nextBatch returns the pending events that go to the store together, and the commands that are complete with them.
func (w *incidentWorkflow) nextBatch() recordInput {
	r := &w.recording
	count, sum := 0, 0
	for _, e := range r.pending {
		if sum += e.size; count > 0 && (sum > batchBytes || count == batchEvents) {
			break
		}
		count++
	}
	in := recordInput{ClientID: w.state.Incident.ClientID, Reference: w.state.Incident.Reference, Calls: slices.Clone(r.calls[:min(len(r.calls), batchEvents)])}
	if count == 0 {
		return in
	}
	in.Events = r.events()[:count]
	last := in.Events[count-1].Seq
	for _, c := range r.commands {
		if c.LastSeq <= last {
			in.Commands = append(in.Commands, c)
		}
	}
	return in
}

// gatherFor is how long an event that nobody waits for may wait for others, while calls are made: when one ends, there is
// something to write anyway, and the ledger shows messages and calls at once.
const gatherFor = 30 * time.Second

// mayWait reports whether nobody waits for an event.
func (e pendingEvent) mayWait() bool {
	switch e.Data.(type) {
	case *incident.ContactMessaged, *incident.CallRoundStarted:
		return true
	}
	return false
}

// isDue reports whether something is to be written now.
func (w *incidentWorkflow) isDue(ctx workflow.Context) bool {
	r := &w.recording
	news := r.pending
	for len(news) > 0 && news[0].Seq <= r.handed {
		news = news[1:]
	}
	switch {
	case len(news) == 0:
		return len(r.calls) > 0 && r.handed == 0
	case len(r.calls) > 0, len(w.state.Rounds) == 0, workflow.Now(ctx).Sub(news[0].At) >= gatherFor:
		return true
	}
	return slices.ContainsFunc(news, func(e pendingEvent) bool { return !e.mayWait() })
}

// recordEvents writes events to the store in order, batch by batch, for as long as the run lives. Mails that follow from
// a batch go with it. Events that come meanwhile do not wait for the mailer: they are written with that batch once more,
// of which the store takes each event once.
func (w *incidentWorkflow) recordEvents(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return w.isDue(ctx) }) == nil {
		in, rebases := w.nextBatch(), w.recording.rebases
		due, err := w.planMessages(ctx, len(in.Events))
		switch {
		case err != nil:
			return
		case w.recording.rebases != rebases:
			w.forgetMessages(due.all())
			continue
		case len(due.mails)+len(due.later) > 0:
			w.recording.handed = in.Events[len(in.Events)-1].Seq
			with := due
			workflow.Go(ctx, func(ctx workflow.Context) { w.notify(ctx, in, with, rebases) })
			if len(due.others) == 0 && !w.isAskedIn(in) {
				continue
			} // texts and calls do not wait for the mailer: the store takes each event once
		}
		w.holdMessages(in, due.others)
		refused, err := w.noteWritten(ctx, in, rebases, record(ctx, in))
		if err != nil || refused && pause(ctx, askAgainAfter, "the store refuses events; ask again") != nil {
			return
		}
	}
}

// isAskedIn reports whether calls about an approval wait for an event of a batch.
func (w *incidentWorkflow) isAskedIn(in recordInput) bool {
	return slices.ContainsFunc(w.state.Incident.Endpoints, func(e incident.Endpoint) bool {
		return e.Approval.IsAnswerable() && slices.ContainsFunc(in.Events, func(x incident.Event) bool { return x.Seq == e.Approval.AskedSeq })
	})
}

// noteWritten takes the store's answer to a batch. An error ends the run.
func (w *incidentWorkflow) noteWritten(ctx workflow.Context, in recordInput, rebases int, answer error) (refused bool, err error) {
	switch {
	case w.recording.rebases != rebases: // the batch is not what is pending any more
	case answer == nil:
		w.noteRecorded(in)
		w.updatePresentation(ctx)
	case ctx.Err() != nil:
		return false, ctx.Err()
	case typeOf(answer) == errDiverged && w.recording.rebasing: // for a command
		return false, workflow.Await(ctx, func() bool { return !w.recording.rebasing })
	case typeOf(answer) == errDiverged:
		return false, w.rebase(ctx)
	default:
		w.noteRefused(ctx, in, answer)
		return true, nil
	}
	return false, nil
}

// noteRecorded takes a batch that the store has out of what is pending.
func (w *incidentWorkflow) noteRecorded(in recordInput) {
	r := &w.recording
	r.calls = slices.DeleteFunc(r.calls, func(c notify.CallEnd) bool { return slices.Contains(in.Calls, c) })
	if len(in.Events) == 0 {
		return
	}
	r.recorded = max(r.recorded, in.Events[len(in.Events)-1].Seq)
	r.refused = r.refused && r.recorded < r.refusedTo
	for n := range r.pending {
		if p := &r.pending[n]; p.Seq <= r.recorded {
			w.release(p)
		}
	}
	r.pending = slices.DeleteFunc(r.pending, func(p pendingEvent) bool { return p.Seq <= r.recorded })
	r.commands = slices.DeleteFunc(r.commands, func(c incident.CommandResult) bool { return c.LastSeq <= r.recorded })
}

// noteRefused stops the incident's commands, because the store refuses what the workflow decided, and makes it seen:
// watchfire_events_refused counts every time the store was asked in vain.
func (w *incidentWorkflow) noteRefused(ctx workflow.Context, in recordInput, err error) {
	w.recording.refused = true
	if len(in.Events) > 0 {
		w.recording.refusedTo = max(w.recording.refusedTo, in.Events[len(in.Events)-1].Seq)
	}
	for n := range w.recording.pending {
		w.release(&w.recording.pending[n])
	}
	workflow.GetMetricsHandler(ctx).Counter("watchfire_events_refused").Inc(1)
	workflow.GetLogger(ctx).Error("the store refuses the events of an incident; its commands are stopped",
		"incident", w.state.Incident.Reference, "seq", w.recording.recorded+1, "type", typeOf(err))
}

// isBehind reports whether the store knew a later history of the incident, up to an event with this Seq, than the workflow
// does now: somebody reset the workflow.
func (w *incidentWorkflow) isBehind(recorded int) bool {
	return recorded > w.state.Incident.Seq
}

// catchUp returns when the incident goes on from what the store has, if it is behind.
func (w *incidentWorkflow) catchUp(ctx workflow.Context, recorded int) error {
	if !w.isBehind(recorded) {
		return nil
	}
	if err := workflow.Await(ctx, func() bool { return !w.recording.rebasing }); err != nil || !w.isBehind(recorded) {
		return err
	}
	return w.rebase(ctx)
}

// rebase lets the incident go on from what the store has, because the store knows a later history. What was decided
// since and is not in the store yet is put behind it. A command that the store knows, because Temporal handed it over
// once more, is not carried out again; one that is no longer legal becomes command_rejected. The consequences of the
// store's events are not repeated, but for the messages that were never handed over; those of the events that were
// decided since were drawn when they were first applied. A fact that the store has since is not written once more.
func (w *incidentWorkflow) rebase(ctx workflow.Context) error {
	in := w.recording.question(w.state.Incident)
	w.recording.rebasing = true
	defer func() { w.recording.rebasing = false }()
	stored, err := readRecorded(ctx, in)
	if err != nil {
		return err
	}
	workflow.GetMetricsHandler(ctx).Counter("watchfire_events_rebased").Inc(1)
	workflow.GetLogger(ctx).Warn("the store has a later history of the incident; the workflow goes on from there",
		"incident", in.Reference, "seq", w.state.Incident.Seq, "stored", stored.Incident.Seq)
	known := map[string]incident.CommandResult{}
	for _, c := range stored.Commands {
		known[c.RequestID] = c
	}
	events := slices.DeleteFunc(w.recording.events(), func(e incident.Event) bool { return slices.Contains(stored.Repeated, e.Seq) })
	w.keepWhatPends(&stored.Unsent, events)
	commands := w.recording.commands
	w.state.Incident, w.room = stored.Incident, incident.NewRoom(stored.Incident)
	w.recording = recording{calls: w.recording.calls, recorded: stored.Incident.Seq, rebases: w.recording.rebases + 1, rebasing: true}
	clear(w.messaging.waited)
	w.containing.versions = nil
	w.containing.noteVersions(w.state.Incident)
	for _, n := range stored.Unsent.Notifications {
		w.queueNotification(n)
	}
	w.state.FallbacksSent = union(w.state.FallbacksSent, stored.Unsent.FallbacksSent)
	w.state.PendingCalls = union(w.state.PendingCalls, stored.Unsent.PendingCalls)
	w.forgetMessages(w.messaging.notified()) // what is left of them is unsent
	w.state.Rounds, w.state.ApprovalRounds = stored.Unsent.Rounds, map[string]int{}
	w.state.Missed = union(w.state.Missed, stored.Unsent.Missed)
	w.askForApprovals()
	w.state.Looks = map[string]incident.Look{}
	for _, e := range stored.Incident.Endpoints { // its workflow may run: it is signalled before one is started
		w.state.EndpointVersions[e.ID] = 1
		w.state.Looks[e.ID] = incident.Look{Number: w.serialNumber(ctx)} // what it told the run that was reset is lost
	}
	if w.state.Incident.IsOver() {
		w.startManaging(ctx)
	}
	for len(events) > 0 {
		own := slices.IndexFunc(commands, func(c incident.CommandResult) bool { return c.Made(events[0]) })
		if own < 0 {
			w.appendRebased(ctx, events[0])
			events = events[1:]
			continue
		}
		command := commands[own]
		made := command.Of(events)
		events = slices.DeleteFunc(events, func(e incident.Event) bool {
			return slices.ContainsFunc(made, func(m incident.Event) bool { return m.Seq == e.Seq })
		})
		w.forgetResult(command.RequestID)
		if first, ok := known[command.RequestID]; ok {
			w.rememberResult(incident.RememberedResult{CommandResult: first})
			continue
		}
		w.redo(ctx, command, made)
	}
	w.logIfRefused(ctx, w.closeIfReady(ctx))
	w.updatePresentation(ctx)
	return nil
}

// keepWhatPends takes what is to be put behind the store's history into what follows from that alone: who was mailed, how
// calls ended, and the round of calls that the store does not know yet.
func (w *incidentWorkflow) keepWhatPends(unsent *incident.Unsent, events []incident.Event) {
	own := func(r *notify.CallRound) bool { return r.Approval == "" }
	at := slices.IndexFunc(unsent.Rounds, own)
	for _, e := range events {
		switch d := e.Data.(type) {
		case *incident.ContactMessaged:
			unsent.Notifications = slices.DeleteFunc(unsent.Notifications, func(n notify.Notification) bool { return w.delivery(n).key == d.Effect })
		case *incident.CallRoundStarted:
			if r := w.ownRound(); at < 0 && r != nil && r.Round == d.Round {
				unsent.Rounds = append(unsent.Rounds, r)
			}
		case *incident.ContactCalled:
			if at >= 0 && unsent.Rounds[at].Round == d.Round {
				unsent.Rounds[at].Note(d.Contact, notify.LastCall{Try: d.Try, Outcome: d.Outcome})
			}
		}
	}
}

// question asks the store about an incident of which it knows more than the workflow.
func (r *recording) question(i incident.Incident) recordedInput {
	in := recordedInput{ClientID: i.ClientID, Reference: i.Reference, After: r.recorded}
	for _, c := range r.commands {
		in.Requests = append(in.Requests, c.RequestID)
	}
	size := 0
	for _, e := range r.pending {
		if slices.ContainsFunc(r.commands, func(c incident.CommandResult) bool { return c.Made(e.Event) }) {
			continue
		}
		if size += e.size; size > batchBytes { // the rest is written once more
			break
		}
		in.Facts = append(in.Facts, e.Event)
	}
	return in
}

// redo puts the events of a command behind those of the store.
func (w *incidentWorkflow) redo(ctx workflow.Context, c incident.CommandResult, made []incident.Event) {
	sent := min(c.FirstSeq-1, w.recording.recorded) // or before: the store had what its sender knew
	c.FirstSeq = w.state.Incident.Seq + 1
	trial := w.state.Incident
	for _, e := range made {
		if err := trial.Apply(trial.Rebased(e)); err != nil {
			rejected := w.rejected(c, sent, rejection(err))
			rejected.Shown = true
			w.rememberResult(rejected)
			w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{
				Command: c.Command, Reason: failureText(rejection(err)), RequestID: c.RequestID, By: made[0].Actor}))
			return
		}
	}
	for _, e := range made {
		w.appendRebased(ctx, e)
	}
	c.LastSeq = w.state.Incident.Seq
	w.rememberResult(incident.RememberedResult{CommandResult: c})
	w.recording.commands = append(w.recording.commands, c)
}

// appendRebased puts an event behind those of the store. One that the store's history makes illegal is left out.
func (w *incidentWorkflow) appendRebased(ctx workflow.Context, e incident.Event) {
	e = w.state.Incident.Rebased(e)
	if err := w.state.Incident.Apply(e); err != nil {
		workflow.GetLogger(ctx).Info("an event of before the reset is left out", "type", e.Type, "error", err)
		return
	}
	w.addPending(e)
}

// forgetResult drops the remembered result of a command.
func (w *incidentWorkflow) forgetResult(request string) {
	w.state.Results = slices.DeleteFunc(w.state.Results, func(r incident.RememberedResult) bool { return r.RequestID == request && !r.Rejected })
}

// union returns the elements of a, and those of b that a has not.
func union[T comparable](a, b []T) []T {
	for _, v := range b {
		if !slices.Contains(a, v) {
			a = append(a, v)
		}
	}
	return a
}
