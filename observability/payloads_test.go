package observability_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/secrets"
)

func payloads(t testing.TB, mode observability.PayloadMode) *observability.Payloads {
	t.Helper()
	encoded, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	return withKeyset(t, encoded, mode)
}

func withKeyset(t testing.TB, encoded string, mode observability.PayloadMode) *observability.Payloads {
	t.Helper()
	keys, err := secrets.OpenPayloadKeys(encoded, "")
	if err != nil {
		t.Fatal(err)
	}
	return observability.NewPayloads(keys, mode)
}

func workflow(id string) converter.SerializationContext {
	return converter.WorkflowSerializationContext{Namespace: "default", WorkflowID: id}
}

func in(p *observability.Payloads, c converter.SerializationContext) converter.DataConverter {
	return converter.WithDataConverterSerializationContext(p.DataConverter(), c)
}

func seal(t testing.TB, p *observability.Payloads, c converter.SerializationContext, value any) *commonpb.Payload {
	t.Helper()
	sealed, err := in(p, c).ToPayload(value)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

const acme, other = "incident/SI-1042-0007", "incident/SI-1042-0008"

func TestAPayloadOpensInItsWorkflowOnly(t *testing.T) {
	p := payloads(t, observability.SealedPayloads)
	sealed := seal(t, p, workflow(acme), "the report")
	if bytes.Contains(sealed.GetData(), []byte("report")) {
		t.Error("the report stands there in clear")
	}
	moved := proto.Clone(sealed).(*commonpb.Payload)
	moved.Metadata["watchfire-workflow"] = []byte(other)
	plain, err := converter.GetDefaultDataConverter().ToPayload("the report")
	if err != nil {
		t.Fatal(err)
	}
	pretends := proto.Clone(plain).(*commonpb.Payload)
	pretends.Metadata["encoding"] = []byte("binary/watchfire-sealed")
	activity := converter.ActivitySerializationContext{Namespace: "default", WorkflowID: acme, ActivityType: "Record"}
	for _, c := range []struct {
		name    string
		payload *commonpb.Payload
		context converter.SerializationContext
		by      *observability.Payloads
		want    bool
	}{
		{"its workflow", sealed, workflow(acme), p, true},
		{"an activity of its workflow", sealed, activity, p, false},
		{"another workflow", sealed, workflow(other), p, false},
		{"its endpoint", sealed, workflow(acme + "/endpoint/e1"), p, false},
		{"another namespace", sealed, converter.WorkflowSerializationContext{Namespace: "test", WorkflowID: acme}, p, false},
		{"another workflow, whose name was written on it", moved, workflow(other), p, false},
		{"another provider", sealed, workflow(acme), payloads(t, observability.SealedPayloads), false},
		{"a plain payload", plain, workflow(acme), p, false},
		{"a plain payload that pretends to be sealed", pretends, workflow(acme), p, false},
		{"an empty payload", &commonpb.Payload{}, workflow(acme), p, false},
	} {
		var got string
		err := in(c.by, c.context).FromPayload(c.payload, &got)
		if (err == nil && got == "the report") != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	opened, id, client, err := p.Open(models.Payload{Metadata: sealed.GetMetadata(), Data: sealed.GetData()}) // by what stands on it
	if err != nil || string(opened.Data) != `"the report"` || id != acme || client != 1042 {
		t.Errorf("opened %v of %s, %d, %v", opened, id, client, err)
	}
	if _, _, _, err := p.Open(models.Payload{Metadata: moved.GetMetadata(), Data: moved.GetData()}); !errors.Is(err, observability.ErrPayload) {
		t.Errorf("with another workflow's name on it: %v", err)
	}
}

// What one activity of a workflow answered is no other activity's answer, no signal and no input, and the other way
// round.
func TestAPayloadOfAnActivityOpensInThatActivityOnly(t *testing.T) {
	p := payloads(t, observability.SealedPayloads)
	of := func(activity string) converter.SerializationContext {
		return converter.ActivitySerializationContext{Namespace: "default", WorkflowID: acme, WorkflowType: "Endpoint", ActivityType: activity, TaskQueue: "edr"}
	}
	places := map[string]converter.SerializationContext{"ReadState": of("ReadState"), "ConfirmState": of("ConfirmState"), "the workflow": workflow(acme)}
	for from, sealedFor := range places {
		sealed := seal(t, p, sealedFor, "isolated")
		for to, openedFor := range places {
			var got string
			if err := in(p, openedFor).FromPayload(sealed, &got); (err == nil) != (from == to) {
				t.Errorf("what %s says is read as the word of %s: %q, %v", from, to, got, err)
			}
			moved := proto.Clone(sealed).(*commonpb.Payload)
			moved.Metadata["watchfire-activity"] = seal(t, p, openedFor, "").GetMetadata()["watchfire-activity"]
			if err := in(p, openedFor).FromPayload(moved, &got); err == nil && from != to {
				t.Errorf("what %s says, with the name of %s on it, is read: %q", from, to, got)
			}
		}
		opened, id, client, err := p.Open(models.Payload{Metadata: sealed.GetMetadata(), Data: sealed.GetData()})
		if err != nil || string(opened.Data) != `"isolated"` || id != acme || client != 1042 {
			t.Errorf("by what stands on it: %v of %s, %d, %v", opened, id, client, err)
		}
	}
}

func TestClientsHaveKeysOfTheirOwn(t *testing.T) {
	encoded, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secrets.OpenPayloadKeys(encoded, "")
	if err != nil {
		t.Fatal(err)
	}
	p := observability.NewPayloads(keys, observability.SealedPayloads)
	for id, owner := range map[string]string{
		acme: "client/1042", acme + "/endpoint/e1": "client/1042", "edr/1043/check": "client/1043", "contact/1042/0c0ffee0/sms": "client/1042", "contact-notice/1043/0c0ffee0": "client/1043", "canary/1042": "provider",
		"incident/1042": "provider", "": "provider",
	} {
		sealed := seal(t, p, workflow(id), "x")
		key, err := strconv.ParseUint(string(sealed.GetMetadata()["watchfire-key"]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		context := "watchfire payload\x00\x07default" + string(rune(len(id))) + id + "\x00\x00"
		for _, of := range []string{"client/1042", "client/1043", "provider"} {
			if _, err := keys.Unseal(uint32(key), of, sealed.GetData(), []byte(context)); (err == nil) != (of == owner) {
				t.Errorf("what is sealed for %q opens with the key of %s: %v", id, of, err)
			}
		}
	}
}

func TestUpgradesReadPlainPayloadsForAWhile(t *testing.T) {
	encoded, err := secrets.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	strict := withKeyset(t, encoded, observability.SealedPayloads)
	accepts := withKeyset(t, encoded, observability.AcceptPlain)
	writes := withKeyset(t, encoded, observability.WritePlain)
	plain := seal(t, writes, workflow(acme), "x")
	if observability.IsSealedPayload(plain) {
		t.Error("write-plain seals")
	}
	for name, c := range map[string]struct {
		writer, reader *observability.Payloads
		want           bool
	}{
		"plain by accept-plain":  {writes, accepts, true},
		"plain by write-plain":   {writes, writes, true},
		"plain by sealed":        {writes, strict, false},
		"sealed by accept-plain": {strict, accepts, true},
		"sealed by write-plain":  {strict, writes, true},
		"sealed by sealed":       {accepts, strict, true},
	} {
		var got string
		err := in(c.reader, workflow(acme)).FromPayload(seal(t, c.writer, workflow(acme), "x"), &got)
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever wants to pass off a message as one that was judged already fails.
func TestNobodyElseMarksAPayload(t *testing.T) {
	p := payloads(t, observability.SealedPayloads)
	forged := &commonpb.Payload{Data: []byte(`"x"`), Metadata: map[string][]byte{"encoding": []byte("json/plain"), models.PayloadPlain: []byte("json/plain")}}
	out, err := p.Decode([]*commonpb.Payload{forged})
	if err != nil || string(out[0].GetMetadata()["encoding"]) != models.PayloadRefused {
		t.Errorf("decoded %v, %v", out, err)
	}
	var got string
	if err := in(p, workflow(acme)).FromPayload(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(models.PayloadRefused)}}, &got); err == nil {
		t.Error("the mark of a refused payload was read as a value")
	}
}

func TestFailuresTellNothing(t *testing.T) {
	p := payloads(t, observability.SealedPayloads)
	of := p.FailureConverter().(converter.FailureConverterWithSerializationContext).WithSerializationContext(workflow(acme))
	failure := of.ErrorToFailure(temporal.NewApplicationError("host WS-042 is unknown", "rejected", "a detail"))
	raw, err := proto.Marshal(failure)
	if err != nil || bytes.Contains(raw, []byte("WS-042")) || bytes.Contains(raw, []byte("detail")) {
		t.Errorf("the failure tells %s, %v", raw, err)
	}
	read := of.FailureToError(proto.Clone(failure).(*failurepb.Failure))
	var app *temporal.ApplicationError
	var detail string
	if !errors.As(read, &app) || app.Type() != "rejected" || !strings.Contains(app.Error(), "WS-042") || app.Details(&detail) != nil || detail != "a detail" {
		t.Errorf("read %v, %q", read, detail)
	}
	spoken := of.FailureToError(&failurepb.Failure{Message: "all is well", StackTrace: "all is well", FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "rejected"},
	}})
	if strings.Contains(spoken.Error(), "well") || !errors.As(spoken, &app) || app.Type() != "rejected" {
		t.Errorf("a failure in somebody else's words: %v", spoken)
	}
	elsewhere := p.FailureConverter().(converter.FailureConverterWithSerializationContext).WithSerializationContext(workflow(other))
	if read := elsewhere.FailureToError(proto.Clone(failure).(*failurepb.Failure)); strings.Contains(read.Error(), "WS-042") {
		t.Errorf("in another workflow: %v", read)
	}
}

// mostOverhead is far below what is left between an incident's bounds and the 2 MiB that Temporal takes.
const mostOverhead = 512

func TestSealingAddsLittle(t *testing.T) {
	p := payloads(t, observability.SealedPayloads)
	for _, size := range []int{0, 1, 1000, 1 << 20} {
		value := bytes.Repeat([]byte("x"), size)
		plain, err := converter.GetDefaultDataConverter().ToPayload(value)
		if err != nil {
			t.Fatal(err)
		}
		added := proto.Size(seal(t, p, workflow(acme+"/endpoint/e1000"), value)) - proto.Size(plain)
		if added <= 0 || added > mostOverhead {
			t.Errorf("%d bytes grow by %d, want at most %d", size, added, mostOverhead)
		}
	}
}

func BenchmarkPayloads(b *testing.B) {
	p := payloads(b, observability.SealedPayloads)
	codec := p.WithSerializationContext(workflow(acme))
	for name, size := range map[string]int{"1 kB": 1 << 10, "500 kB": 500 << 10} {
		plain := []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: bytes.Repeat([]byte("x"), size)}}
		sealed, err := codec.Encode(plain)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("seal "+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := codec.Encode(plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open "+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := codec.Decode(sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
