package workflows_test

import (
	"maps"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// plain returns a value as the workers hand it to a workflow when it came unsealed.
func plain(t *testing.T, value any, refused bool) converter.RawValue {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(value)
	if err != nil {
		t.Fatal(err)
	}
	meta := maps.Clone(p.GetMetadata())
	meta[models.PayloadPlain] = meta[converter.MetadataEncoding]
	if refused {
		meta[converter.MetadataEncoding] = []byte(models.PayloadRefused)
	}
	return converter.NewRawValue(&commonpb.Payload{Metadata: meta, Data: p.GetData()})
}

// Whatever its name, a signal that was not sealed by this provider is recorded as refused and does nothing.
func TestASignalThatIsNotSealedIsRefused(t *testing.T) {
	s := newStory(t)
	s.after(30*time.Second, models.RoleAnalyst, &incident.Expedite{})
	names := []string{
		models.SignalKeyPress, models.SignalCallProgress, models.SignalEndpointObserved, models.SignalUndelivered,
		models.SignalTextReply, models.SignalRefused, models.SignalStoreAhead, models.SignalEndpointAnew, models.SignalRenew,
	}
	for _, c := range incident.Commands() {
		names = append(names, c.Name())
	}
	forged := incident.CommandRequest{
		CommandContext: incident.CommandContext{RequestID: "forged", Actor: user(models.RoleLead), Via: "temporal"}, Body: []byte(`{"text":"Forged."}`),
	}
	unreadable := converter.NewRawValue(&commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(models.PayloadRefused)}})
	s.env.RegisterDelayedCallback(func() {
		for _, name := range names {
			s.env.SignalWorkflow(name, plain(t, forged, true))
			s.env.SignalWorkflow(name, unreadable)
		}
	}, time.Minute)
	s.after(2*time.Minute, models.RoleAnalyst, &incident.Comment{Text: "A real one."})
	s.closes(8 * day)
	s.run(models.SeverityLow)
	refused := map[string]int{}
	comments := 0
	for _, e := range s.events {
		switch d := e.Data.(type) {
		case *incident.CommandRejected:
			refused[d.Command]++
		case *incident.Commented:
			comments++
		}
	}
	for _, name := range names {
		if refused[name] != 2 {
			t.Errorf("%s was refused %d times, want twice", name, refused[name])
		}
	}
	if comments != 1 || s.count("closed") != 1 {
		t.Errorf("%d comments, want the real one alone", comments)
	}
}

// While a version that did not seal is being replaced, a plain signal counts.
func TestAPlainSignalCountsWhereItIsAccepted(t *testing.T) {
	s := newStory(t)
	s.after(30*time.Second, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() {
		s.env.SignalWorkflow("comment", plain(t, s.request(models.RoleAnalyst, &incident.Comment{Text: "Plain."}), false))
	}, time.Minute)
	s.closes(8 * day)
	s.run(models.SeverityLow)
	if s.count("commented") != 1 || s.count("command_rejected") != 0 {
		t.Errorf("%d comments, %d refusals", s.count("commented"), s.count("command_rejected"))
	}
}

// What was sealed for a workflow as something else, such as the input in its history, is no signal without an argument: it
// lets no incident go on in a new run.
func TestAMessageOfAnotherKindIsNoSignalWithoutAnArgument(t *testing.T) {
	s := newStory(t)
	s.after(30*time.Second, models.RoleAnalyst, &incident.Expedite{})
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(models.SignalRenew, s.opening(models.SeverityLow)) }, time.Minute)
	s.closes(8 * day)
	s.run(models.SeverityLow)
	refused := map[string]int{}
	for _, e := range s.events {
		if d, ok := e.Data.(*incident.CommandRejected); ok {
			refused[d.Command]++
		}
	}
	if refused[models.SignalRenew] != 1 || s.count("closed") != 1 {
		t.Errorf("refused: %v, closed %d times in the same run", refused, s.count("closed"))
	}
}

// An operator lets an incident go on in a new run, at once and with all its events.
func TestAnIncidentIsRenewedOnRequest(t *testing.T) {
	s := newStory(t)
	s.after(30*time.Second, models.RoleAnalyst, &incident.Expedite{})
	s.after(time.Minute, models.RoleAnalyst, &incident.Comment{Text: "Before."})
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(models.SignalRenew, nil) }, time.Hour)
	s.after(day, models.RoleAnalyst, &incident.Comment{Text: "Too late for this run."})
	s.runFrom(s.opening(models.SeverityLow))
	var next *workflow.ContinueAsNewError
	if !asCAN(s.env.GetWorkflowError(), &next) || s.count("commented") != 1 {
		t.Errorf("the workflow did not go on in a new run: %v, %d comments", s.env.GetWorkflowError(), s.count("commented"))
	}
}
