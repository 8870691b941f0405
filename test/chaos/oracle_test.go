package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// The kinds of problems.
const (
	lost       = "lost"       // a request that was answered 2xx, or a message that was due, is nowhere
	twice      = "twice"      // a request was carried out or a vendor did something twice; final
	silent     = "silent"     // a critical incident is neither acknowledged nor alarmed
	device     = "device"     // a device is not in the state last wanted
	differs    = "differs"    // store, engine and vendors do not tell the same
	unanswered = "unanswered" // a request is never answered
	dead       = "dead"       // an incident that is not over has no running workflow
)

func problemKinds() []string { return []string{lost, twice, silent, device, differs, unanswered, dead} }

// verdict is what the oracle found and counted.
type verdict struct {
	problems map[string][]string // by kind
	counts   map[string]int
	drifted  map[string]bool // host names of devices about whose drift a task is open
}

func (v *verdict) add(kind, format string, args ...any) {
	v.problems[kind] = append(v.problems[kind], fmt.Sprintf(format, args...))
}

// isGood reports whether nothing was found.
func (v *verdict) isGood() bool { return len(v.problems) == 0 }

// judge looks at everything once. A problem may be one that time heals, but for things done twice.
func (w *world) judge(ctx context.Context) *verdict {
	v := &verdict{problems: map[string][]string{}, counts: w.countBlows(), drifted: map[string]bool{}}
	d, err := w.readDeeds(ctx)
	if err != nil {
		v.add(differs, "the vendors' records cannot be read: %v", err)
		return v
	}
	for what, done := range map[string]record{"mail": d.mails, "call": d.calls, "text": d.texts, "EDR action": d.actions} {
		v.counts[what+"s"] = len(done)
		for id, times := range done {
			if len(times) > 1 {
				v.add(twice, "%s %s was made %d times:%s", what, id, len(times), w.since(times))
			}
		}
	}
	v.judgeOpenings(ctx, w)
	planned := map[string]bool{}
	for _, l := range w.lives {
		if l.reference() != "" {
			v.judgeLife(ctx, w, l, d, planned)
		}
	}
	ambiguous := v.counts[leftAmbiguous]
	for what, ids := range map[string][]string{
		"mail": slices.Collect(maps.Keys(d.mails)), "call or text": slices.Collect(maps.Keys(d.ids)), "EDR action": slices.Collect(maps.Keys(d.actions)),
	} {
		for _, id := range ids {
			switch {
			case planned[id]:
			case what == "call or text" && ambiguous > 0:
				ambiguous-- // the ledger says that it may have been made
			default:
				v.add(differs, "the ledger does not know of %s %s", what, id)
			}
		}
	}
	v.judgeDevices(w, d)
	v.counts["answers spoiled"] = d.spoiled
	return v
}

// countBlows counts the incidents and what was done to the processes.
func (w *world) countBlows() map[string]int {
	counts := map[string]int{"incidents": len(w.lives)}
	for _, p := range w.parts {
		for _, h := range w.plan.hits(p.name, p.pace) {
			counts[h.kind+"s of processes"]++
		}
	}
	return counts
}

// since writes times as seconds since the run began.
func (w *world) since(times []time.Time) string {
	var b strings.Builder
	for _, at := range times {
		fmt.Fprintf(&b, " %.1fs", at.Sub(w.began).Seconds())
	}
	return b.String()
}

// judgeOpenings checks that each opened incident is there once.
func (v *verdict) judgeOpenings(ctx context.Context, w *world) {
	opened := map[string]int{}
	for path := "/incidents?limit=100"; path != ""; {
		var page struct {
			Items []struct{ Title string }
			Next  string
		}
		if err := w.lives[0].analyst.Get(ctx, path, &page); err != nil {
			v.add(differs, "the incidents cannot be listed: %v", err)
			return
		}
		for _, i := range page.Items {
			opened[i.Title]++
		}
		if path = ""; page.Next != "" {
			path = "/incidents?limit=100&cursor=" + url.QueryEscape(page.Next)
		}
	}
	for _, l := range w.lives {
		title := l.tagOf(1)
		switch n := opened[title]; {
		case n == 0 && l.promised[title]:
			v.add(lost, "incident %s was opened and is not there", title)
		case n > 1:
			v.add(twice, "incident %s was opened %d times", title, n)
		}
	}
}

// judgeLife checks one incident. It adds to planned what the ledger says the vendors did.
func (v *verdict) judgeLife(ctx context.Context, w *world, l *life, d deeds, planned map[string]bool) {
	ref := l.reference()
	var read incident.Incident
	if err := l.analyst.Get(ctx, "/incidents/"+string(ref), &read); err != nil {
		v.add(lost, "%s cannot be read: %v", ref, err)
		return
	}
	events, deliveries, err := w.readStore(ctx, read.ClientID, ref)
	if err != nil {
		v.add(differs, "%s: %v", ref, err)
		return
	}
	v.judgeRequests(l, events)
	if l.isStopped() {
		v.counts["stopped by a reset"]++
	} else {
		v.judgeEngine(ctx, w, l, read)
	}
	v.judgeEndpoints(l, read)
	acknowledged := false
	for _, e := range deliveries {
		acknowledged = acknowledged || d.pressed[e.VendorID]
		v.judgeDelivery(l, e, d, planned)
	}
	if !l.isPublished() {
		return
	}
	for _, c := range l.client.Contacts {
		key := fmt.Sprintf("%s/published/1/%s/email/1", ref, c.ID)
		if slices.Contains(c.Severities, l.severity) && len(d.mails[messageIDOf(key)]) == 0 {
			v.add(lost, "mail %s never went out", key)
		}
	}
	if l.severity != models.SeverityCritical {
		return
	}
	v.counts["critical incidents"]++
	alarmed := slices.ContainsFunc(read.Tasks, func(t incident.Task) bool { return t.Kind == incident.TaskNobodyReached })
	switch {
	case acknowledged && read.Acknowledged == nil:
		v.add(lost, "%s: somebody pressed 1, and the incident is not acknowledged", ref)
	case !acknowledged && !alarmed:
		v.add(silent, "%s is critical; nobody pressed 1, and no task says so", ref)
	}
}

// readStore verifies the incident's chain of events and reads it with its ledger.
func (w *world) readStore(ctx context.Context, client uuid.UUID, ref models.Reference) (events []incident.Event, deliveries []notify.Delivery, err error) {
	err = w.store.ForClient(ctx, store.SOC, client, func(tx *store.Tx) error {
		if err := tx.VerifyEvents(ref); err != nil {
			return err
		}
		if deliveries, err = tx.Deliveries(ref, store.Cursor{}, 1000); err != nil {
			return err
		}
		events, err = tx.Events(ref, 0, 1000)
		return err
	})
	return events, deliveries, err
}

// judgeRequests looks for each request's tag in what people did to the incident.
func (v *verdict) judgeRequests(l *life, events []incident.Event) {
	reset := l.wasReset()
	found := map[string]int{}
	for _, e := range events {
		raw, _ := json.Marshal(e.Data) // it was read from JSON
		for tag := range l.answers {
			if e.Actor.Side != models.SideSystem && strings.Contains(string(raw), tag) {
				found[tag]++
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for tag, status := range l.answers {
		v.counts["requests"]++
		if tag == l.tagOf(1) && l.promised[tag] {
			continue // see judgeOpenings
		}
		refused := isRefusal(status)
		switch n := found[tag]; {
		case n > 1:
			v.add(twice, "%s: request %s stands there %d times", l.ref, tag, n)
		case n == 1 && refused:
			v.add(differs, "%s: request %s was refused with %d and stands there", l.ref, tag, status)
		case n == 0 && l.promised[tag] && !refused && tag != l.tagOf(publishes):
			v.add(lost, "%s: request %s was answered %d and stands nowhere", l.ref, tag, status)
		case !refused && status != 200 && status != 201 && n == 0 && !reset:
			v.add(unanswered, "%s: request %s was answered %d last", l.ref, tag, status)
		}
	}
}

// judgeEngine compares the workflow's incident with the store's.
func (v *verdict) judgeEngine(ctx context.Context, w *world, l *life, read incident.Incident) {
	id := read.Reference.WorkflowID()
	described, err := w.engine.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		v.add(differs, "%s: the engine does not know its workflow: %v", read.Reference, err)
		return
	}
	if s := described.GetWorkflowExecutionInfo().GetStatus(); s != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && !read.IsOver() {
		v.add(dead, "%s is %s, and its workflow is %s", read.Reference, read.Phase, s)
		return
	}
	var decided incident.Incident
	answer, err := w.engine.QueryWorkflow(ctx, id, "", models.QueryIncident)
	if err == nil {
		err = answer.Get(&decided)
	}
	if err != nil {
		v.add(differs, "%s: its workflow does not answer: %v", read.Reference, err)
	} else if fields := differences(read, decided); len(fields) > 0 {
		v.add(differs, "%s: the store is at event %d in phase %s, the engine at %d in %s; not the same: %v", read.Reference, read.Seq, read.Phase, decided.Seq, decided.Phase, fields)
	}
}

// differences names the fields in which two incidents differ, as JSON.
func differences(a, b incident.Incident) (names []string) {
	fields := func(i incident.Incident) (all map[string]json.RawMessage) {
		raw, err := json.Marshal(i)
		if err == nil {
			err = json.Unmarshal(raw, &all)
		}
		if err != nil {
			return map[string]json.RawMessage{"unreadable": json.RawMessage(err.Error())}
		}
		return all
	}
	ours, theirs := fields(a), fields(b)
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if string(ours[name]) != string(theirs[name]) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if _, known := ours[name]; !known {
			names = append(names, name)
		}
	}
	return names
}

// judgeEndpoints checks that the incident itself shows each device isolated that it wants so. judgeDevices asks the
// EDR.
func (v *verdict) judgeEndpoints(l *life, read incident.Incident) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range read.Endpoints {
		v.drifted[e.Hostname] = v.drifted[e.Hostname] || slices.ContainsFunc(read.Tasks, func(t incident.Task) bool {
			return t.Kind == incident.TaskDrift && t.Effect == e.ID && !t.Done
		})
		if l.wants[e.Hostname] == "isolated" && e.Observed != models.HostIsolated {
			v.add(differs, "%s wants %s isolated and shows it %s", l.ref, e.Hostname, e.Observed)
		}
	}
}

// leftAmbiguous counts calls and texts of which the ledger says to the end that they may have been made: the product
// had no more time for them when it was all over, because somebody was reached otherwise or the vendor was away too
// long.
const leftAmbiguous = "left ambiguous"

// judgeDelivery compares a row of the ledger with what the vendors did.
func (v *verdict) judgeDelivery(l *life, e notify.Delivery, d deeds, planned map[string]bool) {
	name, done := e.VendorID, d.ids[e.VendorID]
	switch e.Kind {
	case notify.EffectMail:
		name, done = messageIDOf(e.Key), len(d.mails[messageIDOf(e.Key)]) > 0
	case notify.EffectIsolate, notify.EffectRelease:
		name, done = e.Key, true // the device may have been in that state already
	}
	planned[name] = true
	v.counts["rows of the ledger"]++
	switch {
	case e.State == notify.EffectIntended && e.Attempts > 0 && (e.Kind == notify.EffectCall || e.Kind == notify.EffectText):
		v.counts[leftAmbiguous]++
	case e.State == notify.EffectIntended && e.Attempts > 0:
		v.add(differs, "%s is intended still, after %d attempts", e.Key, e.Attempts)
	case e.State == notify.EffectAccepted && !done:
		v.add(differs, "%s is accepted, and the vendor has nothing of it", e.Key)
	case e.State == notify.EffectCanceled && e.Kind == notify.EffectMail && done:
		v.add(differs, "%s is canceled, and the vendor sent it", e.Key)
	}
}

// judgeDevices compares the fleet with the last word of all incidents on each device: it is isolated while any of them
// wants it so. A device that somebody has been told of as drift is not silently wrong.
func (v *verdict) judgeDevices(w *world, d deeds) {
	wanted := map[string]string{}
	for _, l := range w.lives {
		l.mu.Lock()
		for host, state := range l.wants {
			if wanted[host] != "isolated" && wanted[host] != "unknown" || state == "isolated" {
				wanted[host] = state
			}
		}
		l.mu.Unlock()
	}
	for host, state := range wanted {
		v.counts["devices"]++
		switch {
		case state == "unknown" || d.devices[host] == state:
		case v.drifted[host]:
			v.counts["devices told as drift"]++
		default:
			v.add(device, "%s is %s at the EDR, and %s was wanted last", host, d.devices[host], state)
		}
	}
}

// awaitVerdict judges again and again until all is good, twice in a row with time for a late deed in between, or until
// patience is over. Things done twice end it at once when that is enough.
func (w *world) awaitVerdict(ctx context.Context, patience time.Duration, enough string) *verdict {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	good := false
	for {
		look, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		v := w.judge(look)
		stop()
		if v.isGood() && good || enough != "" && len(v.problems[enough]) > 0 || ctx.Err() != nil {
			return v
		}
		pause := time.Second
		if good = v.isGood(); good {
			pause = vendorTimeout + settle
		}
		wait(ctx, pause)
	}
}
