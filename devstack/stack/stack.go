// Package stack puts a whole Watchfire together on one machine: PostgreSQL, Temporal with its UI, migrations, the
// vendor simulators, a seeded provider with several clients, and the product's own processes.
//
// `watchfire dev`, the demo, the benchmark and the end-to-end tests run on it. Everything listens on 127.0.0.1, and
// every process that the package starts ends with its parent.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/simulators"
	"github.com/watchfire-mdr/watchfire/simulators/edr"
	"github.com/watchfire-mdr/watchfire/store"
)

// Ports are the TCP ports of the parts on 127.0.0.1; 0 takes a free one. At Ops and Worker the API and the first worker
// answer their operator.
type Ports struct {
	App, Ops, Worker, Temporal, TemporalUI, Postgres, Twilio, SendGrid, SMTP, SMTPSteering, CrowdStrike int
	EDR                                                                                                 int // the first of the other EDRs', which follow each other
}

// DefaultPorts returns the fixed ports of `watchfire dev`; those of the simulators are compose's, too.
func DefaultPorts() Ports {
	return Ports{
		App: 8080, Ops: 8082, Worker: 8081, Temporal: 7233, TemporalUI: 8233, Postgres: 5433,
		Twilio: 4010, SendGrid: 4011, CrowdStrike: 4012, SMTP: 4025, SMTPSteering: 4026, EDR: 4030,
	}
}

// Options say how to run a stack.
type Options struct {
	Dir     string // keeps data, logs and dev.json; created when missing
	Binary  string // the product's binary, whose subcommands api and worker are started
	Ports   Ports
	Pace    float64       // of the simulated vendors and people: 1 is realistic, 0.1 ten times faster; 0 means 1
	Policy  models.Policy // of the seeded clients; without rounds, the default
	Workers int           // worker processes; 0 means 1
	// Settle, VendorTimeout, EDRPollEvery and EDRWorstDelay are those of package config; 0 means its default.
	Settle, VendorTimeout time.Duration
	EDRPollEvery          time.Duration
	EDRWorstDelay         time.Duration
	Settings              []string          // more settings of the product's processes, as NAME=value
	MaxConns              int               // connections of each of Temporal's stores; 0 means the default
	PostgresSettings      map[string]string // added to the server's settings
	Progress              func(line string) // gets the name of each step as it begins; nil drops it
	// Migrate brings the database of the owner's URL to the schema of Binary, which is another version's; the stack then
	// has no seeds. nil: this version's schema, with seeds.
	Migrate func(ctx context.Context, ownerURL string) error
}

// Stack is a running Watchfire with all its parts.
type Stack struct {
	Postgres   *devstack.Postgres
	Temporal   *devstack.Temporal
	Simulators *simulators.Running
	API        *devstack.Process
	Workers    []*devstack.Process
	Dev        Dev

	options Options
	keys    keys
	codec   *codec
	logs    []io.Closer
	held    []func() // let go of the ports that are held for the product's processes
}

const (
	database      = "watchfire"
	operatorLogin = "watchfire_operator"
	apiLogin      = "watchfire_api"
	workerLogin   = "watchfire_worker_login"
)

// Start starts all parts and returns when the API says that it is ready. On an error it stops the parts that it
// started.
func Start(ctx context.Context, o Options) (s *Stack, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Policy.Rounds == 0 {
		o.Policy = models.DefaultPolicy()
	}
	s = &Stack{options: o}
	defer func() {
		if err != nil {
			s.Stop()
			s = nil
		}
	}()
	if err := s.prepare(); err != nil {
		return s, err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"PostgreSQL", s.startPostgres}, {"Temporal", s.startTemporal}, {"migrations", s.migrate}, {"vendor simulators", s.startSimulators},
		{"seeds", s.seed}, {"API", s.StartAPI}, {"worker", s.startWorkers}, {"readiness", s.awaitReady},
	} {
		o.Progress(step.name)
		if err := step.do(ctx); err != nil {
			return s, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return s, nil
}

// prepare makes the folders, checks the ports and reads the keys of an earlier start.
func (s *Stack) prepare() (err error) {
	type setting struct {
		port int
		name string
	}
	ports := []setting{
		{s.options.Ports.App, "--port"}, {s.options.Ports.Ops, "--ops-port"}, {s.options.Ports.Worker, "--worker-port"}, {s.options.Ports.Temporal, "--temporal-port"},
		{s.options.Ports.TemporalUI, "--temporal-ui-port"}, {s.options.Ports.Postgres, "--postgres-port"}, {s.options.Ports.Twilio, "--twilio-port"},
		{s.options.Ports.SendGrid, "--sendgrid-port"}, {s.options.Ports.SMTP, "--smtp-port"}, {s.options.Ports.CrowdStrike, "--crowdstrike-port"},
		{s.options.Ports.SMTPSteering, "--smtp-steering-port"},
	}
	if first := s.options.Ports.EDR; first != 0 {
		for n := range edr.Products() {
			ports = append(ports, setting{first + n, "--edr-port"})
		}
	}
	for _, p := range ports {
		if p.port == 0 {
			continue
		}
		if err := devstack.CheckPortFree(p.port, p.name); err != nil {
			return err
		}
	}
	for _, port := range []*int{&s.options.Ports.App, &s.options.Ports.Ops, &s.options.Ports.Worker} {
		if *port != 0 {
			continue
		}
		var release func()
		if *port, release, err = devstack.HoldPort(); err != nil {
			return err
		}
		s.held = append(s.held, release)
	}
	if err := os.MkdirAll(filepath.Join(s.options.Dir, "logs"), 0o755); err != nil {
		return err
	}
	s.keys, err = readKeys(filepath.Join(s.options.Dir, "keys.json"))
	return err
}

// releasePorts lets go of the ports that were held until now, so that no other part took them.
func (s *Stack) releasePorts() {
	for _, release := range s.held {
		release()
	}
	s.held = nil
}

// openLog opens the log file of a part, which Stop closes.
func (s *Stack) openLog(name string) (io.Writer, error) {
	f, err := os.OpenFile(filepath.Join(s.options.Dir, "logs", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	s.logs = append(s.logs, f)
	return f, nil
}

func (s *Stack) startPostgres(ctx context.Context) error {
	log, err := s.openLog("postgres")
	if err != nil {
		return err
	}
	s.Postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{
		Dir: filepath.Join(s.options.Dir, "postgres"), Port: s.options.Ports.Postgres, Log: log, Settings: s.options.PostgresSettings,
	})
	return err
}

func (s *Stack) startTemporal(ctx context.Context) error {
	log, err := s.openLog("temporal")
	if err != nil {
		return err
	}
	binary, err := devstack.BuildTemporal(ctx, progress(s.options.Progress))
	if err != nil {
		return err
	}
	payloads, err := s.payloads()
	if err != nil {
		return err
	}
	if s.codec, err = startCodec(payloads); err != nil {
		return err
	}
	s.Temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
		Binary: binary, PG: s.Postgres, Port: s.options.Ports.Temporal, UIPort: s.options.Ports.TemporalUI, Log: log, MaxConns: s.options.MaxConns,
		Codec: s.codec.address,
	})
	if err != nil {
		return err
	}
	ui, err := url.Parse(s.Temporal.UIURL)
	s.codec.ui.Store(ui)
	return err
}

// progress is a writer that hands on the lines of a long step.
type progress func(string)

// Write hands on one line; BuildTemporal writes one at a time.
func (p progress) Write(b []byte) (int, error) {
	p(string(b))
	return len(b), nil
}

// migrate makes the database, its schema and the application's login.
func (s *Stack) migrate(ctx context.Context) error {
	if err := s.Postgres.CreateDatabase(ctx, database); err != nil {
		return err
	}
	migrate := s.options.Migrate
	if migrate == nil {
		migrate = store.Migrate
	}
	if err := migrate(ctx, s.OwnerURL()); err != nil {
		return err
	}
	return s.EnsureLogins(ctx)
}

// EnsureLogins makes the logins, with the audiences that the schema has.
func (s *Stack) EnsureLogins(ctx context.Context) error {
	return errors.Join(
		store.EnsureLogin(ctx, s.OwnerURL(), store.LoginOperator, operatorLogin, s.keys.DatabasePassword),
		store.EnsureLogin(ctx, s.OwnerURL(), store.LoginAPI, apiLogin, s.keys.APIPassword),
		store.EnsureLogin(ctx, s.OwnerURL(), store.LoginWorker, workerLogin, s.keys.WorkerPassword))
}

// OwnerURL returns the URL of the database with the owner's login, password included.
func (s *Stack) OwnerURL() string { return s.Postgres.URL(database) }

// AppURL returns the URL of the database with the operator's login, which may become every audience, password included.
func (s *Stack) AppURL() string { return s.urlOf(operatorLogin, s.keys.DatabasePassword) }

// WorkerURL returns the URL of the database with the workers' login, password included.
func (s *Stack) WorkerURL() string { return s.urlOf(workerLogin, s.keys.WorkerPassword) }

// envOf returns the environment of a process: with its own login, and without the settings that are kept from it.
func (s *Stack) envOf(user, password string, without ...string) []string {
	env := s.Env()
	for _, name := range without {
		env = append(env, name+"=")
	}
	return append(env, "DATABASE_URL="+s.urlOf(user, password))
}

// Codes returns the keys from which codes follow.
func (s *Stack) Codes() (store.Codes, error) { return secrets.OpenDeriver(s.keys.CodesKeyset, "") }

func (s *Stack) urlOf(user, password string) string {
	u, err := url.Parse(s.OwnerURL())
	if err != nil {
		return ""
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func (s *Stack) startSimulators(ctx context.Context) (err error) {
	o := s.keys.simulators(s.options.Ports, s.appURL())
	o.Pace = s.options.Pace
	s.Simulators, err = simulators.Start(context.WithoutCancel(ctx), o)
	return err
}

func (s *Stack) opsURL() string { return "http://" + loopback(s.options.Ports.Ops) }

func (s *Stack) appURL() string { return "http://" + loopback(s.options.Ports.App) }

// loopback returns the address of a port of this machine.
func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Use makes another binary the one whose processes are started from now on.
func (s *Stack) Use(binary string) { s.options.Binary = binary }

// Env returns the environment of the product's commands by hand. The processes have it, too, but for what is not
// theirs. It holds secrets.
func (s *Stack) Env() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "WATCHFIRE_PROFILE=dev",
		"DATABASE_URL=" + s.AppURL(), "TEMPORAL_ADDRESS=" + s.Temporal.Address, "TEMPORAL_NAMESPACE=" + s.Temporal.Namespace,
		"HTTP_ADDRESS=" + loopback(s.options.Ports.App), "PUBLIC_BASE_URL=" + s.appURL(), "SECRETS_OLD_KEYSET=" + s.keys.Keyset,
	}
	env = append(env, s.keys.settings(s.Simulators)...)
	for _, setting := range []struct {
		name  string
		value time.Duration
	}{{"VENDOR_SETTLE", s.options.Settle}, {"VENDOR_TIMEOUT", s.options.VendorTimeout}, {"EDR_POLL_EVERY", s.options.EDRPollEvery}, {"EDR_WORST_DELAY", s.options.EDRWorstDelay}} {
		if setting.value > 0 {
			env = append(env, setting.name+"="+setting.value.String())
		}
	}
	return append(env, s.options.Settings...)
}

// Engine connects to Temporal as the product's processes do, with payloads sealed and opened. The caller closes it.
func (s *Stack) Engine() (*observability.Engine, error) {
	p, err := s.payloads()
	if err != nil {
		return nil, err
	}
	o, err := observability.Connection{Address: s.Temporal.Address, Namespace: s.Temporal.Namespace}.Options(p)
	if err != nil {
		return nil, err
	}
	o.Logger = observability.TemporalLogger(slog.New(slog.DiscardHandler))
	engine, err := client.Dial(o)
	if err != nil {
		return nil, err
	}
	return observability.NewEngine(engine, p, s.Temporal.Namespace), nil
}

// payloads makes the codec of the product's processes.
func (s *Stack) payloads() (*observability.Payloads, error) {
	keys, err := secrets.OpenPayloadKeys(s.keys.PayloadKeyset, "")
	if err != nil {
		return nil, err
	}
	return observability.NewPayloads(keys, s.payloadMode()), nil
}

// payloadMode returns the mode of the product's processes.
func (s *Stack) payloadMode() observability.PayloadMode {
	mode := observability.SealedPayloads
	for _, setting := range s.options.Settings {
		if value, is := strings.CutPrefix(setting, "PAYLOADS="); is {
			mode = observability.PayloadMode(value)
		}
	}
	return mode
}

// Set changes a setting, NAME=value, of the processes that are started from now on.
func (s *Stack) Set(setting string) { s.options.Settings = append(s.options.Settings, setting) }

// StartAPI starts the API process, for the first time or after it has ended.
func (s *Stack) StartAPI(ctx context.Context) (err error) {
	log, err := s.openLog("api")
	if err != nil {
		return err
	}
	s.releasePorts()
	env := append(s.envOf(apiLogin, s.keys.APIPassword, "SECRETS_KEYSET", "SECRETS_OLD_KEYSET", "CHECKPOINT_KEYSET"),
		fmt.Sprintf("OPS_ADDRESS=127.0.0.1:%d", s.options.Ports.Ops))
	s.API, err = devstack.StartProcess(ctx, "api", s.options.Binary, []string{"api"}, env, log)
	return err
}

func (s *Stack) startWorkers(ctx context.Context) error {
	for range max(s.options.Workers, 1) {
		if err := s.StartWorker(ctx); err != nil {
			return err
		}
	}
	return nil
}

// StartWorker starts one more worker process, with further settings, as NAME=value. The first one answers health at
// Ports.Worker.
func (s *Stack) StartWorker(ctx context.Context, settings ...string) error {
	log, err := s.openLog(fmt.Sprintf("worker-%d", len(s.Workers)+1))
	if err != nil {
		return err
	}
	port := 0
	if len(s.Workers) == 0 {
		port = s.options.Ports.Worker
	}
	env := append(s.envOf(workerLogin, s.keys.WorkerPassword), fmt.Sprintf("OPS_ADDRESS=127.0.0.1:%d", port))
	env = append(env, settings...)
	p, err := devstack.StartProcess(ctx, "worker", s.options.Binary, []string{"worker"}, env, log)
	if err == nil {
		s.Workers = append(s.Workers, p)
	}
	return err
}

// awaitReady waits up to a minute until the API says that every part answers and every queue has a worker, then writes
// dev.json.
func (s *Stack) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if isReady(ctx, s.opsURL()+"/readyz") {
			return s.writeDev()
		}
		select {
		case <-s.API.Done():
			return fmt.Errorf("the API ended: %w; see %s", s.API.Err(), filepath.Join(s.options.Dir, "logs"))
		case <-s.Workers[0].Done():
			return fmt.Errorf("the worker ended: %w; see %s", s.Workers[0].Err(), filepath.Join(s.options.Dir, "logs"))
		case <-ctx.Done():
			return fmt.Errorf("not ready within a minute; see %s", filepath.Join(s.options.Dir, "logs"))
		case <-tick.C:
		}
	}
}

// isReady reports whether an address answers 200.
func isReady(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Stop stops the parts that were started: the workers, the API, the simulators, Temporal, then PostgreSQL.
func (s *Stack) Stop() {
	s.releasePorts()
	for _, w := range s.Workers {
		w.Stop()
	}
	if s.API != nil {
		s.API.Stop()
	}
	if s.Simulators != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Simulators.Close(ctx) // they keep nothing that could be lost
	}
	if s.Temporal != nil {
		s.Temporal.Stop()
	}
	if s.codec != nil {
		_ = s.codec.server.Close() // it keeps nothing
	}
	if s.Postgres != nil {
		s.Postgres.Stop()
	}
	for _, l := range s.logs {
		_ = l.Close()
	}
}
