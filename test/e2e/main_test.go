package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/test/contracts"
)

// system is the one stack that all tests of the package share. The tests run one after the other, because faults, kills
// and journals concern all of them.
var system *stack.Stack

// product is the product's binary.
var product string

var began = time.Now()

// printProgress prints a line of progress, because these tests take minutes.
func printProgress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "e2e %6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "watchfire-e2e-")
	if err != nil {
		printProgress("%v", err)
		return 1
	}
	defer func() { cleanUp(dir, code) }()
	if err := startSystem(ctx, dir); err != nil {
		printProgress("the stack did not start: %v", err)
		return 1
	}
	defer system.Stop()
	code = m.Run()
	if err := checkVendorRequests(ctx); err != nil {
		printProgress("FAIL: %v", err)
		return 1
	}
	return code
}

// statSources stats every source of the product, so that the go command does not reuse the result of an earlier run
// after the product has changed: it cannot know that the tests build and start a program of their own, but it records
// the files that a test stats.
var statSources = sync.OnceValue(func() error {
	return filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "out"):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(path, ".md"):
			return nil
		}
		_, err = os.Stat(path)
		return err
	})
})

// startSystem builds the product and starts the stack.
func startSystem(ctx context.Context, dir string) error {
	product = filepath.Join(dir, "watchfire")
	printProgress("building the product")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", product, "../../cmd/watchfire")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	var err error
	system, err = stack.Start(ctx, stack.Options{
		Dir: dir, Binary: product, Pace: 0.05, Policy: fastPolicy(),
		Settings:      []string{"WATCHFIRE_OPERATOR_WEBHOOK=" + operator.address()},
		VendorTimeout: 2 * time.Second, Settle: 3 * time.Second, EDRPollEvery: 200 * time.Millisecond, EDRWorstDelay: 3 * time.Second,
		Progress: func(line string) { printProgress("starting: %s", line) },
	})
	return err
}

// fastPolicy returns the policy of the seeded clients, whose minutes are seconds.
func fastPolicy() models.Policy {
	p := models.DefaultPolicy()
	p.RingFor = models.Duration(8 * time.Second) // of simulated time: less than half a second
	p.BusyAgainAfter, p.BusyTries = models.Duration(time.Second), 1
	p.Rounds, p.RoundEvery, p.SlowRoundEvery = 2, models.Duration(time.Second), models.Duration(3*time.Second)
	p.TryAgainEvery, p.WatchReleases = models.Duration(time.Second), models.Duration(2*time.Second)
	p.IsolationsPer10Min = 1000 // the tests share their clients
	return p
}

// cleanUp removes all data, or, after a failure, tells where the logs are.
func cleanUp(dir string, code int) {
	if code != 0 {
		printProgress("logs are kept in %s", filepath.Join(dir, "logs"))
		return
	}
	if err := errors.Join(devstack.RemovePostgres(filepath.Join(dir, "postgres")), os.RemoveAll(dir)); err != nil {
		printProgress("%v", err)
	}
}

// checkVendorRequests checks every request to the vendors in the whole run against their official contracts, and
// returns the violations that the simulators, which are stricter, have recorded.
func checkVendorRequests(ctx context.Context) error {
	official, err := contracts.Open(filepath.Join("..", "..", "..", "shared", "contracts"))
	if err != nil && !errors.Is(err, contracts.ErrMissing) {
		return err
	}
	if official == nil {
		printProgress("SKIPPED: the check of the journals: %v", err)
	}
	var wrong []error
	for vendor := range byName(system.Dev.Simulators) {
		entries, err := system.Dev.Journal(ctx, vendor)
		if err != nil {
			return err
		}
		for n, e := range entries {
			if official == nil || !slices.Contains([]string{"twilio", "sendgrid", "crowdstrike"}, vendor) { // there is no official contract of the others
				break
			}
			if err := official.Check(e); err != nil {
				wrong = append(wrong, fmt.Errorf("%s, request %d, %s %s: %w", vendor, n, e.Method, e.Path, err))
			}
		}
		var effects struct{ Violations []struct{ Op, Reason string } }
		if err := system.Dev.Effects(ctx, vendor, &effects); err != nil {
			return err
		}
		for _, v := range effects.Violations {
			wrong = append(wrong, fmt.Errorf("%s: %s: %s", vendor, v.Op, v.Reason))
		}
		printProgress("%s: %d requests in the journal, %d violations", vendor, len(entries), len(effects.Violations))
	}
	return errors.Join(append(wrong, findSilentIncidents(ctx)...)...)
}

// findSilentIncidents returns an error for every critical incident that nobody acknowledged and that the product calls
// nobody about.
func findSilentIncidents(ctx context.Context) (wrong []error) {
	analyst := system.Dev.Person(models.RoleAnalyst, 0)
	seen, calling := 0, 0
	for cursor := ""; ; {
		var page struct {
			Items []struct{ Reference models.Reference }
			Next  string
		}
		path := "/incidents?severity=critical&limit=100"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		if err := analyst.Get(ctx, path, &page); err != nil {
			return append(wrong, err)
		}
		for _, row := range page.Items {
			var i incident.Incident
			if err := analyst.Get(ctx, "/incidents/"+string(row.Reference), &i); err != nil {
				return append(wrong, err)
			}
			if !i.IsPublished() || i.IsOver() || i.Exercise.IsFireDrill() {
				continue
			}
			seen++
			if i.Acknowledged == nil {
				calling++
				if i.CallRound == 0 && len(i.Tasks) == 0 {
					wrong = append(wrong, fmt.Errorf("%s is critical, published and not acknowledged, and nobody is called about it", i.Reference))
				}
			}
		}
		if cursor = page.Next; cursor == "" {
			printProgress("%d critical incidents, of which %d are not acknowledged yet and calls go on", seen, calling)
			return wrong
		}
	}
}
