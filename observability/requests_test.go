package observability_test

import (
	"context"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	sdk "go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/observability"
)

// tapped is a converter whose payloads can be looked at, and changed, on their way into a workflow.
type tapped struct {
	converter.DataConverter

	tap *tap // nil for activities
}

// tap sees what is said about requests: the last question, and the first answer.
type tap struct {
	asked, answered *commonpb.Payloads
	forge           func(t *tap) *commonpb.Payloads // of the answers after the first
}

func (d tapped) WithSerializationContext(c converter.SerializationContext) converter.DataConverter {
	return tapped{converter.WithDataConverterSerializationContext(d.DataConverter, c), d.tap}
}

func (d tapped) WithWorkflowContext(ctx sdk.Context) converter.DataConverter {
	return tapped{d.DataConverter.(sdk.ContextAware).WithWorkflowContext(ctx), d.tap}
}

func (d tapped) WithContext(ctx context.Context) converter.DataConverter {
	return tapped{d.DataConverter.(sdk.ContextAware).WithContext(ctx), nil}
}

func isOfRequest(p *commonpb.Payloads) bool {
	return p.GetPayloads()[0].GetMetadata()["watchfire-request"] != nil
}

func (d tapped) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	p, err := d.DataConverter.ToPayloads(values...)
	if d.tap != nil && isOfRequest(p) {
		d.tap.asked = p
	}
	return p, err
}

func (d tapped) FromPayloads(p *commonpb.Payloads, to ...any) error {
	switch {
	case d.tap == nil || d.tap.forge == nil || !isOfRequest(p):
	case d.tap.answered == nil:
		d.tap.answered = p
	default:
		p = d.tap.forge(d.tap)
	}
	return d.DataConverter.FromPayloads(p, to...)
}

// A workflow reads the state of a device twice, on a queue and within its own task. Somebody hands in the first answer,
// or none, or the question, as the second.
func TestAnAnswerIsToItsRequestOnly(t *testing.T) {
	read := func(context.Context, string) (string, error) { return "isolated", nil }
	write := func(context.Context, string) error { return nil }
	find := func(context.Context, string) (*struct{ ID string }, error) { return nil, nil }
	asks := func(ctx sdk.Context, local bool) (string, error) {
		var answer string
		ask := func() error {
			if local {
				return sdk.ExecuteLocalActivity(sdk.WithLocalActivityOptions(ctx, sdk.LocalActivityOptions{StartToCloseTimeout: 1e9}), read, "x").Get(ctx, &answer)
			}
			return sdk.ExecuteActivity(sdk.WithActivityOptions(ctx, sdk.ActivityOptions{StartToCloseTimeout: 1e9}), read, "x").Get(ctx, &answer)
		}
		if err := ask(); err != nil {
			return "the first: " + err.Error(), nil
		}
		if err := ask(); err != nil {
			return "the second: " + err.Error(), nil
		}
		var done bool
		if err := sdk.ExecuteActivity(sdk.WithActivityOptions(ctx, sdk.ActivityOptions{StartToCloseTimeout: 1e9}), write, "x").Get(ctx, &done); err != nil {
			return "one without a result failed", err
		}
		var found *struct{ ID string }
		if err := sdk.ExecuteLocalActivity(sdk.WithLocalActivityOptions(ctx, sdk.LocalActivityOptions{StartToCloseTimeout: 1e9}), find, "x").Get(ctx, &found); err != nil || found != nil {
			return "one that found nothing failed", err
		}
		return answer, nil
	}
	for _, c := range []struct {
		name  string
		local bool
		forge func(*tap) *commonpb.Payloads
		want  string
	}{
		{"on a queue", false, nil, "isolated"},
		{"in the task", true, nil, "isolated"},
		{"the first answer again, on a queue", false, func(t *tap) *commonpb.Payloads { return t.answered }, "the second: "},
		{"the first answer again, in the task", true, func(t *tap) *commonpb.Payloads { return t.answered }, "the second: "},
		{"the question, on a queue", false, func(t *tap) *commonpb.Payloads { return t.asked }, "the second: "},
		{"no answer, on a queue", false, func(*tap) *commonpb.Payloads { return nil }, "the second: "},
		{"an empty answer, on a queue", false, func(*tap) *commonpb.Payloads { return &commonpb.Payloads{} }, "the second: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			env.SetDataConverter(tapped{payloads(t, observability.SealedPayloads).DataConverter(), &tap{forge: c.forge}})
			env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{observability.Requests()}})
			env.RegisterActivity(read)
			env.RegisterActivity(write)
			env.RegisterActivity(find)
			env.ExecuteWorkflow(asks, c.local)
			var got string
			if err := env.GetWorkflowResult(&got); err != nil || !strings.HasPrefix(got, c.want) {
				t.Errorf("the workflow says %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
