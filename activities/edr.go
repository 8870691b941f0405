package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// Containment isolates and releases endpoints. It belongs to the queue "edr".
type Containment struct {
	Effects Effects
	// EDR returns the EDR of the client with an id; NotFound when the client has none.
	EDR func(ctx context.Context, client uuid.UUID) (ClientEDR, error)
	// PollEvery is the first pause between looks at an endpoint that is not confirmed; it doubles up to a minute.
	PollEvery time.Duration
}

// ClientEDR is the EDR of one client.
type ClientEDR struct {
	edr.Connection
	Vendor string
	SetAt  time.Time // when its credentials were entered; zero: they are the provider's own
}

// EndpointInput is what is wanted of an endpoint.
type EndpointInput struct {
	Effect   notify.Effect
	Hostname string
	AgentID  string // "" until resolved
	Desired  models.Desired
}

// EndpointReport is what the EDR says about an endpoint.
type EndpointReport struct {
	AgentID  string
	Hostname string // as the EDR knows it
	State    models.HostState
	Online   bool
	Class    models.AssetClass
	Tags     []string
	// MayBeController and TagsUnknown as in models.Asset.
	MayBeController, TagsUnknown bool
}

// IsAs reports whether the endpoint is as wanted.
func (s EndpointReport) IsAs(d models.Desired) bool { return s.State == confirmedState(d) }

// reportOf is what the EDR says of a host.
func (e ClientEDR) reportOf(h models.Host) EndpointReport {
	return EndpointReport{
		AgentID: h.ID, Hostname: h.Hostname, State: h.State, Online: h.Online, Class: h.Class, Tags: h.Tags,
		MayBeController: h.Class == models.ClassServer && !e.Capabilities().Controllers,
		TagsUnknown:     !e.Capabilities().Tags,
	}
}

// FindDevice finds the one agent with the host name and says how it stands. None, or several, is Rejected.
func (c *Containment) FindDevice(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	hosts, err := conn.Find(ctx, in.Hostname)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	if len(hosts) != 1 {
		return EndpointReport{}, applicationError(conn.reject("resolve host", fmt.Sprintf("%d devices have this name", len(hosts))), 0)
	}
	return conn.reportOf(hosts[0]), nil
}

// ReadState says how an endpoint stands.
func (c *Containment) ReadState(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	host, err := conn.State(ctx, in.AgentID)
	if err != nil {
		return EndpointReport{}, applicationError(asNothingSent(err), c.Effects.Settle)
	}
	return conn.reportOf(host), nil
}

// SendAction asks the EDR to isolate or release the endpoint, once, after looking at how it stands: a device that is
// there already, or on its way, is left alone, unless the EDR may hide what was ordered against it before.
func (c *Containment) SendAction(ctx context.Context, in EndpointInput) error {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return applicationError(err, c.Effects.Settle)
	}
	hidden, err := c.oppositeMayBePending(ctx, conn, in.Effect)
	if err != nil {
		return err
	}
	underway := func(ctx context.Context, _ store.LedgerRow) (Acceptance, bool, error) {
		host, err := conn.State(ctx, in.AgentID)
		there := host.State == confirmedState(in.Desired) && !hidden || host.State == pendingState(in.Desired)
		return Acceptance{Vendor: conn.Vendor, ID: host.ID}, err == nil && there, err
	}
	_, err = c.Effects.Once(ctx, in.Effect, EffectSteps{
		Prepare: func(*store.Tx, store.LedgerRow) error { return nil },
		Lookup:  underway,
		Send: func(ctx context.Context, row store.LedgerRow) (Acceptance, error) {
			receipt, there, err := underway(ctx, row)
			if there || err != nil {
				return receipt, asNothingSent(err)
			}
			if err := c.checkNotPaused(ctx, conn, in); err != nil {
				return receipt, err
			}
			order, err := sendAction(ctx, conn, in, row)
			return Acceptance{Vendor: conn.Vendor, ID: cmp.Or(order, in.AgentID)}, err
		},
	})
	return err
}

// checkNotPaused refuses an isolation while the client's are paused: one that was ruled on before, or approved since.
func (c *Containment) checkNotPaused(ctx context.Context, conn ClientEDR, in EndpointInput) error {
	if in.Desired != models.DesiredIsolated {
		return nil
	}
	var s models.IsolationSwitch
	err := c.Effects.Store.ForClient(ctx, store.Worker, in.Effect.ClientID, func(tx *store.Tx) (err error) {
		s, err = tx.IsolationSwitch()
		return err
	})
	switch {
	case err != nil:
		return &models.VendorError{Class: models.Transient, Vendor: conn.Vendor, Op: "isolate host", Code: "store", Cause: err}
	case s.Paused:
		return conn.reject("isolate host", "isolation_paused")
	}
	return nil
}

// oppositeMayBePending reports whether the EDR may hide an order against this one: one was given for the endpoint before, and what the
// EDR says of a device does not show what is under way.
func (c *Containment) oppositeMayBePending(ctx context.Context, conn ClientEDR, e notify.Effect) (given bool, err error) {
	if conn.Capabilities().Underway {
		return false, nil
	}
	err = c.Effects.Store.ForClient(ctx, store.Worker, e.ClientID, func(tx *store.Tx) error {
		given, err = tx.OppositeActionSent(e)
		return err
	})
	return given, err
}

// asNothingSent makes a failed look at a host what it is for the effect: nothing was changed.
func asNothingSent(err error) error {
	var v *models.VendorError
	if errors.As(err, &v) && v.Class == models.Ambiguous {
		u := *v
		u.Class = models.Transient
		return &u
	}
	return err
}

func sendAction(ctx context.Context, conn edr.Connection, in EndpointInput, row store.LedgerRow) (order string, err error) {
	comment := "Watchfire " + row.Key
	if in.Desired == models.DesiredIsolated {
		return conn.Isolate(ctx, in.AgentID, comment)
	}
	return conn.Release(ctx, in.AgentID, comment)
}

// ConfirmState returns once the EDR itself says that the endpoint is as desired; where it may hide an order against that one,
// once the device was heard of since. Until then it fails with ErrPending, whose details hold what was seen, and Temporal
// runs it again: waiting leaves no trace in the history.
func (c *Containment) ConfirmState(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	host, err := conn.State(ctx, in.AgentID)
	if err != nil {
		return EndpointReport{}, applicationError(asNothingSent(err), c.Effects.Settle)
	}
	seen := conn.reportOf(host)
	row, err := c.effectRow(ctx, in.Effect)
	if err != nil {
		return seen, applicationError(err, c.Effects.Settle)
	}
	hidden, err := c.oppositeMayBePending(ctx, conn, in.Effect)
	if err != nil {
		return seen, applicationError(err, c.Effects.Settle)
	}
	order, err := actionState(ctx, conn, in, row)
	switch {
	case err != nil:
		return seen, applicationError(asNothingSent(err), c.Effects.Settle)
	case order == models.ActionFailed && host.State != confirmedState(in.Desired):
		return seen, temporal.NewApplicationErrorWithOptions(conn.Vendor+": "+string(in.Effect.Purpose)+": the EDR says that it failed", ErrActionFailed,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{seen}})
	case order == models.ActionPending || host.State != confirmedState(in.Desired):
	case hidden && !conn.Capabilities().Actions && !checkedInSince(host, row.AcceptedAt):
		seen.State = pendingState(in.Desired) // it may look so from before, with both orders yet to come
	default:
		return seen, nil
	}
	pause := min(c.PollEvery<<min(activity.GetInfo(ctx).Attempt-1, 10), time.Minute)
	return seen, retryAfter(ErrPending, "the EDR has not confirmed yet", pause, seen)
}

func (c *Containment) effectRow(ctx context.Context, e notify.Effect) (row store.LedgerRow, err error) {
	err = c.Effects.Store.ForClient(ctx, store.Worker, e.ClientID, func(tx *store.Tx) error {
		row, err = tx.Effect(e.Key)
		return err
	})
	return row, err
}

// actionState says what became of the order that was given for an effect: host and order must agree. Succeeded stands for an
// EDR that gives no ids, and for an order that was not ours to give, because the device was as wanted already.
func actionState(ctx context.Context, conn ClientEDR, in EndpointInput, row store.LedgerRow) (models.ActionState, error) {
	if !conn.Capabilities().Actions || row.VendorID == in.AgentID || row.VendorID == "" {
		return models.ActionSucceeded, nil
	}
	return conn.Action(ctx, in.AgentID, row.VendorID)
}

// checkedInSince reports whether the device spoke to its EDR after a moment, by which it knows the orders given until then. Where
// the EDR does not say when it did, being online must do.
func checkedInSince(h models.Host, since time.Time) bool {
	if h.SeenAt.IsZero() {
		return h.Online
	}
	return h.SeenAt.After(since)
}

// ReportIn returns what the last look at an endpoint showed, from the error that ended a Confirm.
func ReportIn(err error) (EndpointReport, bool) {
	var app *temporal.ApplicationError
	var seen EndpointReport
	if errors.As(err, &app) && (app.Type() == ErrPending || app.Type() == ErrActionFailed) && app.HasDetails() && app.Details(&seen) == nil {
		return seen, true
	}
	return seen, false
}

// CheckConnection tries the client's EDR: whether its credentials work and may read. What the vendor refuses is an
// answer and no failure.
func (c *Containment) CheckConnection(ctx context.Context, client uuid.UUID) (models.EDRCheck, error) {
	conn, err := c.EDR(ctx, client)
	if err == nil {
		err = conn.Check(ctx)
	}
	check := models.EDRCheck{Vendor: conn.Vendor, OK: err == nil, SetAt: conn.SetAt}
	if conn.Connection != nil {
		check.Capabilities = conn.Capabilities()
	}
	var v *models.VendorError
	switch {
	case err == nil:
		return check, nil
	case models.KindOf(err) == models.NotFound:
		check.Problem = string(models.Config) // there is nothing to connect to any more
	case errors.As(err, &v):
		check.Problem = string(v.Class)
	default:
		return check, err
	}
	return check, nil
}

func (c *Containment) clientEDR(ctx context.Context, in EndpointInput) (ClientEDR, error) {
	conn, err := c.EDR(ctx, in.Effect.ClientID)
	if models.KindOf(err) == models.NotFound {
		return conn, ClientEDR{Vendor: "edr"}.reject("find EDR", "the client has no EDR")
	}
	return conn, err
}

func (e ClientEDR) reject(op, code string) error {
	return &models.VendorError{Class: models.Rejected, Vendor: e.Vendor, Op: op, Code: code}
}

func confirmedState(d models.Desired) models.HostState {
	if d == models.DesiredIsolated {
		return models.HostIsolated
	}
	return models.HostNormal
}

func pendingState(d models.Desired) models.HostState {
	if d == models.DesiredIsolated {
		return models.HostIsolating
	}
	return models.HostReleasing
}
