package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/authority"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// addOwnPhone lets the analyst add a contact with an own phone, verify it, and become the first to be called.
func (s *scene) addOwnPhone() (c models.Contact) {
	s.t.Helper()
	phone := fmt.Sprintf("+49151%08d", s.number)
	s.steer("twilio", "personas", map[string]any{"personas": map[string]string{phone: "silent"}})
	path := s.clientPath("/contacts")
	s.post(s.analyst, path, map[string]any{
		"name": "Third", "language": "en", "order": 0, "phone": phone,
		"severities": models.Severities(), "channels": []models.Channel{models.ChannelVoice},
	}, &c)
	path += "/" + c.ID.String()
	s.post(s.analyst, path+"/verify-channel", map[string]any{"channel": models.ChannelVoice}, nil)
	var code string
	s.await("the code", func() (bool, error) {
		code = s.codeFor(models.ChannelVoice, c)
		return code != "", nil
	})
	if status := s.post(s.analyst, path+"/confirm-channel", map[string]any{"channel": models.ChannelVoice, "code": code}, &c); status != http.StatusOK {
		s.t.Fatalf("the analyst's own phone is not verified: %d", status)
	}
	s.contacts = append(s.contacts, c)
	return c
}

// presses lets the person at the other end of a call press a key, as the carrier reports it.
func (s *scene) presses(c call, query, digit string) {
	s.t.Helper()
	setting := map[string]string{}
	for _, line := range system.Env() {
		name, value, _ := strings.Cut(line, "=")
		setting[name] = value
	}
	client := s.contacts[0].ClientID.String()
	path := "/hooks/twilio/key/" + client + "/" + hookToken(s.t, s, c) + query
	form := url.Values{"CallSid": {c.Sid}, "CallStatus": {"in-progress"}, "Digits": {digit}, "AccountSid": {setting["TWILIO_ACCOUNT_SID"]}}
	text := system.Dev.App + path
	for _, k := range slices.Sorted(maps.Keys(form)) {
		text += k + form.Get(k)
	}
	mac := hmac.New(sha1.New, []byte(setting["TWILIO_AUTH_TOKEN"]))
	mac.Write([]byte(text))
	if status := postCallback(s.t, path, form.Encode(), base64.StdEncoding.EncodeToString(mac.Sum(nil))); status != http.StatusOK {
		s.t.Errorf("the key press was answered with %d", status)
	}
}

// An analyst who adds an own phone does not approve what they ask for, whatever an admin of the client is made to
// confirm. When the phone rings because somebody else asked, the admin's last word counts, not the first.
func TestAnAnalystsOwnPhoneApprovesNothing(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.signAuthority(authority.DecideAsk)
	own := s.addOwnPhone()
	mine := len(s.contacts) - 1
	path := s.clientPath("/contacts/" + own.ID.String())
	began := len(s.callsTo(mine))
	noApprover := func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNoApprover)) == 1 }

	s.askAboutIsolation()
	s.until("a task that nobody may approve", noApprover)
	s.post(s.admin, path+"/confirm-approver", map[string]any{"phone": own.Phone, "email": own.Email}, nil)
	s.send(s.analyst, &incident.CompleteTask{Task: openTasks(s.current(), incident.TaskNoApprover)[0].ID})
	s.until("the same task again", noApprover)
	if n := len(s.callsTo(mine)); n != began {
		t.Errorf("the analyst's own phone was called %d times about an isolation that the analyst asked for", n-began)
	}
	s.send(s.responder, &incident.Deny{Approval: "a1", Reason: "We know this device."})

	s.open(models.SeverityMedium)
	s.assess()
	s.publish()
	s.send(s.lead, &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."})
	s.await("the phone to ring for the lead's request", func() (bool, error) { return len(s.callsTo(mine)) > began, nil })
	s.post(s.admin, path+"/revoke-approver", nil, nil)
	ringing := s.callsTo(mine)[began]
	s.presses(ringing, "?n=1&stage=1", "1")
	s.until("the acknowledgement", func(i incident.Incident) bool { return i.Acknowledged != nil })
	s.presses(ringing, "?n=1&stage=2", "1")
	s.await("the refusal", func() (bool, error) {
		for _, d := range eventsOf[*incident.CommandRejected](s) {
			if d.Command == "approve" && d.By == models.ContactActor(own.ID) {
				return true, nil
			}
		}
		return false, nil
	})
	if i := s.current(); len(i.Endpoints[0].Approval.Given) != 0 || i.Acknowledged.By != models.ContactActor(own.ID) {
		t.Errorf("the approval is %+v, acknowledged by %+v", i.Endpoints[0].Approval, i.Acknowledged.By)
	}
	if got := s.actions(); len(got) != 0 {
		t.Errorf("the EDR carried out %v", got)
	}
}
