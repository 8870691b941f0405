package desktest

import (
	"context"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// check is the last channel check that was started under its workflow's id.
type check struct {
	options client.StartWorkflowOptions
	run     notify.ChannelCheckInput
	starts  int
	running bool
}

func (e *Engine) startCheck(o client.StartWorkflowOptions, run notify.ChannelCheckInput) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.checks[o.ID]
	if before.running {
		return serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "")
	}
	e.checks[o.ID] = check{options: o, run: run, starts: before.starts + 1, running: true}
	return nil
}

// edrCheck is the run of a check of an EDR connection that works.
type edrCheck struct {
	client.WorkflowRun
	setAt time.Time // when the credentials were
}

func (e *Engine) startEDRCheck(ctx context.Context, run models.EDRCheckInput) (edrCheck, error) {
	return store.Run(e.store.InClient(ctx, store.Worker, run.ClientID), func(tx *store.Tx) (edrCheck, error) {
		now, err := tx.EDRStatus()
		return edrCheck{setAt: now.SetAt}, err
	})
}

// Get returns the result of the check.
func (r edrCheck) Get(_ context.Context, to any) error {
	c, ok := to.(*models.EDRCheck)
	if !ok {
		return serviceerror.NewInvalidArgument("not a check of an EDR")
	}
	*c = models.EDRCheck{OK: true, SetAt: r.setAt, Capabilities: models.Capabilities{Actions: true}}
	return nil
}

// Check returns the options and the input of the last check of a contact's channel, and how many checks were started.
func (e *Engine) Check(contact uuid.UUID, ch models.Channel) (client.StartWorkflowOptions, notify.ChannelCheckInput, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, c := e.checkOf(contact, ch)
	return c.options, c.run, c.starts
}

// checkOf returns the last check of a contact's channel and its workflow's id. The caller holds the lock.
func (e *Engine) checkOf(contact uuid.UUID, ch models.Channel) (id string, c check) {
	for id, c := range e.checks {
		if c.run.Effect.Contact == contact && c.run.Channel == ch {
			return id, c
		}
	}
	return "", check{}
}

// Carry lets the running check of a contact's channel come to its end, as a worker would: its effect is in the ledger
// then. It returns the effect's row.
func (e *Engine) Carry(ctx context.Context, contact uuid.UUID, ch models.Channel) (store.LedgerRow, error) {
	e.mu.Lock()
	id, c := e.checkOf(contact, ch)
	c.running = false
	e.checks[id] = c
	e.mu.Unlock()
	return store.Run(e.store.InClient(ctx, store.Worker, c.run.Effect.ClientID), func(tx *store.Tx) (store.LedgerRow, error) {
		return tx.Intend(c.run.Effect, e.now())
	})
}

// DescribeTaskQueue describes a queue whose workers have no version.
func (e *Engine) DescribeTaskQueue(ctx context.Context, _ string, _ enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	return &workflowservice.DescribeTaskQueueResponse{}, e.answersAt(ctx)
}

// DescribeWorkflowExecution describes a workflow by its memo and, of an incident, by whether it runs.
func (e *Engine) DescribeWorkflowExecution(ctx context.Context, workflowID, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if err := e.answersAt(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	options, status := e.checks[workflowID].options, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	if started, known := e.started[workflowID]; known {
		options = started
	} else if _, known := e.checks[workflowID]; !known {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	if e.ended[workflowID] {
		status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{}}
	for name, value := range options.Memo {
		p, err := converter.GetDefaultDataConverter().ToPayload(value)
		if err != nil {
			return nil, err
		}
		memo.Fields[name] = p
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Memo: memo, Status: status}}, nil
}
