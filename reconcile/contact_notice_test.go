package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/reconcile"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/store/storetest"
)

// versioned is an engine that gives new workflows to the workers of a version, "" for those that have none.
type versioned struct {
	reconcile.Temporal
	current string
	started []string
}

// DescribeTaskQueue tells the current version.
func (e *versioned) DescribeTaskQueue(context.Context, string, enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	d := &workflowservice.DescribeTaskQueueResponse{}
	if e.current != "" {
		d.VersioningInfo = &taskqueuepb.TaskQueueVersioningInfo{CurrentDeploymentVersion: &deploymentpb.WorkerDeploymentVersion{BuildId: e.current}}
	}
	return d, nil
}

// ExecuteWorkflow notes the id.
func (e *versioned) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	e.started = append(e.started, o.ID)
	return nil, nil
}

// changeContact adds a contact of a new client, and returns the notice about that, which is open.
func changeContact(t *testing.T, s *store.Store) notify.ContactNotice {
	t.Helper()
	c, err := s.CreateClient(t.Context(), models.Client{LegalName: "Acme", TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy()}, "c", "")
	if err != nil {
		t.Fatal(err)
	}
	change := notify.ContactChange{
		Contact: uuid.New(), Side: models.SideSOC, Role: models.RoleLead, Operation: "create-contact", Fields: []string{"name"},
		After: notify.Addresses{Email: "new@client.example"},
	}
	err = s.ForClient(t.Context(), store.SOC, c.ID, func(tx *store.Tx) error {
		_, err := tx.CreateContact(models.Contact{ID: change.Contact, Name: "Eva", Email: change.After.Email, Language: "en"}, "k", "f")
		return errors.Join(err, tx.AppendContactChange(change))
	})
	if err != nil {
		t.Fatal(err)
	}
	open, _, err := s.OpenContactNotices(t.Context())
	if err != nil || len(open) != 1 || open[0].Number != c.Number {
		t.Fatalf("the open notices are %v, %v, want one", open, err)
	}
	return open[0]
}

// Workers of before do not know the workflow of a notice: it would be stuck until they are gone.
func TestNoticesWaitForWorkersThatKnowThem(t *testing.T) {
	s, _ := storetest.New(t)
	n := changeContact(t, s)
	for version, want := range map[string]int{"": 0, "2": 0, "3": 1, "4": 1, "night-build": 1} {
		e := &versioned{current: version}
		r := reconcile.Reconciler{Store: s, Temporal: e, Version: 3}
		if err := r.TellOfContacts(t.Context()); err != nil || len(e.started) != want {
			t.Errorf("while version %q is current: %v, %v, want %d", version, e.started, err, want)
		}
		if want == 1 && e.started[0] != n.WorkflowID() {
			t.Errorf("started %v, want %s", e.started, n.WorkflowID())
		}
	}
}

// Whoever reaches Temporal ends a notice and starts another workflow under its id. Starts of the notice take it for the
// notice, and nobody would be told.
func TestWhatRunsInANoticesPlaceIsAnAlarm(t *testing.T) {
	w := newWatch(t)
	n := changeContact(t, w.Store)
	id := n.WorkflowID()
	w.wantOpen("it was not started")
	w.run(id, models.ContactNoticeWorkflow)
	w.wantOpen("the notice")
	w.engine.workflow.WorkflowExecutionInfo.Status = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
	w.wantOpen("somebody paused it", "stuck "+id)
	w.run(id, "Ghost")
	w.wantOpen("a stranger", "conflict "+id)
	if open := w.pass(); len(open) != 1 || !strings.HasSuffix(open[0].Detail, "end it in Temporal") {
		t.Errorf("the operator reads %+v, want how to end it", open)
	}
	w.engine.silent = id
	if err := w.Pass(t.Context()); err == nil {
		t.Error("a pass that does not see the notice is a whole one")
	}
	w.engine.silent = ""
	w.wantAlarms("the engine did not answer about it", "conflict "+id)
	w.owner("update contact_changes set notice_id = id, noticed_at = now()")
	w.wantOpen("the notice had begun", "conflict "+id)
	w.engine.workflow = nil
	w.wantOpen("the operator ended it")
	w.run(id, "Ghost")
	w.owner("update contact_changes set told_at = now()")
	w.wantOpen("everybody was told")
}

func TestChangesThatAreNotToldForLongAreAnAlarm(t *testing.T) {
	w := newWatch(t)
	n := changeContact(t, w.Store)
	subject := fmt.Sprintf("client %d", n.Number)
	w.owner("update contact_changes set at = now() - interval '14 minutes'")
	w.wantOpen("some minutes later")
	w.owner("update contact_changes set at = now() - interval '16 minutes'")
	w.engine.down = true
	w.wantOpen("for long, and the engine does not answer", "changes_not_told "+subject)
	w.engine.down = false
	w.owner("update contact_changes set notice_id = id, noticed_at = now()")
	w.wantOpen("the notice has begun", "changes_not_told "+subject)
	w.owner("alter table contact_changes rename to elsewhere")
	if err := w.Pass(t.Context()); err == nil {
		t.Error("a pass that does not see the changes is a whole one")
	}
	w.owner("alter table elsewhere rename to contact_changes")
	w.wantAlarms("the database did not answer", "changes_not_told "+subject)
	w.owner("update contact_changes set told_at = now()")
	w.wantOpen("everybody was told")
	w.wantTold(models.AlarmChangesNotTold, subject)
}

// A pass that cannot list the notices ends no alarm about one.
func TestNoticesThatAreNotSeenKeepTheirAlarms(t *testing.T) {
	w := newWatch(t)
	id := changeContact(t, w.Store).WorkflowID()
	w.run(id, "Ghost")
	w.wantOpen("a stranger", "conflict "+id)
	w.owner("alter table contact_changes rename to elsewhere")
	if err := w.Pass(t.Context()); err == nil {
		t.Error("a pass that does not see the notices is a whole one")
	}
	w.wantAlarms("the database did not answer", "conflict "+id)
}
