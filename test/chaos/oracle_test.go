package chaos

import (
	"cmp"
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
	uncovered  = "uncovered"  // a scene did not come to what it is there for
)

func problemKinds() []string {
	return []string{lost, twice, silent, device, differs, unanswered, dead, uncovered}
}

// verdict is what the oracle found and counted.
type verdict struct {
	problems map[string][]string // by kind
	counts   map[string]int
	alarms   []models.Alarm // of the operator, also those that ended
}

func (v *verdict) add(kind, format string, args ...any) {
	v.problems[kind] = append(v.problems[kind], fmt.Sprintf(format, args...))
}

// count returns the number of problems.
func (v *verdict) count() (n int) {
	for _, all := range v.problems {
		n += len(all)
	}
	return n
}

// first returns one problem, to be told.
func (v *verdict) first() string {
	for _, kind := range problemKinds() {
		if all := v.problems[kind]; len(all) > 0 {
			return ": " + kind + ": " + all[0]
		}
	}
	return ""
}

// isGood reports whether nothing was found.
func (v *verdict) isGood() bool { return len(v.problems) == 0 }

// judge looks at everything once. A problem may be one that time heals, but for things done twice.
func (w *world) judge(ctx context.Context) *verdict {
	v := &verdict{problems: map[string][]string{}, counts: w.countBlows()}
	d, err := w.readDeeds(ctx)
	if err != nil {
		v.add(differs, "the vendors' records cannot be read: %v", err)
		return v
	}
	for what, done := range map[string]record{"mail": d.mails, "call": d.calls, "text": d.texts, "EDR action": d.actions} {
		v.counts[what+"s"] = len(done)
		for id, times := range done {
			switch {
			case len(times) > 1 && what == "EDR action" && d.wasTooLate(id):
				v.counts["EDR actions made again, later than the settle window"]++
			case len(times) > 1:
				v.add(twice, "%s %s was made %d times:%s", what, id, len(times), w.since(times))
			}
		}
	}
	v.judgeOpenings(ctx, w)
	v.judgeAlarms(ctx, w)
	planned := map[string]bool{}
	for _, l := range w.lives {
		if l.reference() != "" {
			v.judgeLife(ctx, w, l, d, planned)
		}
	}
	for what, done := range map[string]record{"mail": d.mails, "call": d.calls, "text": d.texts, "EDR action": d.actions} {
		for id := range done {
			if !planned[id] {
				v.add(differs, "the ledger does not know of %s %s", what, id)
			}
		}
	}
	v.judgeDevices(w, d)
	v.judgeScenes(ctx, w, d)
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
	events, ledger, err := w.readStore(ctx, read.ClientID, ref)
	if err != nil {
		v.add(differs, "%s: %v", ref, err)
		return
	}
	v.judgeRequests(l, events)
	v.judgeEngine(ctx, w, l, read)
	v.judgeEndpoints(l, read)
	acknowledged := l.hasActed()
	for _, e := range ledger {
		acknowledged = acknowledged || d.pressed[e.Token]
		v.judgeEffect(e, ledger, d, planned)
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
	alarmed := slices.ContainsFunc(read.Tasks, func(t incident.Task) bool { return t.Kind == incident.TaskNobodyReached }) ||
		slices.ContainsFunc(v.alarms, func(a models.Alarm) bool { return a.EndedAt.IsZero() && isAbout(a, ref) })
	switch {
	case acknowledged && read.Acknowledged == nil:
		v.add(lost, "%s: somebody pressed 1 or acted, and the incident is not acknowledged", ref)
	case !acknowledged && !alarmed:
		v.add(silent, "%s is critical; nobody pressed 1 or acted, and no task or alarm says so", ref)
	}
}

// judgeAlarms reads the operator's alarms. One about an incident must have ended by now, because everything runs; and
// somebody must have been told of a workflow that was terminated.
func (v *verdict) judgeAlarms(ctx context.Context, w *world) {
	const list = "/operator/alarms?all=true&limit=100"
	for path := list; path != ""; {
		var page struct {
			Items []models.Alarm
			Next  string
		}
		if err := w.stack.Dev.Person(models.RoleOperator, 0).Get(ctx, path, &page); err != nil {
			v.add(differs, "the alarms cannot be listed: %v", err)
			return
		}
		v.alarms = append(v.alarms, page.Items...)
		if path = ""; page.Next != "" {
			path = list + "&cursor=" + url.QueryEscape(page.Next)
		}
	}
	v.counts["operator's alarms"] = len(v.alarms)
	for _, l := range w.lives {
		told := false
		for _, a := range v.alarms {
			if !isAbout(a, l.reference()) {
				continue
			}
			told = told || a.Kind == models.AlarmNotRunning
			if a.EndedAt.IsZero() {
				v.add(differs, "the alarm %s about %s is open still: %s", a.Kind, a.Subject, a.Detail)
			}
		}
		if l.was("terminate") && !told {
			v.add(silent, "the workflow of %s was terminated, and no alarm said so", l.reference())
		}
	}
}

// isAbout reports whether an alarm is about an incident or one of its workflows.
func isAbout(a models.Alarm, r models.Reference) bool {
	return r != "" && (a.Subject == string(r) || strings.HasPrefix(a.Subject+"/", r.WorkflowID()+"/"))
}

// readStore verifies the incident's chain of events and reads it with its ledger.
func (w *world) readStore(ctx context.Context, client uuid.UUID, ref models.Reference) (events []incident.Event, ledger []store.LedgerRow, err error) {
	err = w.store.ForClient(ctx, store.SOC, client, func(tx *store.Tx) error {
		if err := tx.VerifyEvents(ref); err != nil {
			return err
		}
		deliveries, err := tx.Deliveries(ref, store.Cursor{}, 1000)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			row, err := tx.Effect(d.Key)
			if err != nil {
				return err
			}
			ledger = append(ledger, row)
		}
		events, err = tx.Events(ref, 0, 1000)
		return err
	})
	return events, ledger, err
}

// judgeRequests looks for each request's tag in what people did to the incident.
func (v *verdict) judgeRequests(l *life, events []incident.Event) {
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
		case !refused && status != 200 && status != 201 && n == 0:
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
	if t := read.OpenTask(incident.TaskDrift, ""); t != nil {
		v.add(device, "%s: %s", l.ref, t.Detail)
	}
	for _, e := range read.Endpoints {
		if l.wants[e.Hostname] == "isolated" && e.Observed != models.HostIsolated {
			v.add(differs, "%s wants %s isolated and shows it %s", l.ref, e.Hostname, e.Observed)
		}
	}
}

// leftAmbiguous counts calls of which the ledger says to the end that they may have been made. The carrier says only
// long after a call which one was ours; the round does not wait for that, it calls the next contact.
const leftAmbiguous = "calls left ambiguous"

// isSuperseded reports whether the endpoint's last action is another one of the same kind, which the EDR took: then it
// does not matter any more what became of an earlier one. An opposite action must have settled it.
func isSuperseded(e store.LedgerRow, ledger []store.LedgerRow) bool {
	last := e
	for _, a := range ledger {
		action := a.Kind == notify.EffectIsolate || a.Kind == notify.EffectRelease
		if action && a.Endpoint == e.Endpoint && cmp.Or(cmp.Compare(a.Revision, last.Revision), cmp.Compare(a.Occurrence, last.Occurrence)) > 0 {
			last = a
		}
	}
	return last.Key != e.Key && last.Kind == e.Kind && last.State == notify.EffectAccepted
}

// judgeEffect compares a row of an incident's ledger with what the vendors did.
func (v *verdict) judgeEffect(e store.LedgerRow, ledger []store.LedgerRow, d deeds, planned map[string]bool) {
	name, done := e.Key, true // a device may have been in that state already
	switch e.Kind {
	case notify.EffectMail:
		name = messageIDOf(e.Key)
		done = len(d.mails[name]) > 0
	case notify.EffectCall:
		name = e.Token
		done = len(d.calls[name]) > 0 && d.ids[e.VendorID]
	case notify.EffectText:
		name = d.textWith(e.Code())
		done = name != "" && d.ids[e.VendorID]
	}
	planned[name] = true
	v.counts["rows of the ledger"]++
	switch {
	case e.State == notify.EffectIntended && e.Attempts > 0 && e.Kind == notify.EffectCall && e.Outcome != "":
		v.counts[leftAmbiguous]++
	case e.State == notify.EffectIntended && e.Attempts > 0 && isSuperseded(e, ledger):
		v.counts["actions superseded"]++
	case e.State == notify.EffectIntended && e.Attempts > 0:
		v.add(differs, "%s is intended still, after %d attempts", e.Key, e.Attempts)
	case e.State == notify.EffectAccepted && !done:
		v.add(differs, "%s is accepted, and the vendor has nothing of it", e.Key)
	case e.State == notify.EffectCanceled && e.Kind == notify.EffectMail && done:
		v.add(differs, "%s is canceled, and the vendor sent it", e.Key)
	}
}

// judgeDevices compares the fleet with the last word of all incidents on each device: it is isolated while any of them
// wants it so.
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
		is := cmp.Or(d.devices[host], "normal") // nobody has asked the EDR about one that is not there
		if state != "unknown" && is != state {
			v.add(device, "%s is %s at the EDR, and %s was wanted last", host, is, state)
		}
	}
}

// awaitVerdict judges again and again until all is good, twice in a row with time for a late deed in between, or until
// patience is over. A problem of the kind enough ends it at once. Meanwhile the SOC completes its tasks about devices.
func (w *world) awaitVerdict(ctx context.Context, patience time.Duration, enough string) *verdict {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	good, last := false, -1
	for {
		look, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		w.completeDrift(look)
		v := w.judge(look)
		stop()
		if n := v.count(); n != last {
			last = n
			w.say("%d problems so far%s", n, v.first())
		}
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
