package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	temporalStart    = 90 * time.Second
	temporalAttempts = 3
	// temporalPassword is the environment variable from which devstack/temporal reads the password.
	temporalPassword = "TEMPORAL_POSTGRES_PASSWORD"
)

// TemporalOptions say which server to start and where. Every field but Binary and
// PG may be zero and then has a working default.
type TemporalOptions struct {
	Binary    string        // from BuildTemporal
	PG        *Postgres     // keeps the server's data; must be running
	Port      int           // of the frontend (gRPC); 0 takes a free one
	UIPort    int           // of the web UI; 0 takes a free one
	Database  string        // default "temporal"; visibility is <Database>_visibility
	Namespace string        // default "default"; created when missing
	Retention time.Duration // of a new namespace; default 30 days
	MaxConns  int           // PostgreSQL connections per service and store; default 20
	Shards    int           // of a new database; default 4
	Codec     string        // address that opens payloads for the UI's pages; "" for none
	// Log receives the server's output and must be safe for concurrent use; nil drops it.
	Log io.Writer
}

// Temporal is a running Temporal server with its UI. The fields stay the same,
// over Restart too.
type Temporal struct {
	Address   string // of the frontend, for client.Options.HostPort
	UIURL     string // of the web UI
	Namespace string // usable, with Watchfire's search attributes

	options TemporalOptions
	mu      sync.Mutex
	process *Process
}

// StartTemporal starts the server and returns when clients can use its namespace,
// Watchfire's search attributes and the UI.
func StartTemporal(ctx context.Context, options TemporalOptions) (*Temporal, error) {
	var lastErr error
	for range temporalAttempts {
		chosen, err := options.withDefaults()
		if err != nil {
			return nil, fmt.Errorf("start Temporal: %w", err)
		}
		t := &Temporal{
			Address: loopback(chosen.Port), UIURL: "http://" + loopback(chosen.UIPort),
			Namespace: chosen.Namespace, options: chosen,
		}
		if err = t.launch(ctx); err == nil {
			return t, nil
		}
		lastErr = err
		// Another process may have taken a port that was chosen here, but none that
		// the caller chose.
		if ctx.Err() != nil || (options.Port != 0 && options.UIPort != 0) {
			break
		}
	}
	return nil, lastErr
}

// withDefaults fills in the fields that are zero and checks the chosen ports.
func (o TemporalOptions) withDefaults() (TemporalOptions, error) {
	if o.Binary == "" || o.PG == nil {
		return o, errors.New("TemporalOptions lack Binary or PG: set both")
	}
	var err error
	if o.Port, err = portOrFree(o.Port, "TemporalOptions.Port"); err != nil {
		return o, err
	}
	if o.UIPort, err = portOrFree(o.UIPort, "TemporalOptions.UIPort"); err != nil {
		return o, err
	}
	o.Database = orDefault(o.Database, "temporal")
	o.Namespace = orDefault(o.Namespace, "default")
	o.Retention = orDefault(o.Retention, 30*24*time.Hour)
	o.MaxConns = orDefault(o.MaxConns, 20)
	o.Shards = orDefault(o.Shards, 4)
	return o, nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Process returns the running server's process; after a restart it is another one.
func (t *Temporal) Process() *Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.process
}

// Stop stops the server and returns when it has ended.
func (t *Temporal) Stop() { t.Process().Stop() }

// Kill ends the server with SIGKILL.
func (t *Temporal) Kill() { t.Process().Kill() }

// Restart starts the server again on the same ports and database, after
// stopping it when it still runs, and returns when clients can use it.
func (t *Temporal) Restart(ctx context.Context) error {
	t.Stop()
	return t.launch(ctx)
}

// launch starts the process and waits for its "ready" line.
func (t *Temporal) launch(ctx context.Context) error {
	log := newOutput(t.options.Log, "ready ")
	process, err := start(ctx, command{
		name: "Temporal", binary: t.options.Binary, args: t.options.arguments(), stdout: log, stderr: log,
		env:        []string{temporalPassword + "=" + t.options.PG.password},
		stopSignal: syscall.SIGTERM, deathSignal: syscall.SIGKILL,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, temporalStart)
	defer cancel()
	select {
	case <-log.found:
		t.mu.Lock()
		t.process = process
		t.mu.Unlock()
		return nil
	case <-process.Done():
		return fmt.Errorf("start Temporal: %w%s", orDefault(process.Err(), errors.New("it ended")), log.Tail())
	case <-ctx.Done():
		process.Kill()
		return fmt.Errorf("start Temporal: not ready: %w%s", ctx.Err(), log.Tail())
	}
}

// arguments returns the command line of devstack/temporal.
func (o TemporalOptions) arguments() []string {
	host, port, _ := strings.Cut(loopback(o.PG.Port()), ":")
	return []string{
		"-port", strconv.Itoa(o.Port),
		"-ui-port", strconv.Itoa(o.UIPort),
		"-pg-host", host,
		"-pg-port", port,
		"-pg-user", postgresUser,
		"-database", o.Database,
		"-namespace", o.Namespace,
		"-retention", o.Retention.String(),
		"-max-conns", strconv.Itoa(o.MaxConns),
		"-shards", strconv.Itoa(o.Shards),
		"-codec", o.Codec,
	}
}
