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

// The metadata of a sealed payload. What it belongs to stands in clear, so that a payload can be opened where nothing
// but the payload is known; it is bound to what is sealed.
const (
	metaEncoding  = "encoding"
	metaKey       = "watchfire-key"
	metaNamespace = "watchfire-namespace"
	metaWorkflow  = "watchfire-workflow"
	metaActivity  = "watchfire-activity" // not on what is the workflow's own
	metaRequest   = "watchfire-request"  // on inputs and results of activities

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

// ErrPayload reports that a payload was not sealed by this provider for what it came to. The error does not say more.
var ErrPayload = errors.New("the payload is not sealed by this provider for this place")

// Payloads seal everything that Temporal keeps of workflows: inputs, results, signals, updates, summaries, details and
// failures. Ids, search attributes and the types of failures stay in clear. A payload opens nowhere but in the place
// that it was sealed for.
type Payloads struct {
	keys *secrets.PayloadKeys
	mode PayloadMode

	bound bool  // to the places that follow
	whole bool  // reads whatever belongs to the workflow of its place, as of a history
	place place // what it seals belongs there
	from  place // and what it opens there
}

// place is where a payload belongs.
type place struct {
	namespace, workflow string
	activity            string // its type; "" for what is the workflow's own
	request             string // that the activity carries out, or answers; "" in failures, and where it has no name
}

// NewPayloads makes the codec of a process.
func NewPayloads(keys *secrets.PayloadKeys, mode PayloadMode) *Payloads {
	return &Payloads{keys: keys, mode: mode}
}

// WithSerializationContext returns the codec of a workflow or of an activity.
func (p *Payloads) WithSerializationContext(c converter.SerializationContext) converter.PayloadCodec {
	return p.within(c)
}

func (p *Payloads) within(c converter.SerializationContext) *Payloads {
	switch c := c.(type) {
	case converter.WorkflowSerializationContext:
		return p.of(place{namespace: c.Namespace, workflow: c.WorkflowID})
	case converter.ActivitySerializationContext:
		return p.of(place{namespace: c.Namespace, workflow: c.WorkflowID, activity: c.ActivityType})
	}
	return p
}

func (p *Payloads) of(at place) *Payloads {
	return &Payloads{keys: p.keys, mode: p.mode, bound: true, place: at, from: at}
}

// Encode seals payloads for the codec's place.
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
		key, sealed, err := p.keys.Seal(payloadOwner(p.place.workflow), value, p.place.bytes())
		if err != nil {
			return nil, err
		}
		meta := map[string][]byte{
			metaEncoding: []byte(encodingSealed), metaKey: strconv.AppendUint(nil, uint64(key), 10),
			metaNamespace: []byte(p.place.namespace), metaWorkflow: []byte(p.place.workflow),
		}
		if p.place.activity != "" {
			meta[metaActivity] = []byte(p.place.activity)
		}
		if p.place.request != "" {
			meta[metaRequest] = []byte(p.place.request)
		}
		out[i] = &common.Payload{Data: sealed, Metadata: meta}
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
	at := placeOf(sealed)
	if p.bound && !p.reads(at) {
		return nil, ErrPayload
	}
	key, err := strconv.ParseUint(string(sealed.GetMetadata()[metaKey]), 10, 32)
	if err != nil {
		return nil, ErrPayload
	}
	value, err := p.keys.Unseal(uint32(key), payloadOwner(at.workflow), sealed.GetData(), at.bytes())
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

// placeOf returns the place that stands on a payload.
func placeOf(sealed *common.Payload) place {
	meta := sealed.GetMetadata()
	return place{
		namespace: string(meta[metaNamespace]), workflow: string(meta[metaWorkflow]), activity: string(meta[metaActivity]), request: string(meta[metaRequest]),
	}
}

// reads reports whether a payload of a place is for this codec.
func (p *Payloads) reads(at place) bool {
	if p.whole {
		return at.namespace == p.from.namespace && at.workflow == p.from.workflow
	}
	return at == p.from
}

// bytes binds a payload to its place.
func (at place) bytes() []byte {
	b := []byte("watchfire payload\x00")
	for _, part := range []string{at.namespace, at.workflow, at.activity, at.request} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// DataConverter returns the converter of the product's clients and workers.
func (p *Payloads) DataConverter() converter.DataConverter {
	return dataConverter{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), p), p}
}

// FailureConverter returns the converter of failures, which seals their messages and stacks.
func (p *Payloads) FailureConverter() converter.FailureConverter {
	return failures{p.DataConverter(), p.mode}
}

// failures converts failures with the codec of their place.
type failures struct {
	data converter.DataConverter
	mode PayloadMode
}

func (f failures) converter() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: f.data, EncodeCommonAttributes: f.mode != WritePlain})
}

// ErrorToFailure makes a failure of an error.
func (f failures) ErrorToFailure(err error) *failurepb.Failure {
	return f.converter().ErrorToFailure(err)
}

// FailureToError makes an error of a failure. What stands in clear in a failure of ours is not repeated: people read
// it.
func (f failures) FailureToError(failure *failurepb.Failure) error {
	if f.mode == SealedPayloads {
		for one := failure; one != nil; one = one.GetCause() {
			if one.GetApplicationFailureInfo() != nil {
				one.Message, one.StackTrace = "a failure that was not sealed for this place", ""
			}
		}
	}
	return f.converter().FailureToError(failure)
}

// WithSerializationContext returns the converter of a workflow or of an activity.
func (f failures) WithSerializationContext(c converter.SerializationContext) converter.FailureConverter {
	return failures{converter.WithDataConverterSerializationContext(f.data, c), f.mode}
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
