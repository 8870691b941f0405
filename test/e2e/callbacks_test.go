package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The answer to the request is lost, two callbacks are mis-signed and the last one never arrives: the product asks the
// carrier and learns of the call and of its end.
func TestPollingMakesUpForLostAndMisSignedCallbacks(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "acknowledges")
	s.faults("twilio", rule{Op: "place_call", Kind: "reset_after", Times: 1},
		rule{Op: "callback", Kind: "missign", Times: 2}, rule{Op: "callback", Kind: "drop", Times: 1})
	s.faults("sendgrid", rule{Op: "callback", Kind: "drop"})
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.awaitAcknowledgement()
	s.wantCalls(1, 1, 0)
	s.wantMails(notify.PurposePublished)
	for _, c := range s.callsTo(0)[0].Callbacks {
		if c.Fault == "missign" && c.HTTP != http.StatusForbidden {
			t.Errorf("the API answered a mis-signed callback with %d", c.HTTP)
		}
	}
	outcomes := eventsOf[*incident.ContactCalled](s)
	if len(outcomes) != 2 || outcomes[0].Outcome != notify.OutcomeNoAnswer || outcomes[1].Outcome != notify.OutcomeAcknowledged {
		t.Errorf("the outcomes of the calls are %+v", outcomes)
	}
}

func TestDuplicateAndReorderedCallbacksCountOnce(t *testing.T) {
	half := 0.5
	s := newScene(t, 2)
	s.setPhonePersonas("busy", "no_answer", "repeats_then_acknowledges")
	s.faults("twilio", rule{Op: "callback", Kind: "reorder", Probability: &half, Seed: 7}, rule{Op: "callback", Kind: "duplicate"},
		rule{Op: "voice", Kind: "duplicate"})
	s.faults("sendgrid", rule{Op: "callback", Kind: "duplicate", Times: 2}, rule{Op: "callback", Kind: "reorder", Times: 2})
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.awaitAcknowledgement()
	s.wantCalls(2, 1, 1) // the busy one is tried again, once
	s.wantMails(notify.PurposePublished)
	if n := len(eventsOf[*incident.ContactCalled](s)); n != 4 {
		t.Errorf("%d calls are in the event log, want 4%s", n, s.eventList())
	}
	if n := len(eventsOf[*incident.AcknowledgedBy](s)); n != 1 {
		t.Errorf("%d acknowledgements, want 1", n)
	}
	if n := len(eventsOf[*incident.CallRoundEnded](s)); n != 1 {
		t.Errorf("the round ended %d times", n)
	}
}

func TestReportsWithAWrongSignatureChangeNothing(t *testing.T) {
	s := newScene(t, 1)
	s.setPhonePersonas("silent", "silent", "silent") // nobody else acknowledges meanwhile
	s.open(models.SeverityCritical)
	s.assess()
	s.publish()
	s.wantMails(notify.PurposePublished)
	s.await("the first contact's phone to ring", func() (bool, error) { return s.isBeingCalled(0), nil })
	ringing := s.callsTo(0)[0]
	client := s.contacts[0].ClientID.String()
	token := hookToken(t, s, ringing)
	form := "CallSid=" + ringing.Sid + "&CallStatus=completed&Digits=1&SequenceNumber=9&AccountSid=AC0&To=x&From=y"
	event := `[{"event":"bounce","sg_event_id":"` + uuid.NewString() + `","timestamp":1,"mdr_client_id":"` + client + `","mdr_delivery_id":"` + s.deliveries()[0].ID.String() + `"}]`
	for path, body := range byName(map[string]string{
		"/hooks/twilio/voice/" + client + "/" + token: form, "/hooks/twilio/key/" + client + "/" + token + "?n=1": form,
		"/hooks/twilio/status/" + client + "/" + token: form, "/hooks/sendgrid/events": event,
	}) {
		for _, signature := range []string{"", "bm90IGEgc2lnbmF0dXJl"} {
			if status := postCallback(t, path, body, signature); status != http.StatusForbidden {
				t.Errorf("the API answered %s with the signature %q with %d, want 403", path, signature, status)
			}
		}
	}
	i := s.current()
	if i.Acknowledged != nil || len(i.Tasks) != 0 {
		t.Errorf("an unsigned report acknowledged the incident or opened a task: %+v %+v", i.Acknowledged, i.Tasks)
	}
	for _, d := range s.deliveries() {
		if d.VendorState == "bounce" || d.Outcome == string(notify.OutcomeAcknowledged) {
			t.Errorf("an unsigned report changed the delivery %s", d.Key)
		}
	}
	s.send(s.responder, &incident.Acknowledge{Revision: 1})
}

// hookToken returns the secret part of the address to which the carrier reports about a call.
func hookToken(t *testing.T, s *scene, c call) string {
	t.Helper()
	var e struct {
		Calls map[string][]struct{ Sid, URL string }
	}
	s.effects("twilio", &e)
	for _, known := range e.Calls[c.To] {
		if known.Sid == c.Sid {
			return known.URL[strings.LastIndex(known.URL, "/")+1:]
		}
	}
	t.Fatal("the carrier does not know the call")
	return ""
}

// postCallback posts a body to a hook with a signature, or without one, and returns the HTTP status.
func postCallback(t *testing.T, path, body, signature string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, system.Dev.App+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if signature != "" {
		req.Header.Set("X-Twilio-Signature", signature)
		req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", signature)
		req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", time.Now().UTC().Format("20060102"))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
