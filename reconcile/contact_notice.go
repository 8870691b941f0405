package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
)

// toldWithin is how old a change of a contact may be until everybody was told of it. It is due a minute after it was
// made at the latest, and a notice takes some seconds.
const toldWithin = 15 * time.Minute

// TellOfContacts starts the notices about changes of contacts of which nobody was told. Whatever runs under a notice's id
// is left alone; checkNotices looks what it is. They wait in the database while the workers of an earlier version are
// the current ones, which do not know them.
func (r *Reconciler) TellOfContacts(ctx context.Context) error {
	due, err := r.Store.UntoldContactChanges(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if isCurrent, err := r.isCurrent(starting); err != nil || !isCurrent {
		return err
	}
	var problems []error
	for _, n := range due {
		_, err := r.Temporal.ExecuteWorkflow(starting, client.StartWorkflowOptions{
			ID: n.WorkflowID(), TaskQueue: models.QueueIncidents, StaticSummary: "tell of changed contacts",
			WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, models.ContactNoticeWorkflow, n)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", n.WorkflowID(), err))
		}
		if starting.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}

// checkNotices looks at what runs under the ids of the open notices. It starts none: TellOfContacts does, as soon as
// nothing runs there.
func (p *pass) checkNotices(ctx context.Context) error {
	open, at, err := p.Store.OpenContactNotices(ctx)
	if err != nil {
		p.complete = false
		return err
	}
	p.now = at
	var problems []error
	for _, n := range open {
		id := n.WorkflowID()
		state, err := p.look(ctx, id, models.ContactNoticeWorkflow)
		switch {
		case err != nil:
			p.skip(id)
			problems = append(problems, err)
		case !p.checkStranger(ctx, id, state):
			p.checkTask(ctx, id, state)
		}
	}
	return errors.Join(problems...)
}

// checkTold raises the alarm about clients whose changes of contacts were not told for long, for whatever reason.
func (p *pass) checkTold(ctx context.Context) error {
	clients, err := p.Store.ClientsNotTold(ctx, toldWithin)
	if err != nil {
		return err
	}
	p.toldKnown = true
	for _, number := range clients {
		p.raise(ctx, models.AlarmChangesNotTold, "client "+strconv.Itoa(number),
			"its contacts were changed more than "+strconv.Itoa(int(toldWithin.Minutes()))+" minutes ago, and not everybody was told")
	}
	return nil
}

// isCurrent reports whether the workers that get new workflows are of this process's version, or a later one. A version
// that an operator named by no number counts as one.
func (r *Reconciler) isCurrent(ctx context.Context) (bool, error) {
	d, err := r.Temporal.DescribeTaskQueue(ctx, models.QueueIncidents, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return false, fmt.Errorf("describe task queue %s: %w", models.QueueIncidents, err)
	}
	current := d.GetVersioningInfo().GetCurrentDeploymentVersion().GetBuildId()
	version, err := strconv.Atoi(current)
	return current != "" && (err != nil || version >= r.Version), nil
}
