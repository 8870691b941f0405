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

// Workers of before do not know the workflow of a notice: it would be stuck until they are gone.
func TestNoticesWaitForWorkersThatKnowThem(t *testing.T) {
	s, _ := storetest.New(t)
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
	for version, want := range map[string]int{"": 0, "2": 0, "3": 1, "4": 1, "night-build": 1} {
		e := &versioned{current: version}
		r := reconcile.Reconciler{Store: s, Temporal: e, Version: 3}
		if err := r.TellOfContacts(t.Context()); err != nil || len(e.started) != want {
			t.Errorf("while version %q is current: %v, %v, want %d", version, e.started, err, want)
		}
		if prefix := fmt.Sprintf("contact-notice/%d/", c.Number); want == 1 && !strings.HasPrefix(e.started[0], prefix) {
			t.Errorf("started %v, want %s…", e.started, prefix)
		}
	}
}
