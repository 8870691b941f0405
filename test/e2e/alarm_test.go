package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"

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

// told returns how often an alarm stands in the bulletins over a channel: as one that began, and as one that ended.
func (s *scene) told(channel string, a models.Alarm) (begun, ended int) {
	s.t.Helper()
	named := strings.ReplaceAll(string(a.Kind), "_", " ") + " " + a.Subject
	for _, text := range s.bulletins()[channel] {
		begun += strings.Count(text, named+", since "+a.Since.UTC().Format(stamp))
		if !a.EndedAt.IsZero() {
			ended += strings.Count(text, named+", ended "+a.EndedAt.UTC().Format(stamp))
		}
	}
	return begun, ended
}

// stamp is how bulletins write a moment.
const stamp = "2006-01-02 15:04:05 UTC"

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
	first := map[models.AlarmKind]models.Alarm{}
	for kind, subject := range alarms {
		s.await("the bulletins about "+subject, func() (bool, error) {
			all, err := s.alarms(kind, subject)
			if err != nil || len(all) == 0 {
				return false, err
			}
			first[kind] = all[len(all)-1]
			begun, _ := operator.about(first[kind].ID)
			texted, _ := s.told("text", first[kind])
			return begun > 0 && texted > 0, nil
		})
	}
	for _, a := range first {
		if n, _ := s.told("mail", a); n != 0 {
			t.Errorf("%d mails about %s went out while no mailer answered", n, a.Subject)
		}
	}
	s.clearFaults("sendgrid", "smtp")
	for _, a := range first {
		s.await("the mail about "+a.Subject, func() (bool, error) { n, _ := s.told("mail", a); return n > 0, nil })
	}
	if err := system.Temporal.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	signalProcess(t, stopped.PID(), syscall.SIGCONT)
	for kind, subject := range alarms {
		s.awaitAlarmEnded(kind, subject)
		all, err := s.alarms(kind, subject)
		if err != nil {
			t.Fatal(err)
		}
		for channel, texts := range s.bulletins() {
			oldest := all[len(all)-1]
			s.await("the "+channel+" about the end of "+subject, func() (bool, error) { _, n := s.told(channel, oldest); return n > 0, nil })
			for _, a := range all {
				if begun, ended := s.told(channel, a); begun > 1 || ended > 1 {
					t.Errorf("the operator was told by %s %d times of the alarm %s and %d times of its end, want once each: %q", channel, begun, kind, ended, texts)
				}
			}
		}
	}
	s.await("the system to be ready again", func() (bool, error) { return strings.HasPrefix(readiness(t), "200"), nil })
}
