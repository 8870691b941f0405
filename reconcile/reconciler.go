// Package reconcile keeps store and engine in agreement. One process of all compares, again and again, the incidents
// that are not over, the devices that are not at rest and the notices that are open with the workflows that run. It
// starts what is missing from the stored state, and tells the operator by an alarm.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/watchfire-mdr/watchfire/desk"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	leaseName = "reconciler"
	// leaseFor is how long a reconciler that died, or stands still, keeps the others from taking over.
	leaseFor = 10 * time.Second
	// renewEvery is the pause between two requests for the lease.
	renewEvery = 2 * time.Second
	// passEvery is the pause between two comparisons.
	passEvery = 5 * time.Second
	// sideBySide is how many workflows are looked at, or started, at a time.
	sideBySide = 16
	// mostLooks bounds the looks at workflows in a second, each of which costs Temporal, its database and this process
	// some milliseconds of CPU.
	mostLooks = 120
	// calmLooks bounds those of them at incidents about which nothing is suspicious.
	calmLooks = 10
	// startWithin bounds the start of one workflow.
	startWithin = 10 * time.Second
	// settleIn is how long after its start a reconciler waits for the rest of the system to start, too.
	settleIn = 15 * time.Second
	// youngest is how long an incident has for its first start, by the process that opened it.
	youngest = 5 * time.Second
	// inFlight is how long after the last event of an incident its children and their reports may be on their way.
	inFlight = 10 * time.Second
	// longestWatch is longer than any client's released devices are watched.
	longestWatch = 8 * 24 * time.Hour
)

// Temporal lists the calls of the engine that the reconciler needs; client.Client satisfies it.
type Temporal interface {
	desk.Temporal
	Histories
	DescribeTaskQueue(ctx context.Context, queue string, kind enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error)
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
}

// Reconciler compares store and engine. All fields but Bulletins are needed.
type Reconciler struct {
	Store     *store.Store
	Temporal  Temporal
	Log       *slog.Logger
	Bulletins []Bulletin // how the operator is told of alarms
	// Version is that of the workers that know every workflow which this process starts.
	Version int

	holder      uuid.UUID // of the lease; the zero UUID asks for none
	began       time.Time
	engineFails int // checks in a row in which the engine did not answer
	workersRun  atomic.Bool
	resets      sync.Map          // run id of an incident that was reset and is told what the store has
	gone        sync.Map          // workflow id -> when it was first found not to run, by the database's clock
	looks       *rate.Limiter     // nil, as for an operator who waits: looks have no bound
	calmLooks   *rate.Limiter     // of looks at calm incidents
	seen        map[string]string // the run of each incident's workflow, by its id, as the last pass found it; nil: every one is looked at
	looked      incident.Incident // the calm one that was looked at last; the zero value: the next pass begins with the oldest
}

// Run compares store and engine while this process holds the lease, until ctx ends. Several processes may run it: one
// of them holds the lease, and another takes over within seconds when that one dies or stands still.
func (r *Reconciler) Run(ctx context.Context) {
	holder := uuid.New()
	r.holder = holder
	r.began = time.Now()
	stop := func() {} // ends the passes of the present lease, and waits for it
	holds := false
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		held, err := r.askForLease(ctx, holder)
		switch {
		case ctx.Err() != nil:
		case err != nil: // the lease may still be held, and runs out by itself
			r.Log.WarnContext(ctx, "the reconciler's lease cannot be asked for", "error", err.Error())
		case held && !holds:
			stop, holds = r.begin(ctx), true
		case !held && holds:
			stop()
			holds = false
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	if !holds {
		return
	}
	stop()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := r.Store.DropLease(last, leaseName, holder); err != nil {
		r.Log.WarnContext(last, "the reconciler's lease was not given up", "error", err.Error())
	}
}

func (r *Reconciler) askForLease(ctx context.Context, holder uuid.UUID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	return r.Store.HoldLease(ctx, leaseName, holder, leaseFor)
}

// requireLease returns an error when another process holds the lease by now: this one stood still, and what it read may
// be old.
func (r *Reconciler) requireLease(ctx context.Context) error {
	if r.holder == uuid.Nil {
		return nil
	}
	held, err := r.askForLease(ctx, r.holder)
	if err == nil && !held {
		err = errors.New("another process holds the reconciler's lease")
	}
	return err
}

// begin makes passes, tells kept facts and has changes of contacts told until the returned function is called, which waits for the last ones. What is
// wrong with the whole system is looked for beside, because the comparison of many incidents takes a minute.
func (r *Reconciler) begin(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.lookAgain()
	var running sync.WaitGroup
	running.Go(func() { r.repeat(ctx, passEvery, r.checkSystem, "workers and engine were not checked in full") })
	running.Go(func() { r.repeat(ctx, passEvery, r.compare, "store and engine were not compared in full") })
	running.Go(func() { r.repeat(ctx, tellEvery, r.TellKept, "facts wait for the engine") })
	running.Go(func() { r.repeat(ctx, tellEvery, r.TellOfContacts, "nobody was told of changes of contacts") })
	return func() {
		cancel()
		running.Wait()
	}
}

// repeat does something again and again, with a pause, until ctx ends. failed says what it means when it fails.
func (r *Reconciler) repeat(ctx context.Context, pause time.Duration, do func(context.Context) error, failed string) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, failed, "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Pass does once what Run does again and again: it compares store and engine, looks for what is wrong with the whole
// system, and sends the bulletins that are due. It may run in several processes at once.
func (r *Reconciler) Pass(ctx context.Context) error {
	r.lookAgain()
	return errors.Join(r.compare(ctx), r.checkSystem(ctx))
}

// lookAgain makes the next pass look at every incident.
func (r *Reconciler) lookAgain() {
	r.looks, r.calmLooks = rate.NewLimiter(mostLooks, sideBySide), rate.NewLimiter(calmLooks, 1)
	r.seen = nil
}

func (r *Reconciler) newPass() *pass {
	return &pass{Reconciler: r, raised: map[alarmKey]bool{}, unjudged: map[string]bool{}, runs: map[string]string{}, now: time.Now()}
}

// checkSystem looks for what is wrong with the whole system, and sends the bulletins that are due.
func (r *Reconciler) checkSystem(ctx context.Context) error {
	p := r.newPass()
	err := errors.Join(p.checkWorkers(ctx), p.checkTold(ctx))
	p.checkEngine(ctx)
	return errors.Join(err, p.endAlarms(ctx), r.sendBulletins(ctx))
}

// compare compares every watched incident, and every open notice, with its workflows.
func (r *Reconciler) compare(ctx context.Context) error {
	p := r.newPass()
	if !p.asksEngine(ctx) {
		return nil // checkSystem says so
	}
	err := errors.Join(p.wakeExpired(ctx), p.checkIncidents(ctx), p.checkRefused(ctx), p.checkNotices(ctx), p.endAlarms(ctx))
	if p.complete {
		r.seen = p.runs
	}
	return err
}

// asksEngine reports whether the engine answers about this namespace.
func (p *pass) asksEngine(ctx context.Context) bool {
	state, err := p.look(ctx, "no such workflow", "")
	return err == nil && !state.found
}

// checkEngine raises the alarm when the engine failed twice in a row. It alone ends it: a comparison that finds the
// engine back would end the alarm while the check before is still about to raise it.
func (p *pass) checkEngine(ctx context.Context) {
	if p.engineAnswers = p.asksEngine(ctx); p.engineAnswers {
		p.engineFails = 0
		return
	}
	if p.engineFails++; p.engineFails >= 2 {
		p.raise(ctx, models.AlarmEngineDown, "temporal", "Temporal does not answer, or does not know the namespace")
	}
}

// checkIncidents looks at the watched incidents, the oldest first, and then at the calm ones among them whose turn it is. The
// error names those that could not be looked at or started.
func (p *pass) checkIncidents(ctx context.Context) error {
	calm, err := p.findCalm(ctx)
	problems := []error{err}
	var last incident.Incident
	var turn []store.Watched
	for {
		page, at, err := p.Store.WatchedIncidents(ctx, last)
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		if len(page) == 0 {
			break
		}
		p.now = at
		var suspicious []store.Watched
		for _, w := range page {
			switch run, is := calm.run(w, p); {
			case !is:
				suspicious = append(suspicious, w)
			case len(turn) < calmAtOnce && isAfter(w.Incident, p.looked):
				turn = append(turn, w)
			default:
				p.noteRun(w.Incident.Reference, run)
				p.skip(string(w.Incident.Reference))
			}
		}
		problems = append(problems, p.checkEach(ctx, suspicious, nil))
		last = page[len(page)-1].Incident
	}
	problems = append(problems, p.checkEach(ctx, turn, p.calmLooks))
	p.looked = incident.Incident{}
	if len(turn) == calmAtOnce {
		p.looked = turn[len(turn)-1].Incident
	}
	p.complete = true
	return errors.Join(problems...)
}

// checkEach looks at incidents, many at a time, and not faster than pace, which may be nil.
func (p *pass) checkEach(ctx context.Context, all []store.Watched, pace *rate.Limiter) error {
	failures := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(sideBySide)
	for n, w := range all {
		group.Go(func() error {
			var run string
			if pace != nil {
				failures[n] = pace.Wait(ctx)
			}
			if failures[n] == nil {
				run, failures[n] = p.checkIncident(ctx, w)
			}
			switch {
			case failures[n] != nil:
				p.skip(string(w.Incident.Reference))
			case run != "":
				p.noteRun(w.Incident.Reference, run)
			}
			return nil
		})
	}
	_ = group.Wait() // the failures are in the list
	return errors.Join(failures...)
}

// checkIncident looks at an incident's workflow and its endpoints. It returns the workflow's run, "" when the next pass should
// look at it again.
func (p *pass) checkIncident(ctx context.Context, w store.Watched) (run string, err error) {
	i := w.Incident
	state, err := p.look(ctx, i.Reference.WorkflowID(), models.IncidentWorkflow)
	if err != nil || p.checkStranger(ctx, string(i.Reference), state) {
		return "", err
	}
	isAnothers, err := p.isAnothers(ctx, i, state)
	switch {
	case err != nil:
		return "", err
	case isAnothers:
		p.raise(ctx, models.AlarmConflict, string(i.Reference), "the engine's workflow of this reference is another incident's")
		return "", nil
	case !state.running:
		return "", p.restart(ctx, w, state)
	case !w.Running && p.now.Sub(i.OpenedAt) > youngest:
		err = p.Store.ForClient(ctx, store.SOC, i.ClientID, func(tx *store.Tx) error { return tx.MarkRunning(i.Reference) })
	}
	hears := !p.checkTask(ctx, string(i.Reference), state)
	if !state.isBusy() {
		run = state.runID()
	}
	return run, errors.Join(err, p.tellOfReset(ctx, i, state), p.checkEndpoints(ctx, i, hears))
}

// isAnothers reports whether the workflow under an incident's reference is another incident's. Whoever reaches Temporal
// can put any memo on a workflow, but give it no input: one that has ended is another incident's when its input says
// so.
func (p *pass) isAnothers(ctx context.Context, i incident.Incident, s workflowState) (bool, error) {
	if !s.found || desk.IsWorkflowOf(s.description, i.ID()) {
		return false, nil
	}
	if s.running {
		return true, nil
	}
	run, err := readRun(ctx, p.Temporal, i.Reference.WorkflowID(), s.runID())
	known := run.state.Incident
	return known.Reference == i.Reference && known.ID() != i.ID(), err
}

// tellOfReset tells an incident whose workflow somebody reset, or began anew, how far the store has it, once for each
// run. By itself it would learn of that from the next command or when it has something to record, and be silent until
// then. Whoever has the input of an earlier run can begin the workflow anew with it, as it was then.
func (p *pass) tellOfReset(ctx context.Context, i incident.Incident, s workflowState) error {
	run, info := s.runID(), s.description.GetWorkflowExecutionInfo()
	beganLate := info.GetFirstRunId() == run && info.GetStartTime().AsTime().Sub(i.OpenedAt) > youngest
	if _, told := p.resets.Load(run); told || !s.wasReset() && !beganLate {
		return nil
	}
	seq, err := p.Store.Recorded(ctx, store.SOC, i.ClientID, i.Reference)
	if err == nil {
		err = p.signal(ctx, i.Reference, models.SignalStoreAhead, seq)
	}
	if err != nil {
		return err
	}
	p.resets.Store(run, true)
	p.Log.InfoContext(ctx, "an incident's workflow was reset, or began anew; it is told what the database has", "incident", string(i.Reference))
	return nil
}

// tellOfEndpoint has an incident tell a device's workflow what is desired when somebody else than the incident began
// it, or reset it, once for each run: it may go on from an old state.
func (p *pass) tellOfEndpoint(ctx context.Context, i incident.Incident, endpoint string, s workflowState) error {
	parent := s.description.GetWorkflowExecutionInfo().GetParentExecution().GetWorkflowId()
	if _, told := p.resets.Load(s.runID()); told || !s.wasReset() && parent == i.Reference.WorkflowID() {
		return nil
	}
	if err := p.signal(ctx, i.Reference, models.SignalEndpointAnew, endpoint); err != nil {
		return err
	}
	p.resets.Store(s.runID(), true)
	return nil
}

// checkRefused keeps the alarms about events that the database refused for good, which their activity raised, until it
// takes them, or the workflow does not run any more.
func (p *pass) checkRefused(ctx context.Context) error {
	open, err := p.Store.OpenAlarms(ctx)
	if err != nil {
		return fmt.Errorf("check what was refused: %w", err)
	}
	var problems []error
	for _, a := range open {
		r, err := models.ParseReference(a.Subject)
		if a.Kind != models.AlarmNotRecorded || err != nil || p.raised[alarmKey{a.Kind, a.Subject}] {
			continue
		}
		s, err := p.look(ctx, r.WorkflowID(), models.IncidentWorkflow)
		var run runRecord
		if err == nil && s.running {
			run, err = readRun(ctx, p.Temporal, r.WorkflowID(), "")
		}
		switch {
		case err != nil:
			p.skip(string(r))
			problems = append(problems, err)
		case run.refused:
			p.raise(ctx, a.Kind, a.Subject, a.Detail)
		}
	}
	return errors.Join(problems...)
}

// checkEndpoints starts the workflows of devices that are not at rest and have none. hears: the incident's own workflow
// makes progress.
func (p *pass) checkEndpoints(ctx context.Context, i incident.Incident, hears bool) error {
	var problems []error
	for _, e := range i.Endpoints {
		if !p.isWatched(i, e) {
			continue
		}
		atRest := e.IsAtRest(i.IsOver())
		id := i.Reference.EndpointWorkflowID(e.ID)
		state, err := p.look(ctx, id, models.EndpointWorkflow)
		switch {
		case err != nil:
			problems = append(problems, err)
		case p.checkStranger(ctx, id, state):
		case state.running:
			p.checkTask(ctx, id, state)
			if hears {
				problems = append(problems, p.tellOfEndpoint(ctx, i, e.ID, state))
			}
		case atRest && state.found && !state.isLost(): // it came to its end by itself
		case p.isGone(id, i):
			problems = append(problems, p.restartEndpoint(ctx, i, e.ID, state))
		}
	}
	return errors.Join(problems...)
}

// isWatched reports whether a device of an incident has a workflow that does something.
func (p *pass) isWatched(i incident.Incident, e incident.Endpoint) bool {
	return !e.IsAtRest(i.IsOver()) || e.Permitted == models.DesiredReleased && p.now.Sub(e.ObservedAt) <= longestWatch
}

// isGone reports whether a workflow of an incident, which does not run, is not just on its way: nothing has happened to
// the incident for a while, or it was not running for as long.
func (p *pass) isGone(id string, i incident.Incident) bool {
	since, _ := p.gone.LoadOrStore(id, p.now)
	first, isTime := since.(time.Time)
	return p.now.Sub(i.UpdatedAt) > inFlight || isTime && p.now.Sub(first) > inFlight
}

// raise opens an alarm, or says that it still stands.
func (p *pass) raise(ctx context.Context, kind models.AlarmKind, subject, detail string) {
	p.mu.Lock()
	p.raised[alarmKey{kind, subject}] = true
	p.mu.Unlock()
	p.Log.WarnContext(ctx, "operator alarm", "kind", string(kind), "subject", subject, "detail", detail)
	if err := p.Store.RaiseAlarm(ctx, models.Alarm{Kind: kind, Subject: subject, Detail: detail}); err != nil {
		p.Log.ErrorContext(ctx, "an alarm was not kept", "kind", string(kind), "subject", subject, "error", err.Error())
		p.skip(referenceOf(subject)) // the next pass raises it
	}
}

// skip notes that this pass says nothing about an incident and its children, by its reference, or a notice, by its id.
func (p *pass) skip(about string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unjudged[about] = true
}

// endAlarms ends the alarms whose reason this pass did not find any more.
func (p *pass) endAlarms(ctx context.Context) error {
	open, err := p.Store.OpenAlarms(ctx)
	if err != nil {
		return fmt.Errorf("end alarms: %w", err)
	}
	var problems []error
	for _, a := range open {
		if !p.raised[alarmKey{a.Kind, a.Subject}] && p.hasJudged(a) {
			problems = append(problems, p.Store.EndAlarm(ctx, a.ID))
		}
	}
	return errors.Join(problems...)
}

// unsureAfter is how long after it was last seen an alarm that others raise is over by itself.
const unsureAfter = 24 * time.Hour

// hasJudged reports whether this pass looked at what an alarm is about.
func (p *pass) hasJudged(a models.Alarm) bool {
	switch a.Kind {
	case models.AlarmNoWorker, models.AlarmWorkerLost, models.AlarmCanary:
		return p.workersKnown
	case models.AlarmEngineDown:
		return p.engineAnswers
	case models.AlarmChangesNotTold:
		return p.toldKnown
	case models.AlarmMailerRefuses: // a worker that sends mails ends it; after a day without a word nobody knows
		return p.now.Sub(a.LastSeen) > unsureAfter
	case models.AlarmLogAltered: // the worker that signs event logs ends it
		return false
	case models.AlarmReferenceSkipped: // it is over as soon as the operator was told
		return true
	}
	return p.complete && !p.unjudged[referenceOf(a.Subject)]
}
