package observability

import (
	"context"
	"fmt"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// What one activity answers must not pass as the answer to a later request of the same kind. So a workflow gives every
// request a name that it never gives again, and both seal with it: the workflow the input, the activity its result. An
// activity without a result returns true, because a result that is missing has no seal.

// requestName is the key of a request's name in the workflow.Context of its activity.
type requestName struct{}

// Requests returns the interceptor of workers that names requests. An activity on a queue knows the name as its
// activity id; named reports whether a run gives such ids, because a run from before has others in its history.
func Requests(named func(workflow.Context) bool) interceptor.WorkerInterceptor {
	return &requests{named: named}
}

type requests struct {
	interceptor.WorkerInterceptorBase

	named func(workflow.Context) bool
}

// InterceptWorkflow names the requests of a run.
func (r *requests) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &requestsOfRun{named: r.named}
	i.Next = next
	return i
}

// InterceptActivity lets every activity answer something.
func (*requests) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &answers{}
	i.Next = next
	return i
}

type requestsOfRun struct {
	interceptor.WorkflowInboundInterceptorBase

	named func(workflow.Context) bool
}

// Init puts the naming before what a run asks for.
func (r *requestsOfRun) Init(next interceptor.WorkflowOutboundInterceptor) error {
	o := &asks{named: r.named}
	o.Next = next
	return r.Next.Init(o)
}

// asks names the requests of one run.
type asks struct {
	interceptor.WorkflowOutboundInterceptorBase

	named func(workflow.Context) bool
	count int
}

// name returns a name that no request of the workflow has had. The time tells runs apart, also after a reset.
func (a *asks) name(ctx workflow.Context) string {
	a.count++
	return fmt.Sprintf("ask-%d-%d", workflow.Now(ctx).UnixNano(), a.count)
}

// ExecuteActivity asks for an activity on a queue.
func (a *asks) ExecuteActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	if a.named(ctx) {
		o := workflow.GetActivityOptions(ctx)
		o.ActivityID = a.name(ctx)
		ctx = workflow.WithValue(workflow.WithActivityOptions(ctx, o), requestName{}, o.ActivityID)
	}
	return a.Next.ExecuteActivity(ctx, activityType, args...)
}

// ExecuteLocalActivity asks for an activity within the workflow task.
func (a *asks) ExecuteLocalActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	if a.named(ctx) {
		ctx = workflow.WithValue(ctx, requestName{}, a.name(ctx))
	}
	return a.Next.ExecuteLocalActivity(ctx, activityType, args...)
}

type answers struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity returns true for an activity without a result.
func (a *answers) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := a.Next.ExecuteActivity(ctx, in)
	if out == nil && err == nil {
		return true, nil
	}
	return out, err
}

// dataConverter converts and seals values for a place.
type dataConverter struct {
	converter.DataConverter

	payloads *Payloads
}

// WithSerializationContext returns the converter of a workflow or of an activity.
func (d dataConverter) WithSerializationContext(c converter.SerializationContext) converter.DataConverter {
	return d.payloads.within(c).DataConverter()
}

// WithWorkflowContext returns the converter of the request that a workflow makes.
func (d dataConverter) WithWorkflowContext(ctx workflow.Context) converter.DataConverter {
	name, _ := ctx.Value(requestName{}).(string)
	return d.forRequest(name)
}

// WithContext returns the converter of the request that an activity carries out. That of an activity within the workflow
// task is known already.
func (d dataConverter) WithContext(ctx context.Context) converter.DataConverter {
	if !activity.IsActivity(ctx) || activity.GetInfo(ctx).IsLocalActivity {
		return d
	}
	return d.forRequest(activity.GetInfo(ctx).ActivityID)
}

func (d dataConverter) forRequest(name string) converter.DataConverter {
	var moment, count int64
	if n, err := fmt.Sscanf(name, "ask-%d-%d", &moment, &count); n != 2 || err != nil || d.payloads.place.activity == "" {
		return d
	}
	at := d.payloads.place
	at.request = name
	return d.payloads.of(at).DataConverter()
}

// FromPayloads converts what is sealed for the place. To a request, nothing is no answer.
func (d dataConverter) FromPayloads(sealed *common.Payloads, to ...any) error {
	if d.payloads.place.request != "" && d.payloads.mode == SealedPayloads && len(to) > 0 && len(sealed.GetPayloads()) == 0 {
		return fmt.Errorf("%w: %w", ErrPayload, converter.ErrEncodingIsNotSupported) // as what is refused fails
	}
	return d.DataConverter.FromPayloads(sealed, to...)
}
