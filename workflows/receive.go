package workflows

import (
	"errors"
	"maps"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// errUnsealed says why a message is not believed.
var errUnsealed = errors.New("the message was not sealed by this provider for this workflow")

// receive waits for the next message of a signal and decodes it into to, which is nil for a signal without an argument.
// It returns an error for a message that is not to be believed; the SDK itself would drop it, and nobody would know. What
// was sealed for the workflow as something else is no signal without an argument.
func receive(ctx workflow.Context, c workflow.ReceiveChannel, to any) error {
	var raw converter.RawValue
	c.Receive(ctx, &raw)
	p, err := judge(ctx, raw.Payload())
	if err == nil && to == nil && string(p.GetMetadata()[converter.MetadataEncoding]) != converter.MetadataEncodingNil {
		err = errUnsealed
	}
	if err != nil || to == nil {
		return err
	}
	return converter.GetDefaultDataConverter().FromPayload(p, to)
}

// judge returns a payload that is to be believed, as it was before it was sealed. How a plain payload was judged is
// written down: it depends on a setting, and a replay must come to the same.
func judge(ctx workflow.Context, p *commonpb.Payload) (*commonpb.Payload, error) {
	refused := p == nil || string(p.GetMetadata()[converter.MetadataEncoding]) == models.PayloadRefused
	encoding, plain := p.GetMetadata()[models.PayloadPlain]
	if plain {
		before := workflow.SideEffectWithOptions(ctx, workflow.SideEffectOptions{Summary: "judge a message that is not sealed"},
			func(workflow.Context) any { return refused })
		if err := before.Get(&refused); err != nil {
			return nil, err
		}
		meta := maps.Clone(p.GetMetadata())
		meta[converter.MetadataEncoding] = encoding
		delete(meta, models.PayloadPlain)
		p = &commonpb.Payload{Metadata: meta, Data: p.GetData()}
	}
	if refused {
		return nil, errUnsealed
	}
	return p, nil
}

// refusedBy returns the report of a message that a child of an incident does not believe.
func refusedBy(ctx workflow.Context, signal string) models.RefusedSignal {
	return models.RefusedSignal{Workflow: workflow.GetInfo(ctx).WorkflowExecution.ID, Signal: signal}
}
