package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// errStuck is the error for a workflow whose task failed, because the code of its worker does not fit its history.
var errStuck = errors.New("a workflow is stuck")

// workflows lists the workflows that Temporal's search knows, by a query; "" is all.
func (w *world) workflows(ctx context.Context, query string) (all []*workflowpb.WorkflowExecutionInfo, err error) {
	for token := []byte(nil); ; {
		page, err := w.engine.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: token})
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetExecutions()...)
		if token = page.GetNextPageToken(); len(token) == 0 {
			return all, nil
		}
	}
}

func (w *world) history(ctx context.Context, id, run string) (events []*historypb.HistoryEvent, err error) {
	for it := w.engine.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// findStuck returns an errStuck that names a workflow whose history has a task that failed.
func (w *world) findStuck(ctx context.Context) error {
	all, err := w.workflows(ctx, "")
	if err != nil {
		return err
	}
	for _, x := range all {
		events, err := w.history(ctx, x.GetExecution().GetWorkflowId(), x.GetExecution().GetRunId())
		if err != nil {
			return err
		}
		for _, e := range events {
			failed := e.GetWorkflowTaskFailedEventAttributes()
			switch failed.GetCause() {
			case enumspb.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, enumspb.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE:
				return fmt.Errorf("%w: %s, event %d: %s", errStuck, x.GetExecution().GetWorkflowId(), e.GetEventId(), failed.GetFailure().GetMessage())
			}
		}
	}
	return nil
}

// workersOf returns the build ids of the workers that took the tasks of an incident's workflow, in their order, each
// once in a row; "" is a worker without one.
func (w *world) workersOf(ctx context.Context, id string) (builds []string, err error) {
	events, err := w.history(ctx, id, "")
	for _, e := range events {
		if a := e.GetWorkflowTaskCompletedEventAttributes(); a != nil {
			builds = append(builds, a.GetDeploymentVersion().GetBuildId())
		}
	}
	return slices.Compact(builds), err
}

// checkEnd checks that an incident reached its end, and that the vendors carried out each of its effects once.
func (l *life) checkEnd(ctx context.Context) error {
	i, err := l.read(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	fail := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s, %s: %s", l.ref, l.name, fmt.Sprintf(format, args...)))
	}
	if !i.IsOver() || !l.isOver() {
		fail("it is %s after %d of %d steps", i.Phase, l.done, len(l.steps))
	}
	var page struct{ Items []notify.Delivery }
	if err := l.Dev.Person("analyst", 0).Get(ctx, "/incidents/"+string(l.ref)+"/deliveries?limit=200", &page); err != nil {
		return err
	}
	planned := map[notify.EffectKind]int{}
	for _, d := range page.Items {
		if d.State == notify.EffectAccepted {
			planned[d.Kind]++
		}
	}
	if got := l.mails(ctx, fail); got != planned[notify.EffectMail] {
		fail("%d mails arrived, the ledger has %d", got, planned[notify.EffectMail])
	}
	var phone struct {
		Calls map[string][]struct{ Sid string }
	}
	var edr struct {
		Commands []struct{ Action, Hostname string }
	}
	if err := errors.Join(l.Dev.Effects(ctx, "twilio", &phone), l.Dev.Effects(ctx, "crowdstrike", &edr)); err != nil {
		return err
	}
	calls := 0
	for _, c := range l.contacts {
		calls += len(phone.Calls[c.Phone])
	}
	if calls != planned[notify.EffectCall] {
		fail("%d calls were placed, the ledger has %d", calls, planned[notify.EffectCall])
	}
	for _, host := range l.hosts {
		var got []string
		for _, c := range edr.Commands {
			if c.Hostname == host {
				got = append(got, c.Action)
			}
		}
		if !slices.Equal(got, l.actions[host]) {
			fail("the EDR carried out %v on %s, want %v", got, host, l.actions[host])
		}
	}
	return errors.Join(append(wrong, l.checkEvents(ctx))...)
}

// mails counts the mails about the incident and fails for each that came twice.
func (l *life) mails(ctx context.Context, fail func(string, ...any)) (n int) {
	seen := map[string]bool{}
	for _, mailer := range []string{"sendgrid", "smtp"} {
		var box struct {
			Mails map[string][]struct {
				Subject   string
				Headers   map[string]string
				MessageID string `json:"message_id"`
			}
		}
		if err := l.Dev.Effects(ctx, mailer, &box); err != nil {
			fail("%v", err)
		}
		for _, list := range box.Mails {
			for _, m := range list {
				if !strings.Contains(m.Subject, "["+string(l.ref)+"]") {
					continue
				}
				n++
				if id := m.Headers["Message-ID"] + m.MessageID; seen[id] {
					fail("the mail %s came twice", id)
				} else {
					seen[id] = true
				}
			}
		}
	}
	return n
}

// checkEvents checks that the events are numbered without a gap.
func (l *life) checkEvents(ctx context.Context) error {
	var page struct{ Items []incident.Event }
	if err := l.Dev.Person("analyst", 0).Get(ctx, "/incidents/"+string(l.ref)+"/events?limit=200", &page); err != nil {
		return err
	}
	for n, e := range page.Items {
		if e.Seq != n+1 {
			return fmt.Errorf("%s: event %d has number %d", l.ref, n+1, e.Seq)
		}
	}
	return nil
}
