package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// defaultUpdateWait is how long a person waits for a worker before the desk queues their command.
const defaultUpdateWait = 2 * time.Second

// signalPatience is how many times longer a busy engine may take to record a signal: a refusal would make the person
// ask again, and the engine busier. At night somebody would rather wait ten seconds.
const signalPatience = 5

// forOne is how many times the time for one request Temporal's client wants to have: it leaves the rest for others.
const forOne = 2

// restFor is how long an engine that did not answer is left alone with what can wait.
const restFor = 10 * time.Second

// Temporal lists the calls of the engine that the desk needs; client.Client satisfies it.
type Temporal interface {
	ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signal string, arg any) error
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// Options tune a Desk.
type Options struct {
	UpdateWait time.Duration // how long to wait for a command's answer before queueing the command; 0 means 2 s
	Log        *slog.Logger  // nil means the default one
	EDR        EDROptions
	Payloads   PayloadOpener // nil opens none
	// PhoneCountries are the countries whose numbers a contact may have, as CheckCountries takes them; none are all.
	PhoneCountries []string
	// HasLanguage reports whether clients can be written to in a language, a BCP 47 tag; nil means in every one.
	HasLanguage func(tag string) bool
}

// Desk takes the requests of people. Its methods may be used from several goroutines. Errors for people are
// models.Error. A thing that the user may not see is NotFound, like one that does not exist.
type Desk struct {
	store      *store.Store
	temporal   Temporal
	wait       time.Duration
	log        *slog.Logger
	edr        EDROptions
	payloads   PayloadOpener
	countries  []string
	speaks     func(tag string) bool
	clients    sync.Map // client number -> uuid.UUID; a number is never reused, so an entry is never wrong
	refusals   Refusals
	restsUntil atomic.Int64 // nanoseconds of Unix time; see engineRests
	unanswered atomic.Int32 // updates in a row that no worker answered in time
	triedAt    atomic.Int64 // nanoseconds of Unix time, of the last update that was tried while none was answered
}

// New makes a Desk over the database and the engine.
func New(s *store.Store, t Temporal, o Options) *Desk {
	d := &Desk{store: s, temporal: t, wait: o.UpdateWait, log: o.Log, edr: o.EDR, payloads: o.Payloads, speaks: o.HasLanguage, countries: o.PhoneCountries}
	if d.wait <= 0 {
		d.wait = defaultUpdateWait
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	return d
}

// engineRests reports whether the engine did not answer lately, so that what can wait for it, or do without, should.
func (d *Desk) engineRests() bool { return time.Now().UnixNano() < d.restsUntil.Load() }

// noteFailure remembers that the engine did not answer a request, unless the person, or the vendor, has gone away.
func (d *Desk) noteFailure(ctx context.Context) {
	if ctx.Err() == nil {
		d.restsUntil.Store(time.Now().Add(restFor).UnixNano())
	}
}

// clientID returns the id of the client with a number. NotFound: the client does not exist, or is not within the user's
// reach.
func (d *Desk) clientID(ctx context.Context, u models.User, number int) (uuid.UUID, error) {
	known, _ := d.clients.Load(number)
	id, isKnown := known.(uuid.UUID)
	if !isKnown || u.Limited {
		c, err := d.store.By(u).ClientByNumber(ctx, number)
		if err != nil {
			return uuid.Nil, err
		}
		id = c.ID
		d.clients.Store(number, id)
	}
	if u.ClientID != uuid.Nil && u.ClientID != id {
		return uuid.Nil, models.Errorf(models.NotFound, "client not found")
	}
	return id, nil
}

// withPointer lets a NotFound without a field point at the field that names the missing thing.
func withPointer(pointer string, err error) error {
	var e *models.Error
	if errors.As(err, &e) && e.Kind == models.NotFound && e.Field == "" {
		return &models.Error{Kind: models.NotFound, Field: pointer, Message: e.Message}
	}
	return err
}

// requestID names a request: the same user, scope and key make the same request.
func requestID(u models.User, scope, key string) string {
	return hashParts(u.ID.String(), scope, key)[:32]
}

// requestFingerprint is incident.Fingerprint for a body that is not JSON yet.
func requestFingerprint(name string, asked any) (string, error) {
	body, err := canonicalJSON(asked)
	return incident.Fingerprint(name, body), err
}

// canonicalJSON writes v as JSON, with the fields in the order of its type, so that equal values give equal bytes.
func canonicalJSON(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write %T: %w", v, err)
	}
	return b, nil
}

func hashParts(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "|")))
	return hex.EncodeToString(h[:])
}

// keyReused is the error for a key that belongs to another request.
func keyReused() error {
	return models.Errorf(models.Invalid, "Idempotency-Key was already used for another request; send a new key")
}
