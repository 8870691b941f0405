package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// clockOff is the variable that tells a program of buildWithWrongClock how far off its clock is.
const clockOff = "CLOCK_OFF"

// buildWithWrongClock builds the product with a standard library whose time.Now is off, and changes nothing else. How
// time passes is measured as ever. The first build on a machine takes minutes, because everything is built anew.
func buildWithWrongClock(t *testing.T) (binary string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const now = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n"
	if strings.Count(string(source), now) != 1 {
		t.Fatalf("time.Now of %s is not written as this test expects", runtime.Version())
	}
	wrong := strings.Replace(string(source), now, strings.Replace(now, "\n", "\n\tsec += clockOff\n", 1), 1)
	wrong = strings.Replace(wrong, "import (\n", "import (\n\t\"syscall\"\n", 1) + `
var clockOff = func() int64 {
	text, _ := syscall.Getenv("` + clockOff + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}()
`
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: write("time.go", []byte(wrong))}})
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "watchfire")
	printProgress("  building the product with a wrong clock")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-overlay", write("overlay.json", overlay), "-o", binary, "../../cmd/watchfire")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// setClocks replaces the workers and the API by ones of a binary with a wrong clock, until the test is over.
func (s *scene) setClocks(binary string, worker, api time.Duration) {
	s.t.Helper()
	replace := func(binary string, before func(part string)) {
		ctx := context.WithoutCancel(s.t.Context())
		for _, p := range append([]*devstack.Process{system.API}, system.Workers...) {
			p.Kill()
		}
		system.Use(binary)
		before("worker")
		if err := system.StartWorker(ctx); err != nil {
			s.t.Fatal(err)
		}
		before("api")
		s.startAPI(ctx)
	}
	s.t.Cleanup(func() { replace(product, func(string) {}) }) // the variable is unset by then
	printProgress("  worker %s off, API %s off", worker, api)
	replace(binary, func(part string) {
		s.t.Setenv(clockOff, map[string]time.Duration{"worker": worker, "api": api}[part].String())
	})
}

// startAPI starts the API after it was killed, and waits until it answers.
func (s *scene) startAPI(ctx context.Context) {
	s.t.Helper()
	if err := system.StartAPI(ctx); err != nil {
		s.t.Fatal(err)
	}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx) {
		select {
		case <-system.API.Done():
			s.t.Fatal(system.API.Err())
		case <-tick.C:
		}
	}
}

// answers reports whether the API answers requests.
func answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, system.Dev.App+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	return err == nil
}

// A machine's clock may be wrong by an hour: whatever is ambiguous is still done once, nothing waits for the hour, and
// no time that people read is wrong.
func TestAWrongClockDoesNothingTwiceAndHoldsNothingUp(t *testing.T) {
	binary := buildWithWrongClock(t)
	for name, off := range map[string]struct{ worker, api time.Duration }{
		"the worker's ahead, the API's behind": {worker: time.Hour, api: -time.Hour},
		"the worker's behind, the API's ahead": {worker: -time.Hour, api: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 0)
			codes := s.callerCodes()
			s.setClocks(binary, off.worker, off.api)
			lost := func(op string) rule { return rule{Op: op, Kind: "reset_after", Times: 1} }
			s.setPhonePersonas("no_answer", "no_answer", "acknowledges")
			s.faults("sendgrid", lost("send_mail"))
			s.faults("twilio", lost("place_call"), lost("create_message"))
			if off.worker > 0 { // no report tells of the call either, so that the carrier must be asked, which takes its time
				s.faults("twilio", rule{Op: "callback", Kind: "missign", Times: 4})
			}
			s.faults("crowdstrike", lost("device_action"))
			took := elapsed(func() {
				s.open(models.SeverityCritical)
				s.assess()
				s.send(s.analyst, &incident.Recommend{Text: "Replace the old server."})
				s.isolate()
				s.publish()
				s.awaitContainment(incident.ContainmentContained)
				s.awaitAcknowledgement()
			})
			printProgress("  acknowledged and contained after %s", took.Round(100*time.Millisecond))
			s.send(s.responder, &incident.SettleRecommendation{
				Recommendation: "r2", Outcome: incident.RiskAccepted, Reason: "It is replaced tonight.", ExpiresAt: time.Now().Add(30 * time.Minute).UTC(),
			})
			s.faults("sendgrid", lost("send_mail"))
			s.faults("crowdstrike", lost("device_action"))
			s.settleAndRelease()
			s.closeIncident()
			s.wantMails(notify.PurposePublished, notify.PurposeClosed)
			s.wantCalls(1, 1, 1)
			s.wantActions("contain", "lift_containment")
			if n := len(s.texts()); n != 1 {
				t.Errorf("%d texts were sent, want one", n)
			}
			if tasks := s.current().Tasks; slices.ContainsFunc(tasks, func(t incident.Task) bool { return !t.Done }) {
				t.Errorf("some tasks stay open: %+v", tasks)
			}
			s.wantCanary()
			s.wantTimes()
			s.wantSpoken(append(codes, s.callerCodes()...))
			s.wantAgreement()
		})
	}
}

// callerCodes returns the codes that the API shows now.
func (s *scene) callerCodes() []string {
	s.t.Helper()
	var shown struct{ Code, Previous string }
	if err := s.viewer.Get(s.t.Context(), s.clientPath("/caller-code"), &shown); err != nil {
		s.t.Fatal(err)
	}
	return []string{shown.Code, shown.Previous}
}

// wantSpoken checks that every answered call was proved with one of the codes.
func (s *scene) wantSpoken(codes []string) {
	s.t.Helper()
	for _, c := range s.calls() {
		if c.Answered == nil {
			continue
		}
		said := fmt.Sprint(c.Said)
		if !slices.ContainsFunc(codes, func(code string) bool { return strings.Contains(said, strings.Join(strings.Split(code, ""), " ")) }) {
			s.t.Errorf("a call says none of the codes %v: %s", codes, said)
		}
	}
}

// wantTimes checks that everything that has happened to the incident has happened since the scene began.
func (s *scene) wantTimes() {
	s.t.Helper()
	began, now := s.began.Add(-2*time.Second), time.Now().Add(2*time.Second) // vendors tell whole seconds
	check := func(what string, at time.Time) {
		if at.Before(began) || at.After(now) {
			s.t.Errorf("%s: %s happened at %s, want a time between %s and %s", s.ref, what, at, began, now)
		}
	}
	events, err := s.events()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range events {
		check(string(e.Type), e.At)
	}
	for _, d := range s.deliveries() {
		check("the plan of "+d.Key, d.PlannedAt)
		check("the last change of "+d.Key, d.UpdatedAt)
		for _, report := range d.States {
			check(d.Key+" "+report.State, report.At)
		}
	}
}

// wantCanary waits until the worker that runs has brought a canary workflow to its end.
func (s *scene) wantCanary() {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), system.AppURL(), store.Options{MaxConns: 2})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	s.await("the worker's canary", func() (bool, error) {
		workers, err := db.Workers(s.t.Context())
		return slices.ContainsFunc(workers, func(w models.Process) bool { return w.IsAlive() && w.CanaryAge < w.Age }), err
	})
}
