package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// tale makes the events of an incident from its opening on: each text is a recommendation.
func tale(t *testing.T, client uuid.UUID, texts ...string) (events []incident.Event, opened incident.Incident) {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	soc := models.Actor{Side: models.SideSOC, ID: "analyst"}
	events = append(events, incident.NewEvent(incident.Incident{}, at, soc, &incident.Opened{
		Reference: "SI-1042-0007", ClientID: client, Title: "Drill", Severity: models.SeverityLow, Alerts: []uuid.UUID{},
	}))
	i, err := incident.Replay(events)
	if err != nil {
		t.Fatal(err)
	}
	opened = i
	for n, text := range texts {
		e := incident.NewEvent(i, at, soc, &incident.Recommended{ID: "r" + string(rune('1'+n)), Text: text})
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events, opened
}

func TestWhatTheDatabaseLostIsFoundInTheHistories(t *testing.T) {
	client := uuid.New()
	all, i := tale(t, client, "a", "b", "c", "d")
	other, _ := tale(t, client, "a", "B", "C", "D")
	_, stranger := tale(t, uuid.New())
	run := func(of incident.Incident, batches ...[]incident.Event) (r runRecord) {
		r.state.Incident = of
		for _, b := range batches {
			made := incident.CommandResult{RequestID: fmt.Sprint(b[len(b)-1].Seq), FirstSeq: b[0].Seq, LastSeq: b[len(b)-1].Seq}
			r.taken = append(r.taken, recorded{Events: b, Commands: []incident.CommandResult{made}})
		}
		return r
	}
	dropped := run(i, other[1:])
	dropped.discarded = true
	for name, c := range map[string]struct {
		runs     []runRecord
		stored   int // events in the database
		want     []int
		conflict bool
	}{
		"nothing is lost":                       {runs: []runRecord{run(i, all[1:])}, stored: 5},
		"the database is older":                 {runs: []runRecord{run(i, all[1:3], all[3:])}, stored: 2, want: []int{3, 4, 5}},
		"in the middle of a batch":              {runs: []runRecord{run(i, all[1:])}, stored: 3, want: []int{4, 5}},
		"over two runs":                         {runs: []runRecord{run(i, all[1:4]), run(i, all[4:])}, stored: 2, want: []int{3, 4, 5}},
		"a batch that was recorded by two runs": {runs: []runRecord{run(i, all[1:4]), run(i, all[2:])}, stored: 1, want: []int{2, 3, 4, 5}},
		"a batch that went with mails, and by itself, with more": {
			runs: []runRecord{run(i, all[1:3], all[1:3], all[1:])}, stored: 1, want: []int{2, 3, 4, 5},
		},
		"the engine is older":                   {runs: []runRecord{run(i, all[1:2])}, stored: 5},
		"the engine forgot a run":               {runs: []runRecord{run(i, all[4:])}, stored: 2, conflict: true},
		"what was discarded":                    {runs: []runRecord{dropped, run(i)}, stored: 1},
		"a run that contradicts the database":   {runs: []runRecord{run(i, other[1:]), run(i, all[1:4])}, stored: 3, want: []int{4}},
		"two histories":                         {runs: []runRecord{run(i, other[1:]), run(i, all[1:])}, stored: 1, conflict: true},
		"another incident under that reference": {runs: []runRecord{run(stranger, other[1:])}, stored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			lost, commands, err := lostEvents(c.runs, i, all[:c.stored])
			seen := map[string]bool{}
			for _, made := range commands {
				if seen[made.RequestID] {
					t.Errorf("command %s comes twice", made.RequestID)
				}
				seen[made.RequestID] = true
			}
			if got := models.KindOf(err) == models.Conflict; got != c.conflict {
				t.Fatalf("error %v, want a conflict: %t", err, c.conflict)
			}
			var seqs []int
			for _, e := range lost {
				seqs = append(seqs, e.Seq)
			}
			if !slices.Equal(seqs, c.want) {
				t.Errorf("lost are %v, want %v", seqs, c.want)
			}
		})
	}
}

// runs are the histories of an incident's runs, of which Temporal lists the latest first.
type runs []struct {
	id     string
	events []*historypb.HistoryEvent
}

func (r runs) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, run := range slices.Backward(r) {
		page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{RunId: run.id}})
	}
	return page, nil
}

func (r runs) GetWorkflowHistory(_ context.Context, _, id string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	for _, run := range r {
		if run.id == id {
			return &iterator{run.events}
		}
	}
	return nil
}

type iterator struct{ left []*historypb.HistoryEvent }

func (i *iterator) HasNext() bool { return len(i.left) > 0 }

func (i *iterator) Next() (next *historypb.HistoryEvent, err error) {
	next, i.left = i.left[0], i.left[1:]
	return next, nil
}

// lagging knows the histories of all runs, and does not list each of them yet.
type lagging struct {
	runs
	all runs
}

func (l lagging) GetWorkflowHistory(ctx context.Context, id, run string, poll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	return l.all.GetWorkflowHistory(ctx, id, run, poll, filter)
}

// The run that was begun in the place of the lost ones is at work, and in the list, before anybody looks what they left.
func TestWhatLostRunsLeftIsFoundThoughTheNextOneIsAtWork(t *testing.T) {
	acted := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_MARKER_RECORDED}
	left := func(id string) *historypb.HistoryEvent {
		args, err := converter.GetDefaultDataConverter().ToPayloads(incident.CommandRequest{CommandContext: incident.CommandContext{RequestID: id}})
		if err != nil {
			t.Fatal(err)
		}
		return &historypb.HistoryEvent{
			EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
				WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: "comment", Input: args},
			},
		}
	}
	state, err := converter.GetDefaultDataConverter().ToPayloads(incident.State{Incident: incident.Incident{Reference: "SI-1042-0007"}, Policy: models.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	idle := []*historypb.HistoryEvent{ // in the SOC's turn it does nothing by itself
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: models.IncidentWorkflow}, Input: state,
			},
		}},
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED},
	}
	all := runs{
		{"ours of long ago", []*historypb.HistoryEvent{acted, left("judged")}},
		{"ours", append(idle, left("first"))},
		{"an impostor", []*historypb.HistoryEvent{left("second")}},
		{"the next one", []*historypb.HistoryEvent{acted}},
	}
	for what, listed := range map[string]runs{"the next one is listed": all, "it is not": all[:3], "nor is the impostor": all[:2]} {
		found, err := commandsLeft(t.Context(), lagging{listed, all}, "SI-1042-0007", "an impostor")
		var ids []string
		for _, c := range found {
			ids = append(ids, c.request.RequestID)
		}
		if want := []string{"first", "second"}; err != nil || !slices.Equal(ids, want) {
			t.Errorf("%s: found %v, want %v (%v)", what, ids, want, err)
		}
	}
}
