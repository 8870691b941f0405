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

// addPhone lets the analyst add a contact with a phone, which the analyst verifies. The first one is called before all
// others.
func (s *scene) addPhone(email string) (c models.Contact) {
	s.t.Helper()
	phone := fmt.Sprintf("+49151%07d%d", s.number, len(s.contacts))
	s.steer("twilio", "personas", map[string]any{"personas": map[string]string{phone: "silent"}})
	path := s.clientPath("/contacts")
	s.post(s.analyst, path, ownPhone(phone, email, len(s.contacts)), &c)
	path += "/" + c.ID.String()
	s.post(s.analyst, path+"/verify-channel", map[string]any{"channel": models.ChannelVoice}, nil)
	var code string
	s.await("the code", func() (bool, error) {
		code = s.codeFor(models.ChannelVoice, c)
		return code != "", nil
	})
	if status := s.post(s.analyst, path+"/confirm-channel", map[string]any{"channel": models.ChannelVoice, "code": code}, &c); status != http.StatusOK {
		s.t.Fatalf("the phone is not verified: %d", status)
	}
	s.contacts = append(s.contacts, c)
	s.await("the call with the code to be over", func() (bool, error) { return !s.isBeingCalled(len(s.contacts) - 1), nil })
	return c
}

// ownPhone is the n-th contact of a client whose first two are seeded.
func ownPhone(phone, email string, n int) map[string]any {
	return map[string]any{
		"name": fmt.Sprintf("Contact %d", n+1), "language": "en", "order": n - 2, "phone": phone, "email": email,
		"severities": models.Severities(), "channels": []models.Channel{models.ChannelVoice},
	}
}

// confirmApprover lets the client's admin confirm a contact as approver.
func (s *scene) confirmApprover(c models.Contact) {
	s.t.Helper()
	s.post(s.admin, s.clientPath("/contacts/"+c.ID.String()+"/confirm-approver"), map[string]any{"phone": c.Phone, "email": c.Email}, nil)
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
	own := s.addPhone(fmt.Sprintf("third@client%d.example", s.number))
	mine := len(s.contacts) - 1
	path := s.clientPath("/contacts/" + own.ID.String())
	began := len(s.callsTo(mine))
	noApprover := func(i incident.Incident) bool { return len(openTasks(i, incident.TaskNoApprover)) == 1 }

	s.askAboutIsolation()
	s.until("a task that nobody may approve", noApprover)
	s.confirmApprover(own)
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

// What happens to an approver who has picked up, before they press 1 and 1: the keys approve nothing, which the incident's
// events say, and the next approver is called.
func TestAnApproverWhoLosesTheRightDuringTheCallApprovesNothing(t *testing.T) {
	for name, loss := range byName(map[string]struct {
		happens func(*scene, models.Contact)
		reason  string
	}{
		"is disabled as a user": {func(s *scene, _ models.Contact) { s.disableResponder() }, "disabled"},
		"is reached at another number, which the admin confirms": {func(s *scene, c models.Contact) {
			phone := c.Phone[:len(c.Phone)-1] + "9"
			if err := s.admin.Put(s.t.Context(), s.clientPath("/contacts/"+c.ID.String()), ownPhone(phone, c.Email, 2), &c); err != nil {
				s.t.Fatal(err)
			}
			s.confirmApprover(c)
		}, "not reached any more"},
	}) {
		t.Run(name, func(t *testing.T) {
			s := newClientScene(t, func(*models.Policy) {})
			s.signAuthority(authority.DecideAsk)
			first := s.addPhone(fmt.Sprintf("responder@client%d.example", s.number))
			second := s.addPhone(fmt.Sprintf("second@client%d.example", s.number))
			s.confirmApprover(first)
			s.confirmApprover(second)
			s.setPhonePersonas("no_answer", "no_answer", "approves", "approves")
			s.open(models.SeverityMedium)
			s.assess()
			s.publish()
			s.faults("twilio", rule{Op: "voice", Kind: "delay", DelayMS: 12_000, Times: 1}) // they have picked up and hear nothing yet
			verified := len(s.callsTo(2))
			s.send(s.lead, &incident.Isolate{Hostname: s.host, Reason: "Files are being encrypted."})
			s.await("the approver to pick up", func() (bool, error) {
				calls := s.callsTo(2)[verified:]
				return len(calls) == 1 && calls[0].Answered != nil, nil
			})
			loss.happens(s, first)
			if keys := s.callsTo(2)[verified].Keys; len(keys) != 0 {
				t.Fatalf("%v were pressed before", keys)
			}
			s.awaitContainment(incident.ContainmentContained)
			var refused []string
			for _, d := range eventsOf[*incident.CommandRejected](s) {
				if d.Command == "approve" && d.By == models.ContactActor(first.ID) {
					refused = append(refused, d.Reason)
				}
			}
			if len(refused) != 1 || !strings.Contains(refused[0], loss.reason) {
				t.Errorf("refused are the first one's approvals %q, want one because the contact is %s", refused, loss.reason)
			}
			given := s.current().Endpoints[0].Approval.Given
			if len(given) != 1 || given[0].By != models.ContactActor(second.ID) {
				t.Errorf("the approval is of %+v, want it of the second alone", given)
			}
			if keys := s.callsTo(2)[verified].Keys; len(keys) != 2 {
				t.Errorf("the first pressed %v, want 1 and 1", keys)
			}
			s.wantActions("contain")
			recordHistory(t, "incident-approval", readHistory(t, temporal(t), s.ref.WorkflowID()))
		})
	}
}
