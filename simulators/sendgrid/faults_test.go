package sendgrid

import (
	"strconv"
	"testing"
	"time"
)

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
			w.Fault(w.SendGridURL, `{"op":"send_mail","kind":"`+kind+`","times":1,"delay_ms":5}`)
			if a := w.sendMail(nil); (a.Err == nil) != c.answered {
				t.Errorf("answer: %+v", a)
			}
			if got := len(w.mailsTo(testRecipient)) == 1; got != c.happens {
				t.Errorf("happened: %v", got)
			}
			if e := w.Journal(w.SendGridURL); len(e) != 1 || e[0].Status != c.status || e[0].Fault != kind {
				t.Errorf("journal: %+v", e)
			}
			if a := w.sendMail(nil); a.Status != 202 {
				t.Errorf("the fault must be used up: %+v", a)
			}
		})
	}
}

func TestSendGridLimitsTheRate(t *testing.T) {
	w := newWorld(t)
	w.Fault(w.SendGridURL, `{"op":"*","kind":"status","status":429,"times":1}`)
	a := w.sendMail(nil)
	reset, err := strconv.ParseInt(a.Head.Get("X-Ratelimit-Reset"), 10, 64)
	left := time.Until(time.Unix(reset, 0))
	if a.Status != 429 || err != nil || left < -time.Second || left > time.Minute || a.Get("errors", "message") == nil {
		t.Errorf("%d %v %s", a.Status, a.Head, a.Body)
	}
}

func TestNobodyWritesTextsThroughSendGrid(t *testing.T) {
	w := newWorld(t)
	if a := w.Do("POST", w.SendGridURL+"/_sim/text", "application/json", `{"from":"+4930123456","body":"x"}`); a.Status != 400 {
		t.Errorf("texts by mail: %d", a.Status)
	}
}
