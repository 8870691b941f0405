package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
)

// The operator's own address and number, of no client.
const (
	operatorMail = "operator@provider.example"
	operatorText = "+491713920099"
)

// bulletins returns the texts of the mails and of the short messages that the operator got.
func (s *scene) bulletins() map[string][]string {
	s.t.Helper()
	var sent struct{ Texts map[string][]shortMessage }
	s.effects("twilio", &sent)
	all := map[string][]string{"mail": s.mailTextsTo(models.Contact{Email: operatorMail}), "text": nil}
	for _, m := range sent.Texts[operatorText] {
		all["text"] = append(all["text"], m.Body)
	}
	return all
}

// told counts the bulletins over a channel that hold some words.
func (s *scene) told(channel, words string) (n int) {
	s.t.Helper()
	line := regexp.MustCompile(regexp.QuoteMeta(words) + `(\S+ \S+ UTC)`)
	for _, text := range s.bulletins()[channel] {
		for _, found := range line.FindAllStringSubmatch(text, -1) {
			at, err := time.Parse("2006-01-02 15:04:05 MST", found[1])
			if err != nil {
				s.t.Fatal(err)
			}
			if at.After(s.began) { // else it is about an alarm of an earlier test
				n++
			}
		}
	}
	return n
}

// Temporal is down, one of two workers stands still, and no mailer answers: the operator is told over every channel that
// works at once, over the others when they work again, and once of each beginning and end.
func TestTheOperatorIsToldOfEachAlarmOnceOverEveryChannel(t *testing.T) {
	s := newScene(t, 0)
	s.t.Cleanup(func() { // the variables are unset by then
		system.API.Kill()
		s.startAPI(context.WithoutCancel(t.Context()))
	})
	t.Setenv("WATCHFIRE_OPERATOR_MAIL", operatorMail)
	t.Setenv("WATCHFIRE_OPERATOR_TEXT", operatorText)
	system.API.Stop()
	s.startAPI(t.Context())
	stopped := lastWorker()
	s.startWorker()
	s.await("the system to be ready", func() (bool, error) { return strings.HasPrefix(readiness(t), "200"), nil })
	s.faults("sendgrid", rule{Op: "*", Kind: "refuse"})
	s.faults("smtp", rule{Op: "*", Kind: "refuse"})
	printProgress("  one of two workers is stopped, Temporal and the mailers are down")
	signalProcess(t, stopped.PID(), syscall.SIGSTOP)
	t.Cleanup(func() { signalProcess(t, stopped.PID(), syscall.SIGCONT) })
	system.Temporal.Kill()
	s.awaitAlarm(models.AlarmEngineDown, "temporal")
	var lost string
	s.await("the alarm about the worker", func() (bool, error) {
		var page struct{ Items []models.Alarm }
		err := s.operator.Get(t.Context(), "/operator/alarms", &page)
		n := slices.IndexFunc(page.Items, func(a models.Alarm) bool { return a.Kind == models.AlarmWorkerLost && a.LastSeen.After(s.began) })
		if n >= 0 {
			lost = page.Items[n].Subject
		}
		return n >= 0, err
	})
	if answer := readiness(t); !strings.Contains(answer, "503") || !strings.Contains(answer, `"alarms":"failing"`) {
		t.Errorf("/readyz answers %s while alarms are open", answer)
	}
	alarms := map[models.AlarmKind]string{models.AlarmEngineDown: "temporal", models.AlarmWorkerLost: lost}
	for kind, subject := range alarms {
		words := line(kind, subject) + ", since "
		s.await("the bulletins about "+subject, func() (bool, error) {
			begun, _ := operator.about(kind, subject, s.began)
			return begun > 0 && s.told("text", words) > 0, nil
		})
	}
	for kind, subject := range alarms {
		if n := s.told("mail", line(kind, subject)+", since "); n != 0 {
			t.Errorf("%d mails about %s went out while no mailer answered", n, subject)
		}
	}
	s.clearFaults("sendgrid", "smtp")
	for kind, subject := range alarms {
		s.await("the mail about "+subject, func() (bool, error) { return s.told("mail", line(kind, subject)+", since ") > 0, nil })
	}
	if err := system.Temporal.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	signalProcess(t, stopped.PID(), syscall.SIGCONT)
	for kind, subject := range alarms {
		s.awaitAlarmEnded(kind, subject)
		for channel := range s.bulletins() {
			ended := line(kind, subject) + ", ended "
			s.await("the "+channel+" about the end of "+subject, func() (bool, error) { return s.told(channel, ended) > 0, nil })
		}
	}
	for kind, subject := range alarms {
		for channel, all := range s.bulletins() {
			begun, ended := s.told(channel, line(kind, subject)+", since "), s.told(channel, line(kind, subject)+", ended ")
			if begun != 1 || ended != 1 {
				t.Errorf("the operator was told by %s %d times of the alarm %s and %d times of its end, want once each: %q", channel, begun, kind, ended, all)
			}
		}
	}
	s.await("the system to be ready again", func() (bool, error) { return strings.HasPrefix(readiness(t), "200"), nil })
}

// line is how a bulletin names an alarm.
func line(kind models.AlarmKind, subject string) string {
	return fmt.Sprintf("%s %s", strings.ReplaceAll(string(kind), "_", " "), subject)
}
