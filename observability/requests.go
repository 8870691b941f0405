package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// What one activity answers must not pass as the answer to a later request of the same kind, and what is asked not as
// its own answer. So a workflow gives every request a name that it never gives again, and both seal with it: the
// workflow the input, the activity its result. One that returns nothing answers null, because a result that is
// missing has no seal.

// requestName is the key of a request's name in the workflow.Context of its activity.
type requestName struct{}

// requestPrefix begins the name of a request. The ids that the SDK gives to activities are numbers.
const requestPrefix = "ask-"

// Requests returns the interceptor of workers that names requests. An activity on a queue knows the name as its
// activity id.
func Requests() interceptor.WorkerInterceptor { return &requests{} }

type requests struct {
	interceptor.WorkerInterceptorBase
}

// InterceptWorkflow names the requests of a run.
func (*requests) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &requestsOfRun{}
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
}

// Init puts the naming before what a run asks for.
func (r *requestsOfRun) Init(next interceptor.WorkflowOutboundInterceptor) error {
	o := &asks{}
	o.Next = next
	return r.Next.Init(o)
}

// asks names the requests of one run.
type asks struct {
	interceptor.WorkflowOutboundInterceptorBase

	count int
}

// name returns a name that no request of the workflow has had. The time tells runs apart, also after a reset.
func (a *asks) name(ctx workflow.Context) string {
	a.count++
	return fmt.Sprintf(requestPrefix+"%d-%d", workflow.Now(ctx).UnixNano(), a.count)
}

// ExecuteActivity asks for an activity on a queue.
func (a *asks) ExecuteActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	o := workflow.GetActivityOptions(ctx)
	o.ActivityID = a.name(ctx)
	ctx = workflow.WithValue(workflow.WithActivityOptions(ctx, o), requestName{}, o.ActivityID)
	return a.Next.ExecuteActivity(ctx, activityType, args...)
}

// ExecuteLocalActivity asks for an activity within the workflow task.
func (a *asks) ExecuteLocalActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	return a.Next.ExecuteLocalActivity(workflow.WithValue(ctx, requestName{}, a.name(ctx)), activityType, args...)
}

type answers struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity returns null for an activity that has no result, or whose result is nil.
func (a *answers) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := a.Next.ExecuteActivity(ctx, in)
	if out == nil && err == nil {
		return json.RawMessage("null"), nil
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

// WithWorkflowContext returns the converter of a workflow that asks.
func (d dataConverter) WithWorkflowContext(ctx workflow.Context) converter.DataConverter {
	name, _ := ctx.Value(requestName{}).(string)
	return d.between(name, name+answered)
}

// WithContext returns the converter of an activity that answers. One within the workflow task has the name from the
// converter of the workflow.
func (d dataConverter) WithContext(ctx context.Context) converter.DataConverter {
	if !activity.IsActivity(ctx) {
		return d
	}
	name := activity.GetInfo(ctx).ActivityID
	if activity.GetInfo(ctx).IsLocalActivity {
		name = d.payloads.place.request
	}
	return d.between(name+answered, name)
}

// answered is put behind the name of a request on the answer to it.
const answered = "-answered"

// between returns the converter of an activity that seals and opens under these names.
func (d dataConverter) between(seals, opens string) converter.DataConverter {
	if d.payloads.place.activity == "" || !strings.HasPrefix(seals, requestPrefix) {
		return d
	}
	p := d.payloads.of(d.payloads.place)
	p.place.request, p.from.request = seals, opens
	return p.DataConverter()
}

// FromPayloads converts what is sealed for the place. Nothing has no seal, and the SDK would take it for a zero value:
// it starts no workflow and is no answer to a request. Whoever takes a payload as it is looks by themselves.
func (d dataConverter) FromPayloads(sealed *common.Payloads, to ...any) error {
	at := d.payloads.from
	demands := d.payloads.mode == SealedPayloads && d.payloads.bound && (at.activity == "" || at.request != "")
	if demands && len(to) > 0 && len(sealed.GetPayloads()) == 0 {
		if _, raw := to[0].(*converter.RawValue); !raw {
			return fmt.Errorf("%w: %w", ErrPayload, converter.ErrEncodingIsNotSupported) // as what is refused fails
		}
	}
	return d.DataConverter.FromPayloads(sealed, to...)
}
