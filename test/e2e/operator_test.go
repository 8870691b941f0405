package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// logOf returns the log of a process of the product.
func logOf(t *testing.T, name string) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(filepath.Dir(product), "logs", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// SendGrid refuses our key, and the other mailer takes every mail: nobody would notice, if the incident and the operator
// were not told. Both know when SendGrid takes mails again.
func TestAMailerThatRefusesOurKeyShowsWhileTheOtherWorks(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.faults("sendgrid", rule{Op: "send_mail", Kind: "status", Status: 401})
	s.open(models.SeverityHigh)
	s.assess()
	s.publish()
	s.until("the task about the mailer", func(i incident.Incident) bool {
		open := openTasks(i, incident.TaskConfig)
		return len(open) == 1 && strings.Contains(open[0].Detail, "sendgrid")
	})
	s.awaitAlarm(models.AlarmMailerRefuses, "sendgrid")
	s.await("/readyz to say that an alarm is open", func() (bool, error) { return strings.Contains(readiness(t), `"alarms":"failing"`), nil })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, system.Dev.Ops+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !strings.Contains(string(page), `watchfire_operator_alarms{kind="mailer_refuses"} 1`) {
		t.Error("the metrics do not count the alarm")
	}
	s.clearFaults("sendgrid")
	var last time.Time
	s.await("a mail that SendGrid takes again", func() (bool, error) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			s.send(s.analyst, &incident.Revise{Change: "It goes on.", Material: true})
		}
		return len(openTasks(s.current(), incident.TaskConfig)) == 0, nil
	})
	s.awaitAlarmEnded(models.AlarmMailerRefuses, "sendgrid")
}

// A worker that starts before Temporal waits for it, and works once it is there.
func TestAWorkerWaitsForTemporal(t *testing.T) {
	s := newScene(t, 0)
	s.open(models.SeverityLow)
	system.Temporal.Kill()
	s.startWorker()
	name := fmt.Sprintf("worker-%d", len(system.Workers))
	s.await("the worker to wait", func() (bool, error) { return strings.Contains(logOf(t, name), "the worker waits for Temporal"), nil })
	if err := system.Temporal.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await("the worker to work", func() (bool, error) { return strings.Contains(logOf(t, name), "the worker takes tasks"), nil })
	select {
	case <-lastWorker().Done():
		t.Fatal("the worker ended")
	default:
	}
	for _, w := range system.Workers[:len(system.Workers)-1] {
		w.Stop()
	}
	s.assess()
	s.publish()
	for _, process := range []string{"api", "worker-1", name} {
		for line := range strings.Lines(logOf(t, process)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("the log of %s has the line %q", process, line)
			}
		}
	}
}
