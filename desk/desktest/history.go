package desktest

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// noHistory is the history of every workflow: the engine keeps none.
type noHistory struct{}

func (noHistory) HasNext() bool { return false }

func (noHistory) Next() (*historypb.HistoryEvent, error) {
	return nil, errors.New("there is no next event")
}

// GetWorkflowHistory returns an empty history.
func (*Engine) GetWorkflowHistory(context.Context, string, string, bool, enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	return noHistory{}
}

// ListWorkflow lists no workflow.
func (*Engine) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	return &workflowservice.ListWorkflowExecutionsResponse{}, nil
}
