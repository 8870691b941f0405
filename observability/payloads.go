package observability

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/secrets"
)

// The metadata of a sealed payload. The names of namespace and workflow stand in clear, so that a payload can be opened
// where nothing but the payload is known; they are bound to what is sealed.
const (
	metaEncoding  = "encoding"
	metaKey       = "watchfire-key"
	metaNamespace = "watchfire-namespace"
	metaWorkflow  = "watchfire-workflow"

	encodingSealed = "binary/watchfire-sealed"
)

// PayloadMode says what a process does with payloads. Only SealedPayloads is meant to last.
type PayloadMode string

// The modes. The others are the steps of the upgrade from a version that did not seal.
const (
	SealedPayloads PayloadMode = "sealed"       // seals, and refuses what is not sealed
	AcceptPlain    PayloadMode = "accept-plain" // seals, and reads what is not sealed
	WritePlain     PayloadMode = "write-plain"  // does not seal, and reads both
)

// PayloadModes lists the modes.
func PayloadModes() []PayloadMode { return []PayloadMode{SealedPayloads, AcceptPlain, WritePlain} }

// ErrPayload reports that a payload was not sealed by this provider for the workflow that it came to. The error does not
// say more.
var ErrPayload = errors.New("the payload is not sealed by this provider for this workflow")

// Payloads seal everything that Temporal keeps of workflows: inputs, results, signals, updates, summaries, details and
// failures. Ids, search attributes and the types of failures stay in clear. A payload is bound to the workflow that it
// was sealed for, and opens in no other.
type Payloads struct {
	keys *secrets.PayloadKeys
	mode PayloadMode

	bound               bool // to the workflow that it reads and writes for
	namespace, workflow string
}

// NewPayloads makes the codec of a process.
func NewPayloads(keys *secrets.PayloadKeys, mode PayloadMode) *Payloads {
	return &Payloads{keys: keys, mode: mode}
}

// WithSerializationContext returns the codec of one workflow.
func (p *Payloads) WithSerializationContext(c converter.SerializationContext) converter.PayloadCodec {
	switch c := c.(type) {
	case converter.WorkflowSerializationContext:
		return p.of(c.Namespace, c.WorkflowID)
	case converter.ActivitySerializationContext:
		return p.of(c.Namespace, c.WorkflowID)
	}
	return p
}

func (p *Payloads) of(namespace, workflow string) *Payloads {
	return &Payloads{keys: p.keys, mode: p.mode, bound: true, namespace: namespace, workflow: workflow}
}

// Encode seals payloads for the codec's workflow.
func (p *Payloads) Encode(plain []*common.Payload) ([]*common.Payload, error) {
	if p.mode == WritePlain {
		return plain, nil
	}
	out := make([]*common.Payload, len(plain))
	for i, one := range plain {
		value, err := proto.Marshal(one)
		if err != nil {
			return nil, err
		}
		key, sealed, err := p.keys.Seal(payloadOwner(p.workflow), value, payloadContext(p.namespace, p.workflow))
		if err != nil {
			return nil, err
		}
		out[i] = &common.Payload{Data: sealed, Metadata: map[string][]byte{
			metaEncoding: []byte(encodingSealed), metaKey: strconv.AppendUint(nil, uint64(key), 10),
			metaNamespace: []byte(p.namespace), metaWorkflow: []byte(p.workflow),
		}}
	}
	return out, nil
}

// Decode opens payloads. In the place of one that it refuses, it returns one of the encoding models.PayloadRefused,
// which nothing converts to a value but which a workflow can take notice of. A plain payload is marked, so that a
// workflow can write down how it was judged: another mode must not judge otherwise when the history is replayed.
func (p *Payloads) Decode(sealed []*common.Payload) ([]*common.Payload, error) {
	out := make([]*common.Payload, len(sealed))
	for i, one := range sealed {
		opened, err := p.open(one)
		switch {
		case err == nil:
			out[i] = opened
		case IsSealedPayload(one):
			out[i] = &common.Payload{Metadata: map[string][]byte{metaEncoding: []byte(models.PayloadRefused)}}
		default:
			out[i] = p.judgePlain(one)
		}
	}
	return out, nil
}

// judgePlain marks a plain payload, and replaces its encoding where it is refused.
func (p *Payloads) judgePlain(plain *common.Payload) *common.Payload {
	meta := map[string][]byte{}
	for k, v := range plain.GetMetadata() {
		meta[k] = v
	}
	meta[models.PayloadPlain] = meta[metaEncoding]
	if p.mode == SealedPayloads {
		meta[metaEncoding] = []byte(models.PayloadRefused)
	}
	return &common.Payload{Metadata: meta, Data: plain.GetData()}
}

// Open returns what is sealed in a payload, the id of the workflow that it was sealed for, and the number of that one's
// client, 0 for none; or ErrPayload.
func (p *Payloads) Open(sealed models.Payload) (plain models.Payload, workflow string, client int, err error) {
	opened, err := p.open(&common.Payload{Metadata: sealed.Metadata, Data: sealed.Data})
	if err != nil {
		return models.Payload{}, "", 0, err
	}
	workflow = string(sealed.Metadata[metaWorkflow])
	return models.Payload{Metadata: opened.GetMetadata(), Data: opened.GetData()}, workflow, payloadClient(workflow), nil
}

func (p *Payloads) open(sealed *common.Payload) (*common.Payload, error) {
	if !IsSealedPayload(sealed) {
		return nil, ErrPayload
	}
	namespace, workflow := string(sealed.GetMetadata()[metaNamespace]), string(sealed.GetMetadata()[metaWorkflow])
	if p.bound && (namespace != p.namespace || workflow != p.workflow) {
		return nil, ErrPayload
	}
	key, err := strconv.ParseUint(string(sealed.GetMetadata()[metaKey]), 10, 32)
	if err != nil {
		return nil, ErrPayload
	}
	value, err := p.keys.Unseal(uint32(key), payloadOwner(workflow), sealed.GetData(), payloadContext(namespace, workflow))
	if err != nil {
		return nil, ErrPayload
	}
	var plain common.Payload
	if proto.Unmarshal(value, &plain) != nil || plain.GetMetadata()[models.PayloadPlain] != nil {
		return nil, ErrPayload
	}
	return &plain, nil
}

// IsSealedPayload reports whether a payload says that it is sealed.
func IsSealedPayload(p *common.Payload) bool {
	return string(p.GetMetadata()[metaEncoding]) == encodingSealed
}

// payloadOwner names whose key seals the payloads of a workflow: the client's, or the provider's for a workflow that is
// no single client's.
func payloadOwner(workflow string) string {
	if number := payloadClient(workflow); number > 0 {
		return "client/" + strconv.Itoa(number)
	}
	return "provider"
}

// payloadClient returns the number of a workflow's client, or 0.
func payloadClient(workflow string) int {
	kind, rest, _ := strings.Cut(workflow, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch kind {
	case "incident":
		return models.Reference(first).ClientNumber()
	case "edr", "contact", "contact-notice":
		number, _ := strconv.Atoi(first)
		return max(number, 0)
	}
	return 0
}

// payloadContext binds a payload to its workflow.
func payloadContext(namespace, workflow string) []byte {
	b := binary.AppendUvarint([]byte("watchfire payload\x00"), uint64(len(namespace)))
	return append(append(b, namespace...), workflow...)
}

// DataConverter returns the converter of the product's clients and workers.
func (p *Payloads) DataConverter() converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), p)
}

// FailureConverter returns the converter of failures, which seals their messages and stacks.
func (p *Payloads) FailureConverter() converter.FailureConverter {
	if p.mode == WritePlain {
		return failures{p.DataConverter(), false}
	}
	return failures{p.DataConverter(), true}
}

// failures converts failures with the codec of their workflow.
type failures struct {
	data  converter.DataConverter
	seals bool
}

func (f failures) converter() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: f.data, EncodeCommonAttributes: f.seals})
}

// ErrorToFailure makes a failure of an error.
func (f failures) ErrorToFailure(err error) *failurepb.Failure {
	return f.converter().ErrorToFailure(err)
}

// FailureToError makes an error of a failure.
func (f failures) FailureToError(failure *failurepb.Failure) error {
	return f.converter().FailureToError(failure)
}

// WithSerializationContext returns the converter of one workflow.
func (f failures) WithSerializationContext(c converter.SerializationContext) converter.FailureConverter {
	return failures{converter.WithDataConverterSerializationContext(f.data, c), f.seals}
}

// openAll opens, in place, every payload of a message but search attributes. What is refused stays as it is.
func (p *Payloads) openAll(ctx context.Context, m proto.Message) error {
	return proxy.VisitPayloads(ctx, m, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*common.Payload) ([]*common.Payload, error) {
			out := make([]*common.Payload, len(payloads))
			for i, one := range payloads {
				var err error
				if out[i], err = p.open(one); err != nil {
					out[i] = one
					if !IsSealedPayload(one) && p.mode == SealedPayloads {
						out[i] = p.judgePlain(one)
					}
				}
			}
			return out, nil
		},
	})
}
