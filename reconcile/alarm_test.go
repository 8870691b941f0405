package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// engine is a Temporal that knows of one workflow at most.
type engine struct {
	reconcile.Temporal // whatever is not asked for in these tests

	down     bool
	silent   string // the id of a workflow about which it does not answer
	workflow *workflowservice.DescribeWorkflowExecutionResponse
	history  []*historypb.HistoryEvent
}

// DescribeWorkflowExecution tells of the one workflow.
func (e *engine) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	switch {
	case e.down || id == e.silent:
		return nil, serviceerror.NewUnavailable("down")
	case e.workflow != nil && e.workflow.GetWorkflowExecutionInfo().GetExecution().GetWorkflowId() == id:
		return e.workflow, nil
	}
	return nil, serviceerror.NewNotFound("none")
}

// GetWorkflowHistory tells the history of the one workflow.
func (e *engine) GetWorkflowHistory(context.Context, string, string, bool, enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	return &events{e.history}
}

type events struct{ rest []*historypb.HistoryEvent }

// HasNext reports whether an event is left.
func (e *events) HasNext() bool { return len(e.rest) > 0 }

// Next takes the next event.
func (e *events) Next() (*historypb.HistoryEvent, error) {
	next := e.rest[0]
	e.rest = e.rest[1:]
	return next, nil
}

// watch is a reconciler over a real store, and an operator who has two channels.
type watch struct {
	*testing.T
	*reconcile.Reconciler
	engine   engine
	ownerURL string
	worker   uuid.UUID // one that runs, does its work and started an hour ago

	mailFails      bool
	mails, webhook []models.Alarm
}

func newWatch(t *testing.T) *watch {
	s, ownerURL := storetest.New(t)
	w := &watch{T: t, ownerURL: ownerURL, worker: uuid.New()}
	w.Reconciler = &reconcile.Reconciler{Store: s, Temporal: &w.engine, Log: slog.New(slog.DiscardHandler), Bulletins: []reconcile.Bulletin{
		{Name: "mail", Send: func(_ context.Context, alarms []models.Alarm) error {
			if w.mailFails {
				return errors.New("no mailer")
			}
			w.mails = append(w.mails, alarms...)
			return nil
		}},
		{Name: "webhook", Send: func(_ context.Context, alarms []models.Alarm) error {
			w.webhook = append(w.webhook, alarms...)
			return nil
		}},
	}}
	w.start(w.worker)
	return w
}

func (w *watch) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// owner runs a statement that the product never does.
func (w *watch) owner(statement string, args ...any) {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.ownerURL)
	w.ok(err)
	defer conn.Close(context.WithoutCancel(w.Context()))
	_, err = conn.Exec(w.Context(), statement, args...)
	w.ok(err)
}

// start adds a worker that started an hour ago and works.
func (w *watch) start(worker uuid.UUID) {
	w.Helper()
	w.ok(w.Store.Beat(w.Context(), worker, "worker"))
	w.ok(w.Store.NoteCanary(w.Context(), worker))
	w.owner("update processes set started_at = now() - interval '1 hour' where id = $1", worker)
}

// silence makes a worker one that was seen last a while ago.
func (w *watch) silence(worker uuid.UUID, since string) {
	w.Helper()
	w.owner("update processes set seen_at = now() - $2::interval where id = $1", worker, since)
}

// pass compares store and engine once and returns the open alarms.
func (w *watch) pass() []models.Alarm {
	w.Helper()
	if err := w.Pass(w.Context()); err != nil && !w.mailFails {
		w.Fatal(err)
	}
	open, err := w.Store.OpenAlarms(w.Context())
	w.ok(err)
	return open
}

// wantOpen passes and checks that exactly these alarms are open, each a kind and its subject.
func (w *watch) wantOpen(what string, want ...string) {
	w.Helper()
	w.pass()
	w.wantAlarms(what, want...)
}

// wantAlarms does so without a pass.
func (w *watch) wantAlarms(what string, want ...string) {
	w.Helper()
	open, err := w.Store.OpenAlarms(w.Context())
	w.ok(err)
	got := []string{}
	for _, a := range open {
		got = append(got, string(a.Kind)+" "+a.Subject)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("%s: the open alarms are %q, want %q", what, got, want)
	}
}

// wantTold checks that the operator was told once of the beginning and once of the end of an alarm, over each channel.
func (w *watch) wantTold(kind models.AlarmKind, subject string) {
	w.Helper()
	for name, told := range map[string][]models.Alarm{"mail": w.mails, "webhook": w.webhook} {
		begun, ended := 0, 0
		for _, a := range told {
			switch {
			case a.Kind != kind || a.Subject != subject:
				w.Errorf("the operator was told by %s of %s about %s", name, a.Kind, a.Subject)
			case a.EndedAt.IsZero():
				begun++
			default:
				ended++
			}
		}
		if begun != 1 || ended != 1 {
			w.Errorf("the operator was told by %s %d times of the beginning and %d times of the end, want once each", name, begun, ended)
		}
	}
}

func TestAWorkerWhoseCanaryDoesNotComeToItsEndIsAnAlarm(t *testing.T) {
	w := newWatch(t)
	w.wantOpen("a worker that works")
	w.owner("update processes set canary_at = now() - interval '149 seconds'")
	w.wantOpen("two canaries are late")
	w.owner("update processes set canary_at = now() - interval '151 seconds'")
	w.wantOpen("nothing came to its end", "canary "+w.worker.String())
	w.owner("update processes set canary_at = null, started_at = now() - interval '151 seconds'")
	w.wantOpen("no canary ever did", "canary "+w.worker.String())
	w.ok(w.Store.NoteCanary(t.Context(), w.worker))
	w.wantOpen("it works again")
	w.wantOpen("and goes on")
	w.wantTold(models.AlarmCanary, w.worker.String())
}

func TestAWorkerThatDiesOrStandsStillIsAnAlarmUntilAnotherDoesItsWork(t *testing.T) {
	for end, do := range map[string]func(*watch, uuid.UUID){
		"it goes on":                   func(w *watch, lost uuid.UUID) { w.ok(w.Store.Beat(w.Context(), lost, "worker")) },
		"another one starts":           func(w *watch, _ uuid.UUID) { w.ok(w.Store.Beat(w.Context(), uuid.New(), "worker")) },
		"it is forgotten":              func(w *watch, lost uuid.UUID) { w.silence(lost, "11 minutes") },
		"it says that it stops, later": func(w *watch, lost uuid.UUID) { w.ok(w.Store.NoteStopped(w.Context(), lost)) },
	} {
		t.Run(end, func(t *testing.T) {
			w := newWatch(t)
			lost := uuid.New()
			w.start(lost)
			w.silence(lost, "9 seconds")
			w.wantOpen("seen nine seconds ago")
			w.silence(lost, "11 seconds")
			w.wantOpen("silent", "worker_lost "+lost.String())
			w.wantOpen("still silent", "worker_lost "+lost.String())
			do(w, lost)
			w.wantOpen(end)
			w.wantTold(models.AlarmWorkerLost, lost.String())
		})
	}
}

func TestNoWorkerIsAnAlarmOfItsOwn(t *testing.T) {
	w := newWatch(t)
	w.ok(w.Store.NoteStopped(t.Context(), w.worker))
	w.wantOpen("all stopped", "no_worker worker")
	w.ok(w.Store.Beat(t.Context(), w.worker, "worker"))
	w.wantOpen("one runs")
	w.wantTold(models.AlarmNoWorker, "worker")
}

func TestAnEngineThatDoesNotAnswerTwiceIsAnAlarm(t *testing.T) {
	w := newWatch(t)
	w.engine.down = true
	w.wantOpen("it did not answer once")
	w.wantOpen("nor again", "engine_down temporal")
	w.wantOpen("nor ever since", "engine_down temporal")
	w.engine.down = false
	w.wantOpen("it answers")
	w.wantTold(models.AlarmEngineDown, "temporal")
}

// openIncident opens an incident of a new client.
func openIncident(t *testing.T, s *store.Store) incident.Incident {
	t.Helper()
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "client", "")
	if err != nil {
		t.Fatal(err)
	}
	i, err := store.Run(s.InClient(t.Context(), store.SOC, c.ID), func(tx *store.Tx) (incident.Incident, error) {
		by := models.Actor{Side: models.SideSOC, ID: uuid.NewString(), Role: models.RoleAnalyst}
		return tx.OpenIncident(incident.Opened{ClientID: c.ID, Title: "t", Severity: models.SeverityLow}, by, tx.Now(), "open", "f")
	})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// openRunning opens an incident whose workflow runs.
func (w *watch) openRunning() models.Reference {
	w.Helper()
	i := openIncident(w.T, w.Store)
	w.run(i.Reference.WorkflowID(), models.IncidentWorkflow)
	return i.Reference
}

// run lets the engine know a workflow of a type that runs.
func (w *watch) run(id, kind string) {
	w.engine.workflow = &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: id}, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		Type: &commonpb.WorkflowType{Name: kind},
	}, ExecutionConfig: &workflowpb.WorkflowExecutionConfig{TaskQueue: &taskqueuepb.TaskQueue{Name: models.QueueIncidents}}}
}

func TestEventsThatTheDatabaseDoesNotTakeAreAnAlarm(t *testing.T) {
	w := newWatch(t)
	ref := w.openRunning()
	record := &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: "Record"}, Attempt: 7}
	w.engine.workflow.PendingActivities = []*workflowpb.PendingActivityInfo{record}
	w.wantOpen("refused seven times")
	record.Attempt++
	w.wantOpen("refused eight times", "not_recorded "+string(ref))
	w.engine.workflow.PendingActivities = nil
	w.wantOpen("taken")
	w.wantTold(models.AlarmNotRecorded, string(ref))
}

// The activity that is refused for good raises the alarm itself and is over: only the history tells of it.
func TestEventsThatTheDatabaseRefusesForGoodAreAnAlarmUntilItTakesLaterOnes(t *testing.T) {
	w := newWatch(t)
	ref := w.openRunning()
	w.ok(w.Store.RaiseAlarm(t.Context(), models.Alarm{Kind: models.AlarmNotRecorded, Subject: string(ref), Detail: "refused"}))
	scheduled := func(id int64) *historypb.HistoryEvent {
		return &historypb.HistoryEvent{EventId: id, EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, Attributes: &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{
			ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{ActivityType: &commonpb.ActivityType{Name: "Record"}},
		}}
	}
	w.engine.history = []*historypb.HistoryEvent{scheduled(1), {
		EventId: 2, EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED, Attributes: &historypb.HistoryEvent_ActivityTaskFailedEventAttributes{
			ActivityTaskFailedEventAttributes: &historypb.ActivityTaskFailedEventAttributes{ScheduledEventId: 1},
		},
	}}
	w.wantOpen("refused", "not_recorded "+string(ref))
	w.engine.history = append(w.engine.history, scheduled(3))
	w.wantOpen("tried again", "not_recorded "+string(ref))
	w.engine.history = append(w.engine.history, &historypb.HistoryEvent{
		EventId: 4, EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, Attributes: &historypb.HistoryEvent_ActivityTaskCompletedEventAttributes{
			ActivityTaskCompletedEventAttributes: &historypb.ActivityTaskCompletedEventAttributes{ScheduledEventId: 3},
		},
	})
	w.wantOpen("taken")
	w.wantTold(models.AlarmNotRecorded, string(ref))
}

// The mailers are down with everything else. The webhook tells of it, and the mail comes when they work again.
func TestAChannelThatFailsHoldsUpNoOther(t *testing.T) {
	w := newWatch(t)
	w.mailFails, w.engine.down = true, true
	w.pass()
	w.wantOpen("the engine is down", "engine_down temporal")
	if len(w.webhook) != 1 || len(w.mails) != 0 {
		t.Errorf("the operator got %d alarms by webhook and %d by mail, want one and none", len(w.webhook), len(w.mails))
	}
	w.pass()
	w.mailFails = false
	w.pass()
	w.engine.down = false
	w.wantOpen("the engine answers")
	w.wantTold(models.AlarmEngineDown, "temporal")
}

// A thousand incidents had an alarm today. The operator is told of what happens next all the same.
func TestManyAlarmsHideNoNewOne(t *testing.T) {
	w := newWatch(t)
	w.owner(`insert into operator_alarms (id, kind, subject, detail, since, last_seen, ended_at, announced)
		select gen_random_uuid(), 'not_running', 'SI-1042-' || n, 'was terminated', now() - interval '2 hours', now() - interval '1 hour',
			now() - interval '1 hour', '["mail", "mail ended", "webhook", "webhook ended"]' from generate_series(1, 1500) n`)
	w.mailFails, w.engine.down = true, true
	w.pass()
	w.pass()
	w.mailFails, w.engine.down = false, false
	w.pass()
	if len(w.webhook) != 2 || len(w.mails) != 1 {
		t.Errorf("by webhook %+v, by mail %+v, want that the engine is down and answers again", w.webhook, w.mails)
	}
}

// Whoever sends mails knows whether a mailer takes our key; the reconciler does not, and leaves the alarm alone for a day.
func TestAnAlarmAboutAMailerIsNotTheReconcilersToEnd(t *testing.T) {
	w := newWatch(t)
	alarm := models.Alarm{Kind: models.AlarmMailerRefuses, Subject: "sendgrid", Detail: "d"}
	w.ok(w.Store.RaiseAlarm(t.Context(), alarm))
	w.wantOpen("right away", "mailer_refuses sendgrid")
	w.owner("update operator_alarms set last_seen = now() - $1::interval", "23 hours")
	w.wantOpen("some hours later", "mailer_refuses sendgrid")
	w.ok(w.Store.EndAlarmAbout(t.Context(), models.AlarmMailerRefuses, "another"))
	w.wantOpen("another works", "mailer_refuses sendgrid")
	w.ok(w.Store.EndAlarmAbout(t.Context(), models.AlarmMailerRefuses, "sendgrid"))
	w.wantOpen("it works")
	w.ok(w.Store.RaiseAlarm(t.Context(), alarm))
	w.owner("update operator_alarms set last_seen = now() - $1::interval", "25 hours")
	w.wantOpen("after a day without a word")
}

// Whoever reaches Temporal starts any workflow under an incident's id. What runs there and cannot be one of ours is an
// alarm, though no task of it fails.
func TestAWorkflowThatIsNoneOfOursIsAnAlarm(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		alarms []string
		change func(*workflowservice.DescribeWorkflowExecutionResponse)
	}{
		"one of ours": {nil, func(*workflowservice.DescribeWorkflowExecutionResponse) {}},
		"of a type of ours for something else": {[]string{"conflict"}, func(d *workflowservice.DescribeWorkflowExecutionResponse) {
			d.WorkflowExecutionInfo.Type.Name = models.EndpointWorkflow
		}},
		"on a queue that nobody works for": {[]string{"conflict"}, func(d *workflowservice.DescribeWorkflowExecutionResponse) {
			d.ExecutionConfig.TaskQueue.Name = "nobody's"
		}},
		"that sleeps until tomorrow": {[]string{"conflict"}, func(d *workflowservice.DescribeWorkflowExecutionResponse) {
			d.WorkflowExecutionInfo.ExecutionTime = timestamppb.New(now.AddDate(0, 0, 1))
		}},
		"that slept until a minute ago": {nil, func(d *workflowservice.DescribeWorkflowExecutionResponse) {
			d.WorkflowExecutionInfo.ExecutionTime = timestamppb.New(now.Add(-time.Minute))
		}},
		"that somebody paused": {[]string{"stuck"}, func(d *workflowservice.DescribeWorkflowExecutionResponse) {
			d.WorkflowExecutionInfo.Status = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
		}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWatch(t)
			ref := w.openRunning()
			info := w.engine.workflow.WorkflowExecutionInfo
			info.StartTime, info.ExecutionTime = timestamppb.New(now.Add(-time.Hour)), timestamppb.New(now.Add(-time.Hour))
			c.change(w.engine.workflow)
			var want []string
			for _, kind := range c.alarms {
				want = append(want, kind+" "+string(ref))
			}
			w.wantOpen(what, want...)
		})
	}
}
