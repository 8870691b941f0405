package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/watchfire-mdr/watchfire/config"
	"github.com/watchfire-mdr/watchfire/observability"
	"github.com/watchfire-mdr/watchfire/secrets"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/worker"
)

// process holds the parts that the API and the worker have in common.
type process struct {
	id       uuid.UUID
	part     config.Part
	config   config.Config
	log      *slog.Logger
	store    *store.Store
	temporal *observability.Engine
	metrics  *observability.Metrics
}

// errLogged is the end of a process that has said why.
var errLogged = errors.New("see the log")

// logged runs a process. What ends it goes to its log, one problem a line, because programs read what it prints.
func logged(part config.Part, run func(context.Context) error) func(context.Context, []string, io.Writer) error {
	return func(ctx context.Context, _ []string, _ io.Writer) error {
		err := run(ctx)
		if err == nil {
			return nil
		}
		log := observability.Logger(slog.LevelInfo, os.Stdout).With("part", string(part))
		for _, problem := range problemsOf(err) {
			log.ErrorContext(ctx, "the process ends", "error", problem.Error())
		}
		return errLogged
	}
}

// problemsOf returns the errors that an error joins.
func problemsOf(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error }) // only of the error itself: what a wrapper says is not lost
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, problemsOf(e)...)
	}
	return all
}

// startProcess reads the settings, connects to the database and prepares the connection to Temporal. The caller closes
// the process.
func startProcess(ctx context.Context, part config.Part) (*process, error) {
	c, err := config.FromEnvironment(part)
	if err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, errors.New("LOG_LEVEL is none of debug, info, warn and error: set it to one of them")
	}
	p := &process{id: uuid.New(), part: part, config: c, log: observability.Logger(level, os.Stdout).With("part", string(part)), metrics: observability.NewMetrics()}
	observability.TakeOver(p.log)
	for _, warning := range config.Warnings(os.LookupEnv) {
		p.log.WarnContext(ctx, warning)
	}
	codes, err := openCodes(c)
	if err != nil {
		return nil, err
	}
	if p.store, err = store.Open(ctx, c.DatabaseURL, store.Options{MaxConns: c.DatabaseMax, Login: store.Login(part), Codes: codes}); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	handler, err := p.metrics.Temporal()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if p.temporal, err = connectEngine(c, p.log, handler); err != nil {
		return nil, err
	}
	return p, nil
}

// connectEngine prepares the connection to Temporal, as every process and command of the product speaks to it. It fails
// later, with the first call, when Temporal does not answer. metrics may be nil.
func connectEngine(c config.Config, log *slog.Logger, metrics client.MetricsHandler) (*observability.Engine, error) {
	payloads, err := openPayloads(c)
	if err != nil {
		return nil, err
	}
	o, err := observability.Connection{
		Address: c.TemporalAddress, Namespace: c.TemporalNamespace, TLS: c.UsesTemporalTLS(), CAFile: c.TemporalCAFile,
		CertFile: c.TemporalCertFile, KeyFile: c.TemporalKeyFile, ServerName: c.TemporalServerName, APIKey: c.TemporalAPIKey,
	}.Options(payloads)
	if err != nil {
		return nil, err
	}
	o.Logger, o.MetricsHandler = observability.TemporalLogger(log), metrics
	o.ConnectionOptions.DialOptions = []grpc.DialOption{grpc.WithChainUnaryInterceptor(worker.OwnClock())}
	engine, err := client.NewLazyClient(o)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	return observability.NewEngine(engine, payloads, c.TemporalNamespace), nil
}

// openPayloads makes the codec of payloads.
func openPayloads(c config.Config) (*observability.Payloads, error) {
	if err := useKMS(c); err != nil {
		return nil, fmt.Errorf("SECRETS_KMS_URI: %w", err)
	}
	keys, err := secrets.OpenPayloadKeys(c.PayloadKeyset, c.SecretsKMSURI)
	if err != nil {
		return nil, fmt.Errorf("PAYLOAD_KEYSET: %w", err)
	}
	return observability.NewPayloads(keys, observability.PayloadMode(c.Payloads)), nil
}

// openCodes makes the deriver of codes.
func openCodes(c config.Config) (*secrets.Deriver, error) {
	if err := useKMS(c); err != nil {
		return nil, fmt.Errorf("SECRETS_KMS_URI: %w", err)
	}
	codes, err := secrets.OpenDeriver(c.CodesKeyset, c.SecretsKMSURI)
	if err != nil {
		return nil, fmt.Errorf("CODES_KEYSET: %w", err)
	}
	return codes, nil
}

// databaseParts returns what a process needs of the database to be ready.
func (p *process) databaseParts() []observability.Part {
	return append(observability.DatabaseParts(p.beat, p.store.SchemaCurrent), observability.Part{Name: "login", Check: p.store.CheckLogin})
}

// beat writes the heartbeat of this process.
func (p *process) beat(ctx context.Context) error { return p.store.Beat(ctx, p.id, string(p.part)) }

// close says that the process stops, and ends the connections.
func (p *process) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.store.NoteStopped(ctx, p.id); err != nil {
		p.log.WarnContext(ctx, "the stop was not noted", "error", err.Error())
	}
	p.temporal.Close()
	p.store.Close()
}

// listener is an address at which a process answers HTTP.
type listener struct {
	serves, setting, address string
	handler                  http.Handler
}

// operations is the listener for the operator.
func (p *process) operations(parts ...observability.Part) listener {
	return listener{"operations", "OPS_ADDRESS", p.config.OpsAddress, observability.Operations(observability.NewReadiness(parts...), p.metrics)}
}

// serve answers HTTP at some addresses until ctx ends or one of them fails.
func (p *process) serve(ctx context.Context, all ...listener) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range all {
		g.Go(func() error { return p.serveOne(ctx, l) })
	}
	return g.Wait()
}

// maxConnections bounds the connections of a listener: those of clients and vendors, or of a proxy before them. What is
// more waits until one ends.
const maxConnections = 2000

// serveOne answers HTTP at an address until ctx ends, then lets requests under way finish within 15 seconds.
func (p *process) serveOne(ctx context.Context, l listener) error {
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("%s: listen: %w", l.setting, err)
	}
	s := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	p.log.InfoContext(ctx, "listening", "serves", l.serves, "address", tcp.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(netutil.LimitListener(tcp, maxConnections)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return s.Shutdown(last)
}

// runEvery runs do at once and after every pause until ctx ends, and returns a function that waits for the last run.
func runEvery(ctx context.Context, pause time.Duration, do func(context.Context)) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			do(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return wg.Wait
}
