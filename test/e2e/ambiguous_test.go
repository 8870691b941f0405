package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	simstage "github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The vendors carry out every request, and their answer is lost, late, an error or cut in half.
func TestALostAnswerOfAVendorDoesNothingTwice(t *testing.T) {
	s := newScene(t, 0)
	s.setPhonePersonas("no_answer", "no_answer", "acknowledges")
	once := func(op, kind string) rule { return rule{Op: op, Kind: kind, Times: 1} }
	late := func(op string) rule { return rule{Op: op, Kind: "late", DelayMS: 2300, Times: 1} } // longer than the product's timeout
	s.faults("sendgrid", once("send_mail", "reset_after"), late("send_mail"), once("send_mail", "status_after"))
	s.faults("twilio", once("place_call", "reset_after"), late("place_call"), once("place_call", "truncate"))
	s.faults("crowdstrike", once("device_action", "reset_after"), late("device_action"))
	s.open(models.SeverityCritical)
	s.assess()
	s.isolate()
	s.publish()
	s.awaitContainment(incident.ContainmentContained)
	s.awaitAcknowledgement()
	s.settleAndRelease()
	s.closeIncident()
	s.wantMails(notify.PurposePublished, notify.PurposeClosed)
	s.wantCalls(1, 1, 1)
	s.wantActions("contain", "lift_containment")
	if tasks := s.current().Tasks; slices.ContainsFunc(tasks, func(t incident.Task) bool { return !t.Done }) {
		t.Errorf("some tasks stay open: %+v", tasks)
	}
}

// The answer about a mail is lost, and then nobody works for longer than look-ups may take. The first look-up after
// that fails. The mail is looked up again, and not sent again.
func TestOneFailedLookUpAfterAnOutageRepeatsNoMail(t *testing.T) {
	s := newScene(t, 0)
	lastWorker().Stop()
	s.startWorker() // which has not turned away from SendGrid because of what failed before
	s.retry = true
	s.open(models.SeverityHigh)
	s.assess()
	silent := rule{Op: "callback", Kind: "drop"} // a report would tell of the mail
	failing := rule{Op: "logs", Kind: "status", Status: http.StatusServiceUnavailable, Holds: string(s.ref)}
	s.faults("sendgrid", rule{Op: "send_mail", Kind: "reset_after", Holds: string(s.ref), Times: 1}, silent, failing)
	s.publish()
	c := temporal(t)
	s.await("the lost answer about a mail, and those about the others", func() (bool, error) {
		d, err := c.DescribeWorkflowExecution(t.Context(), s.ref.WorkflowID(), "")
		pending := d.GetPendingActivities()
		return len(pending) == 1 && pending[0].GetLastFailure() != nil && s.mailsAccepted() == len(s.contacts)-1, err
	})
	s.killWorker()
	printProgress("  an hour passes")
	began := time.Now()
	runSQL(t, system.OwnerURL(), "update effects set planned_at = planned_at - interval '1 hour', attempt_at = attempt_at - interval '1 hour' where incident = $1", s.ref)
	failing.Times = 1
	s.steer("sendgrid", "faults", map[string]any{"clear": true, "rules": []rule{silent, failing}})
	s.startWorker()
	s.await("every mail to be accepted", func() (bool, error) { return s.mailsAccepted() == len(s.contacts), nil })
	s.wantMails(notify.PurposePublished)
	entries, err := system.Dev.Journal(t.Context(), "sendgrid")
	if err != nil {
		t.Fatal(err)
	}
	var lookups []int
	for _, e := range entries {
		if e.Path == "/v3/logs" && e.At.After(began) && strings.Contains(e.Body, string(s.ref)) {
			lookups = append(lookups, e.Status)
		}
	}
	if !slices.Equal(lookups, []int{http.StatusServiceUnavailable, http.StatusOK}) {
		t.Errorf("the look-ups after the outage were answered with %v, want one failure and one success", lookups)
	}
}

// mailsAccepted counts the mails about the incident that a mailer accepted, as far as the ledger knows.
func (s *scene) mailsAccepted() (n int) {
	s.t.Helper()
	for _, d := range s.deliveries() {
		if d.Kind == notify.EffectMail && d.State == notify.EffectAccepted {
			n++
		}
	}
	return n
}

// Somebody else who shares our account at the carrier calls a contact 250 times, around a call of ours whose answer is
// lost. Of two such calls the carrier never got one, which is placed again, and did get the other, which is found. No
// call of the stranger is taken for either.
func TestALostCallIsToldFromAStrangers(t *testing.T) {
	patient := func(p *models.Policy) { p.TellAfter = models.Duration(patience) } // calls tell whose they are after 45 seconds
	missing, placed := newClientScene(t, patient), newClientScene(t, patient)
	placed.setPhonePersonas("no_answer") // a key would tell whose call it is
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(elsewhere.Close)
	placed.faults("twilio", rule{Op: "callback", Kind: "missign"}) // and so would a report
	both, fault := []*scene{missing, placed}, map[*scene]string{missing: "reset_before", placed: "reset_after"}
	for _, s := range both {
		s.open(models.SeverityCritical)
		s.assess()
		s.strangerCalls(elsewhere.URL, 100)
		s.faults("twilio", rule{Op: "place_call", Kind: fault[s], Holds: url.QueryEscape(s.contacts[0].Phone), Times: 1})
		s.publish()
	}
	for _, s := range both {
		s.await("our call", func() (bool, error) { return s.wasAsked(fault[s]) })
		s.strangerCalls(elsewhere.URL, 150)
	}
	took := elapsed(func() {
		for _, s := range both {
			s.await("the call to be known", func() (bool, error) { return s.firstCall().State == notify.EffectAccepted, nil })
		}
	})
	printProgress("  both calls are known after %s", took.Round(100*time.Millisecond))
	placed.clearFaults("twilio")
	missing.awaitAcknowledgement()
	for _, s := range both {
		s.wantCalls(1)
		if ours, taken := s.callsTo(0), s.firstCall().VendorID; len(ours) == 1 && ours[0].Sid != taken {
			t.Errorf("%s: our call is %s, and %s was taken for it", s.ref, ours[0].Sid, taken)
		}
	}
}

// strangerCalls lets somebody else who shares our account at the carrier call the first contact n times. The carrier
// reports to their address.
func (s *scene) strangerCalls(address string, n int) {
	s.t.Helper()
	setting := map[string]string{}
	for _, line := range system.Env() {
		name, value, _ := strings.Cut(line, "=")
		setting[name] = value
	}
	account := setting["TWILIO_ACCOUNT_SID"]
	form := url.Values{
		"To": {s.contacts[0].Phone}, "From": {setting["TWILIO_FROM"]}, "Url": {address + "/voice"}, "StatusCallback": {address + "/status"}, "Timeout": {"5"},
	}.Encode()
	var calls errgroup.Group
	calls.SetLimit(8)
	for range n {
		calls.Go(func() error {
			req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost,
				system.Dev.Simulators["twilio"]+"/2010-04-01/Accounts/"+account+"/Calls.json", strings.NewReader(form))
			if err != nil {
				return err
			}
			req.SetBasicAuth(account, setting["TWILIO_AUTH_TOKEN"])
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusCreated {
				return fmt.Errorf("place a call: %s %w", res.Status, err)
			}
			return nil
		})
	}
	if err := calls.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// firstCall returns the delivery that is the first call about the incident, or a zero one.
func (s *scene) firstCall() notify.Delivery {
	s.t.Helper()
	for _, d := range s.deliveries() {
		if d.Kind == notify.EffectCall && d.Contact == s.contacts[0].ID {
			return d
		}
	}
	return notify.Delivery{}
}

// wasAsked reports whether the carrier was asked to call the first contact, and the answer was lost.
func (s *scene) wasAsked(fault string) (bool, error) {
	entries, err := system.Dev.Journal(s.t.Context(), "twilio")
	return slices.ContainsFunc(entries, func(e simstage.Entry) bool {
		return e.Fault == fault && e.Method == http.MethodPost && strings.Contains(e.Body, url.QueryEscape(s.contacts[0].Phone))
	}), err
}
