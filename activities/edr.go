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
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
	"github.com/watchfire-mdr/watchfire/vendors/edr"
)

// Containment isolates and releases endpoints. It belongs to the queue "edr".
type Containment struct {
	Effects Effects
	// EDR returns the EDR of the client with an id; NotFound when the client has none.
	EDR func(ctx context.Context, client uuid.UUID) (ClientEDR, error)
	// WorstDelay is the longest time after the settle window in which an EDR may still act on a request whose answer was
	// lost.
	WorstDelay time.Duration
	// PollEvery is the first pause between looks at an endpoint that is not confirmed; it doubles up to a minute.
	PollEvery time.Duration
}

// ClientEDR is the EDR of one client.
type ClientEDR struct {
	edr.Connection
	Vendor string
	SetAt  time.Time // when its credentials were entered; zero: they are the provider's own
}

// EndpointInput names an endpoint and the state it should have.
type EndpointInput struct {
	Effect   notify.Effect
	Hostname string
	AgentID  string // "" until resolved
	Desired  models.Desired
	ForAll   bool `json:",omitempty"` // release the device although other incidents want it isolated
}

// EndpointReport is the EDR's word on an endpoint.
type EndpointReport struct {
	AgentID  string
	Hostname string // as the EDR knows it
	State    models.HostState
	Online   bool
	Class    models.AssetClass
	Tags     []string
	// MayBeController and TagsUnknown as in models.Asset.
	MayBeController, TagsUnknown bool
	// Others are the endpoints of other incidents that want the device isolated, when it is and is not to be.
	Others []incident.EndpointID `json:",omitempty"`
}

// IsAs reports whether the endpoint is in the desired state.
func (s EndpointReport) IsAs(d models.Desired) bool { return s.State == confirmedState(d) }

// reportOf adds to a host what the EDR cannot tell of it.
func (e ClientEDR) reportOf(h models.Host) EndpointReport {
	return EndpointReport{
		AgentID: h.ID, Hostname: h.Hostname, State: h.State, Online: h.Online, Class: h.Class, Tags: h.Tags,
		MayBeController: h.Class == models.ClassServer && !e.Capabilities().Controllers,
		TagsUnknown:     !e.Capabilities().Tags,
	}
}

// FindDevice finds the one device with the host name and reports its state. Rejected: the EDR has none of that name, or
// several; the error names those that may be meant.
func (c *Containment) FindDevice(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	host, problem, err := edr.Resolve(ctx, conn, in.Hostname)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	if problem != "" {
		return EndpointReport{}, applicationError(conn.reject("resolve host", problem), 0)
	}
	return conn.reportOf(host), nil
}

// ReadState reports the state of an endpoint.
func (c *Containment) ReadState(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	host, err := conn.State(ctx, in.AgentID)
	if err != nil {
		return EndpointReport{}, c.nameSuccessor(ctx, conn, in, applicationError(asNothingSent(err), c.Effects.Settle))
	}
	seen := conn.reportOf(host)
	if in.Desired == models.DesiredReleased && host.State != models.HostNormal {
		seen.Others, err = c.isolatedBy(ctx, in)
	}
	return seen, err
}

// codeSuccessor is the code of a rejection that names the successor of a device.
const codeSuccessor = "successor"

// nameSuccessor returns err, or, when the device is gone from the EDR and another one has its name now, an error that
// names that one, as its second detail too.
func (c *Containment) nameSuccessor(ctx context.Context, conn ClientEDR, in EndpointInput, err error) error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != string(models.Rejected) {
		return err
	}
	if _, gone := conn.State(ctx, in.AgentID); models.ClassOf(gone) != models.Rejected {
		return err
	}
	host, problem, failed := edr.Resolve(ctx, conn, in.Hostname)
	if failed != nil || problem != "" || host.ID == in.AgentID {
		return err
	}
	text := fmt.Sprintf("%s: the device is gone, and agent %s has its name now: complete the task if that one is meant", conn.Vendor, host.ID)
	return temporal.NewApplicationErrorWithOptions(text, string(models.Rejected), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{codeSuccessor, host.ID},
	})
}

// SuccessorIn returns the successor of a device that an error names, or "".
func SuccessorIn(err error) string {
	var app *temporal.ApplicationError
	var code, agent string
	if errors.As(err, &app) && app.Type() == string(models.Rejected) && app.HasDetails() && app.Details(&code, &agent) == nil && code == codeSuccessor {
		return agent
	}
	return ""
}

// SendAction asks the EDR to isolate or release the endpoint, once. It waits until opposite actions on the device are
// settled, of whatever incident, and leaves a release unsent while another incident wants the device isolated. It reads
// the device's state first and leaves a device alone that is there already, or on its way, unless the EDR may hide an
// action against it.
func (c *Containment) SendAction(ctx context.Context, in EndpointInput) (sent ActionSent, err error) {
	in.Effect.Device = in.AgentID
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return sent, applicationError(err, c.Effects.Settle)
	}
	if err := c.settleOpposites(ctx, conn, in); err != nil {
		return sent, err
	}
	underway := func(ctx context.Context, row store.LedgerRow) (Acceptance, bool, error) {
		oppositePending, err := c.oppositeMayBePending(ctx, conn, row, in.AgentID)
		if err != nil {
			return Acceptance{}, false, err
		}
		host, err := conn.State(ctx, in.AgentID)
		there := host.State == confirmedState(in.Desired) && !oppositePending || host.State == pendingState(in.Desired)
		return Acceptance{Vendor: conn.Vendor, ID: host.ID}, err == nil && there, err
	}
	_, err = c.Effects.Once(ctx, in.Effect, EffectSteps{
		Prepare: func(tx *store.Tx, _ store.LedgerRow) error { return c.orderAction(tx, in) },
		Lookup:  underway,
		Send: func(ctx context.Context, row store.LedgerRow) (Acceptance, error) {
			accepted, there, err := underway(ctx, row)
			if there || err != nil {
				return accepted, asNothingSent(err)
			}
			if err := c.checkNotPaused(ctx, conn, in); err != nil {
				return accepted, err
			}
			action, err := sendAction(ctx, conn, in, row)
			return Acceptance{Vendor: conn.Vendor, ID: cmp.Or(action, in.AgentID)}, err
		},
	})
	if held := isHeld(err); held || err == nil && in.ForAll {
		return c.nameOthers(ctx, in, held)
	}
	return sent, c.nameSuccessor(ctx, conn, in, err)
}

// checkNotPaused rejects an isolation while the client's isolations are paused: a ruling or an approval may be older.
func (c *Containment) checkNotPaused(ctx context.Context, conn ClientEDR, in EndpointInput) error {
	if in.Desired != models.DesiredIsolated {
		return nil
	}
	s, err := store.Run(c.Effects.Store.InClient(ctx, store.Worker, in.Effect.ClientID), (*store.Tx).IsolationSwitch)
	switch {
	case err != nil:
		return &models.VendorError{Class: models.Transient, Vendor: conn.Vendor, Op: "isolate host", Code: "store", Cause: err}
	case s.Paused:
		return conn.reject("isolate host", "isolation_paused")
	}
	return nil
}

// oppositeMayBePending reports whether the EDR may hide an action against this one: the last action on the device
// before was an opposite one, and the state the EDR tells does not show actions under way.
func (c *Containment) oppositeMayBePending(ctx context.Context, conn ClientEDR, row store.LedgerRow, device string) (bool, error) {
	if conn.Capabilities().Underway {
		return false, nil
	}
	return store.Run(c.Effects.Store.InClient(ctx, store.Worker, row.ClientID), func(tx *store.Tx) (bool, error) {
		return tx.OppositeActionSent(row, device)
	})
}

// asNothingSent classes a failed read of a host as what it is for the effect: nothing was sent.
func asNothingSent(err error) error {
	var v *models.VendorError
	if errors.As(err, &v) && v.Class == models.Ambiguous {
		u := *v
		u.Class = models.Transient
		return &u
	}
	return err
}

func sendAction(ctx context.Context, conn edr.Connection, in EndpointInput, row store.LedgerRow) (action string, err error) {
	comment := "Watchfire " + row.Key
	if in.Desired == models.DesiredIsolated {
		return conn.Isolate(ctx, in.AgentID, comment)
	}
	return conn.Release(ctx, in.AgentID, comment)
}

// ConfirmState returns once the EDR itself says that the endpoint is in the desired state; where the EDR may hide an
// action against it, once the device has checked in since as well. Until then it fails with ErrPending, whose details
// hold what was seen, and Temporal runs it again: waiting leaves no trace in the history. ErrActionFailed: the EDR gave
// up. ErrOvertaken: an opposite action came after it.
func (c *Containment) ConfirmState(ctx context.Context, in EndpointInput) (EndpointReport, error) {
	conn, err := c.clientEDR(ctx, in)
	if err != nil {
		return EndpointReport{}, applicationError(err, c.Effects.Settle)
	}
	host, err := conn.State(ctx, in.AgentID)
	if err != nil {
		return EndpointReport{}, c.nameSuccessor(ctx, conn, in, applicationError(asNothingSent(err), c.Effects.Settle))
	}
	seen := conn.reportOf(host)
	row, err := c.effectRow(ctx, in.Effect)
	if err != nil {
		return seen, applicationError(err, c.Effects.Settle)
	}
	oppositePending, err := c.oppositeMayBePending(ctx, conn, row, in.AgentID)
	if err != nil {
		return seen, applicationError(err, c.Effects.Settle)
	}
	action, err := actionState(ctx, conn, in, row)
	switch {
	case err != nil:
		return seen, applicationError(asNothingSent(err), c.Effects.Settle)
	case action == models.ActionFailed && host.State != confirmedState(in.Desired):
		return seen, temporal.NewApplicationErrorWithOptions(conn.Vendor+": "+string(in.Effect.Purpose)+": the EDR says that it failed", ErrActionFailed,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{seen}})
	case c.isOvertaken(conn, in, host, row):
		return seen, temporal.NewApplicationErrorWithOptions(conn.Vendor+": "+string(in.Effect.Purpose)+": the device is "+string(host.State)+" all the same",
			ErrOvertaken, temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{seen}})
	case action == models.ActionPending || host.State != confirmedState(in.Desired):
	case oppositePending && !conn.Capabilities().Actions && !checkedInSince(host, row.AcceptedAt):
		seen.State = pendingState(in.Desired) // it may look so from before, with both actions yet to come
	default:
		return seen, nil
	}
	pause := min(c.PollEvery<<min(activity.GetInfo(ctx).Attempt-1, 10), time.Minute)
	return seen, retryAfter(ErrPending, "the EDR has not confirmed yet", pause, seen)
}

// isOvertaken reports whether an action that the EDR took long ago is neither done nor under way: an earlier opposite
// one came through after it.
func (c *Containment) isOvertaken(conn ClientEDR, in EndpointInput, host models.Host, row store.LedgerRow) bool {
	opposite := models.DesiredIsolated
	if in.Desired == models.DesiredIsolated {
		opposite = models.DesiredReleased
	}
	since := row.ReadAt.Sub(row.AcceptedAt)
	return conn.Capabilities().Underway && host.State == confirmedState(opposite) && !row.AcceptedAt.IsZero() && since > c.Effects.Settle+c.WorstDelay
}

func (c *Containment) effectRow(ctx context.Context, e notify.Effect) (store.LedgerRow, error) {
	return store.Run(c.Effects.Store.InClient(ctx, store.Worker, e.ClientID), func(tx *store.Tx) (store.LedgerRow, error) {
		row, err := tx.Effect(e.Key)
		row.ReadAt = tx.Now()
		return row, err
	})
}

// actionState returns the state of the action that was sent for an effect. Succeeded stands in for an EDR that gives no
// ids, and for an action that never had to be sent, because the device was in the desired state already.
func actionState(ctx context.Context, conn ClientEDR, in EndpointInput, row store.LedgerRow) (models.ActionState, error) {
	if !conn.Capabilities().Actions || row.VendorID == in.AgentID || row.VendorID == "" {
		return models.ActionSucceeded, nil
	}
	return conn.Action(ctx, in.AgentID, row.VendorID)
}

// checkedInSince reports whether the device spoke to its EDR after a moment, and so knows the actions sent until then.
// Where the EDR does not say when it did, being online must do.
func checkedInSince(h models.Host, since time.Time) bool {
	if h.SeenAt.IsZero() {
		return h.Online
	}
	return h.SeenAt.After(since)
}

// ReportIn returns the last report on an endpoint from the error that ended a ConfirmState, and whether it holds one.
func ReportIn(err error) (EndpointReport, bool) {
	var app *temporal.ApplicationError
	var seen EndpointReport
	if errors.As(err, &app) && (app.Type() == ErrPending || app.Type() == ErrActionFailed || app.Type() == ErrOvertaken) && app.HasDetails() && app.Details(&seen) == nil {
		return seen, true
	}
	return seen, false
}

// CheckConnection tries whether the credentials of the client's EDR work and may read. A rejection by the vendor is an
// answer; an error means that there is none.
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
