package observability

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
)

// PlainRun is a running workflow whose history has a payload that is not sealed: a worker that refuses plain payloads
// cannot go on with it.
type PlainRun struct{ WorkflowID, RunID, Type string }

// PlainRuns lists the running workflows whose histories have plain payloads. It reads every running workflow's history.
func (e *Engine) PlainRuns(ctx context.Context) (all []PlainRun, err error) {
	for next := []byte(nil); ; {
		page, err := e.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'", NextPageToken: next})
		if err != nil {
			return nil, fmt.Errorf("list the running workflows: %w", err)
		}
		for _, w := range page.GetExecutions() {
			run := PlainRun{w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId(), w.GetType().GetName()}
			plain, err := e.isPlain(ctx, run)
			var gone *serviceerror.NotFound
			switch {
			case errors.As(err, &gone): // it has ended, and its history is gone
			case err != nil:
				return nil, fmt.Errorf("read the history of %s: %w", run.WorkflowID, err)
			case plain:
				all = append(all, run)
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return all, nil
		}
	}
}

func (e *Engine) isPlain(ctx context.Context, run PlainRun) (bool, error) {
	for it := e.Client.GetWorkflowHistory(ctx, run.WorkflowID, run.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			return false, err
		}
		if plain, err := HasPlainPayload(ctx, event); plain || err != nil {
			return plain, err
		}
	}
	return false, nil
}

// HasPlainPayload reports whether an event has a payload that is not sealed. Memos and search attributes do not count,
// and neither does a signal: its workflow wrote down how it judged that.
func HasPlainPayload(ctx context.Context, event *historypb.HistoryEvent) (plain bool, err error) {
	if event.GetWorkflowExecutionSignaledEventAttributes() != nil {
		return false, nil
	}
	err = proxy.VisitPayloads(ctx, event, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(at *proxy.VisitPayloadsContext, payloads []*common.Payload) ([]*common.Payload, error) {
			if _, memo := at.Parent.(*common.Memo); !memo {
				for _, p := range payloads {
					plain = plain || !IsSealedPayload(p)
				}
			}
			return payloads, nil
		},
	})
	return plain, err
}
