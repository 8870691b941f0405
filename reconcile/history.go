package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// Histories lists the calls that read what the engine keeps of workflows; client.Client satisfies it.
type Histories interface {
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, longPoll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator
	ListWorkflow(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
}

// recorded is a batch that a run handed to the database: the part of the input of Record that matters here.
type recorded struct {
	Events   []incident.Event
	Commands []incident.CommandResult
}

// runRecord is what the history of one run says about the incident's events.
type runRecord struct {
	state     incident.State // from which the run went on
	taken     []recorded     // batches that the database took
	refused   bool           // the database refused the last batch for good
	discarded bool           // the operator discarded what the run recorded
	acted     bool           // the run was one of ours: it did something, or a worker of ours took it from a state of this incident
	left      []leftCommand  // for the run, in the order they came
}

// leftCommand is a command that was left for a run as a Signal.
type leftCommand struct {
	name    string
	request incident.CommandRequest
}

// seq returns the number of the last event that the run knew the database to have.
func (r runRecord) seq() int {
	last := r.state.Incident.Seq - len(r.state.Unrecorded)
	for _, b := range r.taken {
		if n := len(b.Events); n > 0 {
			last = max(last, b.Events[n-1].Seq)
		}
	}
	return last
}

// readRun reads the history of a run of an incident's workflow; "" is the latest one. A run that did nothing, because
// its input was none of ours, says nothing.
func readRun(ctx context.Context, h Histories, id, run string) (out runRecord, err error) {
	asked := map[int64]recorded{}
	worked := false
	var unreadable error
	isOthers := false // it is somebody else's workflow
	for it := h.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return out, fmt.Errorf("read the history of %s: %w", id, err)
		}
		if isOthers && e.GetEventType() != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED {
			continue
		}
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			started := e.GetWorkflowExecutionStartedEventAttributes()
			if isOthers = started.GetWorkflowType().GetName() != models.IncidentWorkflow; isOthers {
				continue
			}
			if unreadable = converter.GetDefaultDataConverter().FromPayloads(started.GetInput(), &out.state); unreadable != nil {
				out.state = incident.State{}
			}
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			worked = true
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			if c, is := commandIn(e); is {
				out.left = append(out.left, c)
			}
		case enumspb.EVENT_TYPE_MARKER_RECORDED, enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
			out.acted = true
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			if a := e.GetActivityTaskScheduledEventAttributes(); handsOver(a.GetActivityType()) {
				var b recorded
				err = converter.GetDefaultDataConverter().FromPayloads(a.GetInput(), &b)
				asked[e.GetEventId()] = b
			}
			out.acted = true
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			if b, is := asked[e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()]; is {
				out.taken, out.refused = append(out.taken, b), false
			}
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED:
			if _, is := asked[e.GetActivityTaskFailedEventAttributes().GetScheduledEventId()]; is {
				out.refused = true
			}
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
			out.discarded = e.GetWorkflowExecutionTerminatedEventAttributes().GetReason() == reasonDiscarded
		}
		if err != nil {
			return out, fmt.Errorf("read event %d in the history of %s: %w", e.GetEventId(), id, err)
		}
	}
	if unreadable != nil && out.acted {
		return out, fmt.Errorf("read the input in the history of %s: %w", id, unreadable)
	}
	out.acted = out.acted || worked && out.state.Policy.Rounds > 0 && out.state.Incident.Reference.WorkflowID() == id
	return out, nil
}

// commandIn returns the command that a Signal holds, and whether it holds one that this provider sealed.
func commandIn(e *historypb.HistoryEvent) (c leftCommand, is bool) {
	s := e.GetWorkflowExecutionSignaledEventAttributes()
	c.name = s.GetSignalName()
	if !slices.ContainsFunc(incident.Commands(), func(known incident.Command) bool { return known.Name() == c.name }) {
		return c, false
	}
	return c, converter.GetDefaultDataConverter().FromPayloads(s.GetInput(), &c.request) == nil && c.request.RequestID != ""
}

// readRuns reads the histories of all runs of an incident's workflow that the engine still has, the earliest first.
func readRuns(ctx context.Context, h Histories, r models.Reference) (runs []runRecord, err error) {
	ids, err := listRuns(ctx, h, r)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		run, err := readRun(ctx, h, r.WorkflowID(), id)
		var gone *serviceerror.NotFound
		switch {
		case errors.As(err, &gone): // its time of retention is over
		case err != nil:
			return nil, err
		default:
			runs = append(runs, run)
		}
	}
	return runs, nil
}

// mostRuns bounds how many runs are looked through for commands that were left for them.
const mostRuns = 20

// commandsLeft returns the commands that were left as Signals for the last run of an incident's workflow that was one
// of ours, and for those after it, in the order they came. latest is the id of the latest of the lost runs.
func commandsLeft(ctx context.Context, h Histories, r models.Reference, latest string) (all []leftCommand, err error) {
	ids, err := listRuns(ctx, h, r)
	if err != nil {
		return nil, err
	}
	if at := slices.Index(ids, latest); at >= 0 { // what follows was begun in their place
		ids = ids[:at+1]
	} else { // the list lags
		ids = append(ids, latest)
	}
	slices.Reverse(ids)
	for _, id := range ids[:min(len(ids), mostRuns)] {
		run, err := readRun(ctx, h, r.WorkflowID(), id)
		var gone *serviceerror.NotFound
		switch {
		case errors.As(err, &gone):
			return all, nil
		case err != nil:
			return nil, err
		}
		if run.discarded { // and what was left for it, too
			break
		}
		if all = append(run.left, all...); run.acted {
			break
		}
	}
	return all, nil
}

// listRuns lists the ids of the runs of an incident's workflow, the earliest first.
func listRuns(ctx context.Context, h Histories, r models.Reference) (ids []string, err error) {
	for next := []byte(nil); ; {
		page, err := h.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("WorkflowId = '%s'", r.WorkflowID()), NextPageToken: next,
		})
		if err != nil {
			return nil, fmt.Errorf("list the runs of %s: %w", r, err)
		}
		for _, w := range page.GetExecutions() { // the latest first
			ids = append(ids, w.GetExecution().GetRunId())
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			slices.Reverse(ids)
			return ids, nil
		}
	}
}

// lostEvents returns the events that the runs of an incident's workflow handed to the database and that an older copy
// of the database lacks, in order, and the commands that made them. stored are the events that the database has. Runs of
// another incident, those whose record the operator discarded, and those that tell another history than the database do
// not count. Conflict: two runs tell different histories, or the engine does not have all of it any more.
func lostEvents(runs []runRecord, i incident.Incident, stored []incident.Event) (lost []incident.Event, commands []incident.CommandResult, err error) {
	known := map[int]incident.Event{}
	for _, e := range stored {
		known[e.Seq] = e
	}
	runs = slices.DeleteFunc(slices.Clone(runs), func(r runRecord) bool {
		return r.discarded || r.state.Incident.ID() != i.ID() || contradicts(r, known)
	})
	last := len(stored)
	for _, r := range runs {
		for _, b := range r.taken {
			for _, e := range b.Events {
				before, is := known[e.Seq]
				switch {
				case is && !store.SameEvent(before, e):
					return nil, nil, models.Errorf(models.Conflict, "two runs of %s tell different histories from event %d on", i.Reference, e.Seq)
				case !is:
					known[e.Seq] = e
					last = max(last, e.Seq)
				}
			}
			for _, c := range b.Commands { // a batch may have been handed over twice: with its mails, and without
				if !slices.ContainsFunc(commands, func(known incident.CommandResult) bool { return known.RequestID == c.RequestID }) {
					commands = append(commands, c)
				}
			}
		}
	}
	for seq := len(stored) + 1; seq <= last; seq++ {
		e, is := known[seq]
		if !is {
			return nil, nil, models.Errorf(models.Conflict, "the engine does not have event %d of %s any more", seq, i.Reference)
		}
		lost = append(lost, e)
	}
	return lost, commands, nil
}

// contradicts reports whether a run recorded another event under a number that the database has.
func contradicts(r runRecord, known map[int]incident.Event) bool {
	return slices.ContainsFunc(r.taken, func(b recorded) bool {
		return slices.ContainsFunc(b.Events, func(e incident.Event) bool {
			before, is := known[e.Seq]
			return is && !store.SameEvent(before, e)
		})
	})
}
