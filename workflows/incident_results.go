package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// resultsKept bounds how many results of accepted commands, how many of rejected ones and how many of those that nobody
// asked for an incident remembers for repeats.
const resultsKept = 200

// resultOf returns the result of the command that was accepted under a request id, or nil.
func (w *incidentWorkflow) resultOf(request string) *incident.CommandResult {
	for n := range w.state.Results {
		if r := &w.state.Results[n]; r.RequestID == request && !r.Rejected {
			return &r.CommandResult
		}
	}
	return nil
}

// rememberResult keeps a result for repeats and drops the oldest of its kind when there are too many.
func (w *incidentWorkflow) rememberResult(r incident.RememberedResult) {
	w.state.Results = append(w.state.Results, r)
	sameKind := func(x incident.RememberedResult) bool { return x.Rejected == r.Rejected && x.Unsaid == r.Unsaid }
	kept := 0
	for _, x := range w.state.Results {
		if sameKind(x) {
			kept++
		}
	}
	if kept > resultsKept {
		oldest := slices.IndexFunc(w.state.Results, sameKind)
		w.state.Results = slices.Delete(w.state.Results, oldest, oldest+1)
	}
}

// checkSaid returns why a request does not say that it asks for this command. It is sealed, and the name of the Signal or
// Update that it comes under is not.
func checkSaid(name string, r incident.CommandRequest) error {
	if r.Fingerprint == incident.Fingerprint(name, r.Body) {
		return nil
	}
	return models.Errorf(models.Forbidden, "its sender did not ask for this: the fingerprint of the request is of something else")
}

// isJudgement reports whether an error says that a command is rejected, and not that it should be sent again.
func isJudgement(err error) bool {
	switch models.Kind(typeOf(err)) {
	case models.Invalid, models.NotFound, models.Forbidden, models.Conflict:
		return true
	}
	return false
}

// validateRepeat reports whether a command is carried out without a further look, because it was accepted before, or
// because its rejection is to be recorded; or it returns why it was rejected before.
func (w *incidentWorkflow) validateRepeat(name string, r incident.CommandRequest) (known bool, err error) {
	if err := checkSaid(name, r); err != nil {
		if w.isUnsaidKnown(name, r.RequestID) || w.recording.refused {
			return false, err
		}
		return true, nil
	}
	return w.resultOf(r.RequestID) != nil, w.rejectedBefore(r)
}

// rejectedBefore returns why this very request was rejected before, nil if it was not. Its sender is judged anew who asks
// again under the same request id, knowing of more events: nobody else can make such a request.
func (w *incidentWorkflow) rejectedBefore(r incident.CommandRequest) error {
	n := w.rejectionOf(r)
	if n < 0 || w.resultOf(r.RequestID) != nil {
		return nil
	}
	known := w.state.Results[n]
	if known.Reason == "" {
		return models.Errorf(models.Conflict, "this was rejected before; ask for it anew")
	}
	return models.Errorf(known.Kind, "%s", known.Reason)
}

// rejectionOf returns the index of the rejection of this very request, or -1. A rejection of before rejections had a
// reason is one of every repeat.
func (w *incidentWorkflow) rejectionOf(r incident.CommandRequest) int {
	return slices.IndexFunc(w.state.Results, func(x incident.RememberedResult) bool {
		same := x.Rejected && !x.Unsaid && r.RequestID != "" && x.RequestID == r.RequestID && x.Fingerprint == r.Fingerprint
		return same && (x.Reason == "" || r.Recorded <= x.Recorded)
	})
}

// rememberRejection keeps the rejection of a command for repeats, and returns its index.
func (w *incidentWorkflow) rememberRejection(name string, r incident.CommandRequest, why error) int {
	if n := w.rejectionOf(r); n >= 0 {
		return n
	}
	w.state.Results = slices.DeleteFunc(w.state.Results, func(x incident.RememberedResult) bool { // of the first time
		return x.Rejected && !x.Unsaid && x.RequestID == r.RequestID && x.Fingerprint == r.Fingerprint
	})
	w.rememberResult(w.rejected(incident.CommandResult{RequestID: r.RequestID, Command: name, Fingerprint: r.Fingerprint}, r.Recorded, why))
	return len(w.state.Results) - 1
}

// rejected returns the result of a command that is rejected, for the memory. recorded is the Seq of the last event that
// the store had when its request was sent.
func (w *incidentWorkflow) rejected(c incident.CommandResult, recorded int, why error) incident.RememberedResult {
	result := incident.RememberedResult{
		CommandResult: incident.CommandResult{RequestID: c.RequestID, Command: c.Command, Fingerprint: c.Fingerprint}, Rejected: true,
	}
	result.Recorded, result.Kind, result.Reason = recorded, models.Conflict, failureText(why)
	if isJudgement(why) {
		result.Kind = models.Kind(typeOf(why))
	}
	return result
}

// recordRejection records the rejection of a command that came as a signal, because nobody can answer the sender of a
// signal. A repeat of the same request is recorded once.
func (w *incidentWorkflow) recordRejection(ctx workflow.Context, name string, r incident.CommandRequest, why error) {
	rejected := &incident.CommandRejected{Command: name, Reason: failureText(why), RequestID: r.RequestID, By: r.Actor}
	if checkSaid(name, r) != nil { // recorded already
		return
	}
	known := &w.state.Results[w.rememberRejection(name, r, why)]
	if known.Shown || known.Reason == "" {
		return
	}
	known.Shown = true
	w.logIfRefused(ctx, w.emit(ctx, models.System(), rejected))
}

// recordUnsaid records that somebody sent a request which does not say that it asks for this command, however it came. The
// event does not cite the request: what its sender asked for under its id may be yet to be judged.
func (w *incidentWorkflow) recordUnsaid(ctx workflow.Context, name string, r incident.CommandRequest, why error) {
	if w.isUnsaidKnown(name, r.RequestID) {
		return
	}
	w.rememberResult(incident.RememberedResult{CommandResult: incident.CommandResult{RequestID: r.RequestID, Command: name}, Rejected: true, Unsaid: true})
	w.logIfRefused(ctx, w.emit(ctx, models.System(), &incident.CommandRejected{Command: name, Reason: failureText(rejection(why)), By: r.Actor}))
}

// isUnsaidKnown reports whether it is recorded that a request was sent as this command, and did not say so.
func (w *incidentWorkflow) isUnsaidKnown(name, request string) bool {
	return slices.ContainsFunc(w.state.Results, func(x incident.RememberedResult) bool { return x.Unsaid && x.RequestID == request && x.Command == name })
}
