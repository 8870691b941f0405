package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/store"
)

// world is one run: a stack, the processes that are broken, and the incidents that live meanwhile.
type world struct {
	t      *testing.T
	plan   plan
	began  time.Time
	stack  *stack.Stack
	engine *observability.Engine
	store  *store.Store
	parts  []*part
	lives  []*life
	scenes scenes
	told   map[string]bool // drift tasks that the SOC completed, by reference and task
	dir    string
	calm   chan struct{} // closed when nothing breaks any more

	supervised sync.WaitGroup
	starting   sync.Mutex // the stack starts one process at a time
}

// newWorld builds the product, starts the stack and steers the vendors.
func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "watchfire-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, plan: p, began: time.Now(), dir: dir, calm: make(chan struct{}), told: map[string]bool{}}
	t.Cleanup(w.cleanUp)
	binary := filepath.Join(dir, "watchfire")
	w.say("seed %d: %d incidents, %s, without %v", p.seed, p.incidents, p.window, p.without)
	if err := build(t.Context(), dir, binary, p.mutation); err != nil {
		t.Fatal(err)
	}
	w.stack, err = stack.Start(t.Context(), stack.Options{
		Dir: dir, Binary: binary, Pace: 0.05, Policy: fastPolicy(), Workers: 2,
		VendorTimeout: vendorTimeout, Settle: settle, EDRWorstDelay: worstDelay, EDRPollEvery: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatalf("the stack did not start: %v", err)
	}
	t.Cleanup(w.stack.Stop)
	codes, err := w.stack.Codes()
	if err != nil {
		t.Fatal(err)
	}
	if w.store, err = store.Open(t.Context(), w.stack.AppURL(), store.Options{MaxConns: 4, Codes: codes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.engine, err = w.stack.Engine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.engine.Close)
	var contacts []models.Contact
	for _, c := range w.stack.Dev.Clients {
		contacts = append(contacts, c.Contacts...)
	}
	w.steer("twilio", "personas", map[string]any{"sequence": p.personas(contacts)})
	return w
}

// say prints a line of progress, because these tests take minutes.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "chaos %6.1fs  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// steer sends faults or personas to a simulator.
func (w *world) steer(vendor, what string, body any) {
	w.t.Helper()
	if err := w.stack.Dev.Steer(context.WithoutCancel(w.t.Context()), vendor, what, body); err != nil {
		w.t.Fatal(err)
	}
}

// keepRecords writes beside the logs what the vendors received, and the events and the ledger of each incident.
func (w *world) keepRecords(ctx context.Context) {
	for vendor := range w.plan.faults() {
		entries, err := w.stack.Dev.Journal(ctx, vendor)
		w.keep(vendor, entries, err)
	}
	for _, l := range w.lives {
		ref := l.reference()
		if ref == "" {
			continue
		}
		var read incident.Incident
		err := l.analyst.Get(ctx, "/incidents/"+string(ref), &read)
		events, ledger, broken := w.readStore(ctx, read.ClientID, ref)
		w.keep(string(ref), map[string]any{"events": events, "ledger": ledger}, errors.Join(err, broken))
	}
}

// keep writes a record beside the logs, unless it could not be read.
func (w *world) keep(name string, record any, err error) {
	if err == nil {
		var raw []byte
		if raw, err = json.MarshalIndent(record, "", " "); err == nil {
			err = os.WriteFile(filepath.Join(w.dir, "logs", name+".json"), raw, 0o600)
		}
	}
	if err != nil {
		w.say("the record of %s is not kept: %v", name, err)
	}
}

// cleanUp removes all data, or, after a failure, all but the logs, and tells where they are.
func (w *world) cleanUp() {
	err := devstack.RemovePostgres(filepath.Join(w.dir, "postgres"))
	if w.t.Failed() {
		w.say("logs and records are kept in %s", filepath.Join(w.dir, "logs"))
	} else {
		err = errors.Join(err, os.RemoveAll(w.dir))
	}
	if err != nil {
		w.say("%v", err)
	}
}

// fastPolicy returns the policy of the seeded clients, whose minutes are seconds.
func fastPolicy() models.Policy {
	p := models.DefaultPolicy()
	p.RingFor = models.Duration(8 * time.Second) // of simulated time: less than half a second
	p.BusyAgainAfter, p.BusyTries = models.Duration(time.Second), 1
	p.Rounds, p.RoundEvery, p.SlowRoundEvery = 2, models.Duration(time.Second), models.Duration(3*time.Second)
	p.TellAfter, p.TryAgainEvery = models.Duration(10*time.Second), models.Duration(time.Second)
	p.WatchReleases = models.Duration(30 * time.Second) // looks after half a second, 2.5, 7.5 and 30
	p.IsolationsPer10Min = 1000
	return p
}

// build builds the product into binary, with a mutation ("" for none).
func build(ctx context.Context, dir, binary, mutation string) error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	if err := statSources(root); err != nil {
		return err
	}
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if mutation != "" {
		overlay, err := overlayOf(root, dir, mutation)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/watchfire")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// statSources stats every source of the product: the go command cannot know that the test builds a program of it, but
// it does not reuse the result of an earlier run when a file that the test has stated has changed.
func statSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "out"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".sql"):
			_, err = os.Stat(path)
		}
		return err
	})
}

// overlayOf writes the sources that a mutation changes and the file that tells the go command of them.
func overlayOf(root, dir, mutation string) (string, error) {
	replaced := map[string]string{}
	for n, m := range mutations()[mutation] {
		path := filepath.Join(root, m.file)
		from := path
		if changed, ok := replaced[path]; ok {
			from = changed
		}
		source, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if strings.Count(string(source), m.text) != 1 {
			return "", fmt.Errorf("the text that the mutation %q replaces is not found once in %s: adapt the mutation to the code:\n%s", mutation, m.file, m.text)
		}
		changed := filepath.Join(dir, fmt.Sprintf("mutated-%d.go", n))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.text, m.with, 1)), 0o600); err != nil {
			return "", err
		}
		replaced[path] = changed
	}
	if len(replaced) == 0 {
		return "", fmt.Errorf("there is no mutation %q", mutation)
	}
	raw, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}
