package simulators

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func (w *world) fault(base, rule string) {
	w.t.Helper()
	w.steer(base, "faults", `{"clear":true,"rules":[`+rule+`]}`)
}

func TestFaultsBeforeAndAfterTheEffect(t *testing.T) {
	for kind, c := range map[string]struct {
		happens, answered bool
		status            int // in the journal
	}{
		"refuse": {false, false, 0}, "reset_before": {false, false, 0}, "reset_after": {true, false, 202},
		"status": {false, true, 500}, "status_after": {true, true, 500},
		"slow": {true, true, 202}, "late": {true, true, 202}, "empty": {true, true, 202},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fault(w.SendGridURL, `{"op":"send_mail","kind":"`+kind+`","times":1,"delay_ms":5}`)
			if a := w.mail(nil); (a.err == nil) != c.answered {
				t.Errorf("answer: %+v", a)
			}
			if got := len(w.mails(testRecipient)) == 1; got != c.happens {
				t.Errorf("happened: %v", got)
			}
			if e := w.journal(w.SendGridURL); len(e) != 1 || e[0].Status != c.status || e[0].Fault != kind {
				t.Errorf("journal: %+v", e)
			}
			if a := w.mail(nil); a.status != 202 {
				t.Errorf("the fault must be used up: %+v", a)
			}
		})
	}
}

func TestResetAfterCommitsEverywhere(t *testing.T) {
	w := newWorld(t)
	w.fault(w.TwilioURL, `{"op":"place_call","kind":"reset_after"}`)
	w.fault(w.CrowdStrikeURL, `{"op":"device_action","kind":"reset_after"}`)
	if a := w.place(nil); a.err == nil {
		t.Errorf("answered %d", a.status)
	}
	if call := w.ended(0); call.Status != "completed" {
		t.Errorf("call: %+v", call)
	}
	w.login()
	id := w.agent("PC-1")
	if a := w.command("contain", id); a.err == nil {
		t.Errorf("answered %d", a.status)
	}
	w.until("it is contained all the same", func() bool { return w.hostState(id) == "contained" })
}

func TestTruncatedAnswersBreakOff(t *testing.T) {
	w := newWorld(t)
	w.fault(w.TwilioURL, `{"op":"place_call","kind":"truncate"}`)
	a := w.place(nil)
	if a.err == nil || a.status != 201 || len(a.body) == 0 || a.get("sid") != nil {
		t.Errorf("%d %q %v", a.status, a.body, a.err)
	}
	if len(w.calls()) != 1 {
		t.Error("the call must have been placed")
	}
}

func TestRateLimitsInEachVendorsForm(t *testing.T) {
	w := newWorld(t)
	w.login()
	rule := `{"op":"*","kind":"status","status":429,"times":1}`
	for _, base := range []string{w.TwilioURL, w.SendGridURL, w.CrowdStrikeURL} {
		w.fault(base, rule)
	}
	call, mail, host := w.place(nil), w.mail(nil), w.falcon("GET", "/devices/queries/devices/v1", "")
	if call.status != 429 || call.get("code") != 20429.0 || call.head.Get("Retry-After") != "1" {
		t.Errorf("twilio: %d %v %s", call.status, call.head, call.body)
	}
	if mail.status != 429 || !soon(mail.head.Get("X-Ratelimit-Reset")) || mail.get("errors", "message") == nil {
		t.Errorf("sendgrid: %d %v %s", mail.status, mail.head, mail.body)
	}
	if host.status != 429 || !soon(host.head.Get("X-Ratelimit-Retryafter")) || host.get("errors", "code") != 429.0 {
		t.Errorf("crowdstrike: %d %v %s", host.status, host.head, host.body)
	}
}

func soon(epoch string) bool {
	n, err := strconv.ParseInt(epoch, 10, 64)
	left := time.Until(time.Unix(n, 0))
	return err == nil && left > -time.Second && left < time.Minute
}

func TestOwnBodyAndHeaders(t *testing.T) {
	w := newWorld(t)
	w.fault(w.TwilioURL, `{"op":"list_calls","kind":"status","status":503,"body":"<html>proxy</html>","headers":{"Retry-After":"7"}}`)
	a := w.do("GET", w.callsURL()+".json", "", "", asAccount)
	if a.status != 503 || string(a.body) != "<html>proxy</html>" || a.head.Get("Content-Type") != "text/html" || a.head.Get("Retry-After") != "7" {
		t.Errorf("%d %v %s", a.status, a.head, a.body)
	}
	if call := w.place(nil); call.status != http.StatusCreated {
		t.Errorf("another operation is not concerned: %d", call.status)
	}
}

func TestProbabilityIsRepeatable(t *testing.T) {
	draw := func(seed uint64) string {
		var f Faults
		half := 0.5
		f.add([]Rule{{Op: "*", Kind: FaultStatus, Probability: &half, Seed: seed}})
		var b strings.Builder
		for range 64 {
			_, hit := f.UseRule(opSendMail)
			fmt.Fprint(&b, map[bool]int{true: 1}[hit])
		}
		return b.String()
	}
	first, again, other := draw(7), draw(7), draw(8)
	if hits := strings.Count(first, "1"); first != again || first == other || hits < 16 || hits > 48 {
		t.Errorf("draws: %s %s %s", first, again, other)
	}
}
