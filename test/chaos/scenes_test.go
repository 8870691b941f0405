package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// scenes are the cases that chance may leave out, played in every run while everything breaks.
type scenes struct {
	late          *life // its isolation's answer is lost, the isolation comes late each time, and it is released meanwhile
	first, second *life // both isolate the same two devices; the first one releases both, the second one the latter
}

// newScenes adds the incidents of the scenes.
func (w *world) newScenes() {
	clients := w.stack.Dev.Clients
	if w.plan.has("late isolation") && w.plan.has("faults") {
		l := w.newLife(clients[len(clients)-1])
		l.devices, l.play, w.scenes.late = []string{"LATE-1"}, l.releaseTooEarly, l
	}
	if w.plan.has("sharing") {
		one, two := w.newLife(clients[0]), w.newLife(clients[0])
		one.devices, two.devices = []string{"SHARED-1", "SHARED-2"}, []string{"SHARED-1", "SHARED-2"}
		isolated := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		released := make(chan struct{})
		one.play = func(ctx context.Context) { one.share(ctx, isolated[0], isolated[1], released, nil, 2) }
		two.play = func(ctx context.Context) { two.share(ctx, isolated[1], isolated[0], nil, released, 1) }
		w.scenes.first, w.scenes.second = one, two
	}
}

// openScenes opens the incident whose isolation comes late, before anything breaks, so that its request can be told,
// and lets the vendors spoil answers from now on.
func (w *world) openScenes() {
	faults := w.plan.faults()
	if l := w.scenes.late; l != nil {
		opening, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if !l.open(opening) {
			w.t.Fatal("an incident cannot be opened, though nothing breaks yet")
		}
		faults["crowdstrike"] = append([]stage.Rule{{
			Op: "device_action", Kind: stage.FaultLate, DelayMS: int(latest.Milliseconds()), Holds: l.isolations() + "1/",
		}}, faults["crowdstrike"]...)
	}
	for _, vendor := range slices.Sorted(maps.Keys(faults)) {
		w.steer(vendor, "faults", map[string]any{"rules": faults[vendor]})
	}
}

// isolations and releases begin the keys of the incident's actions.
func (l *life) isolations() string { return string(l.reference()) + "/isolate/" }
func (l *life) releases() string   { return string(l.reference()) + "/release/" }

// releaseTooEarly isolates a device and releases it while the isolation, whose answer is lost, has not come through.
func (l *life) releaseTooEarly(ctx context.Context) {
	if !l.begin(ctx) {
		return
	}
	l.turn(ctx, l.analyst, l.devices[0])
	for !l.isAsked(ctx, l.isolations()) {
		if !wait(ctx, 100*time.Millisecond) {
			return
		}
	}
	l.turn(ctx, l.responder, l.devices[0])
	l.untilCalm(ctx)
	l.sayLastWord(ctx)
}

// share isolates both devices, waits for the other incident to have done so, and releases the last n of them when it is
// its turn: after is closed by the other incident, nil to be first.
func (l *life) share(ctx context.Context, done, other, released, after chan struct{}, n int) {
	if !l.begin(ctx) {
		return
	}
	for _, host := range l.devices {
		l.turn(ctx, l.analyst, host)
	}
	for !l.isIsolated(ctx) {
		if !wait(ctx, 300*time.Millisecond) {
			return
		}
	}
	close(done)
	for _, turn := range []chan struct{}{other, after} {
		if turn == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-turn:
		}
	}
	for _, host := range l.devices[len(l.devices)-n:] {
		l.turn(ctx, l.responder, host)
	}
	if released != nil {
		close(released)
	}
	l.untilCalm(ctx)
	l.sayLastWord(ctx)
}

// untilCalm waits until nothing breaks any more.
func (l *life) untilCalm(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-l.w.calm:
	}
}

// isAsked reports whether the EDR got a request about an effect whose key begins so.
func (l *life) isAsked(ctx context.Context, key string) bool {
	entries, err := l.w.stack.Dev.Journal(ctx, "crowdstrike")
	return err == nil && slices.ContainsFunc(entries, func(e stage.Entry) bool { return strings.HasPrefix(actionKey(e), key) })
}

// isIsolated reports whether the incident shows all its devices isolated.
func (l *life) isIsolated(ctx context.Context) bool {
	var i incident.Incident
	attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return l.analyst.Get(attempt, "/incidents/"+string(l.reference()), &i) == nil && len(i.Endpoints) == len(l.devices) &&
		!slices.ContainsFunc(i.Endpoints, func(e incident.Endpoint) bool { return e.Observed != models.HostIsolated })
}

// judgeScenes checks what is special about the scenes. Their devices are judged like all others.
func (v *verdict) judgeScenes(ctx context.Context, w *world, d deeds) {
	if l := w.scenes.late; l != nil {
		landed := slices.ContainsFunc(d.late, func(key string) bool { return strings.HasPrefix(key, l.isolations()) })
		v.counts["isolations that came late in the scene"] = 0
		if landed {
			v.counts["isolations that came late in the scene"]++
		} else {
			v.add(uncovered, "no isolation of %s came late", l.reference())
		}
	}
	first, second := w.scenes.first, w.scenes.second
	if first == nil {
		return
	}
	var i incident.Incident
	if err := first.analyst.Get(ctx, "/incidents/"+string(first.reference()), &i); err != nil {
		v.add(differs, "%s cannot be read: %v", first.reference(), err)
		return
	}
	if len(i.Endpoints) != 2 || first.wants["SHARED-1"] != "normal" || second.wants["SHARED-2"] != "normal" {
		v.add(uncovered, "the two incidents did not come to release their devices")
		return
	}
	// The second incident wants SHARED-1 isolated all the time. Of SHARED-2 it may let go before the first one does.
	kept := i.Endpoints[slices.IndexFunc(i.Endpoints, func(e incident.Endpoint) bool { return e.Hostname == "SHARED-1" })]
	if !slices.Contains(kept.HeldBy, second.reference()) {
		v.add(device, "%s does not say that %s holds %s", first.reference(), second.reference(), kept.Hostname)
	}
	v.counts["releases held for another incident"] = len(kept.HeldBy)
	for key := range d.actions {
		if strings.HasPrefix(key, first.releases()) && strings.Contains(key, "/"+kept.ID+"/") {
			v.add(device, "%s was sent, though %s wanted the device isolated", key, second.reference())
		}
	}
}

// completeDrift does what the SOC does about a device that changed by itself: it reads the task and completes it,
// whereupon the product acts again. Each task is completed once.
func (w *world) completeDrift(ctx context.Context) {
	for _, l := range w.lives {
		var i incident.Incident
		if l.reference() == "" || l.analyst.Get(ctx, "/incidents/"+string(l.reference()), &i) != nil {
			continue
		}
		for _, t := range i.Tasks {
			tag := fmt.Sprintf("%s-%s", l.reference(), t.ID)
			if t.Kind != incident.TaskDrift || t.Done || w.told[tag] {
				continue
			}
			path := "/incidents/" + string(l.reference()) + "/complete-task"
			if _, err := l.analyst.PostAs(ctx, tag, path, &incident.CompleteTask{Task: t.ID}, nil); err != nil {
				w.say("%s: the task %s is not completed yet: %v", l.reference(), t.ID, err)
				continue
			}
			w.say("%s: %s; the SOC completes the task", l.reference(), t.Detail)
			w.told[tag] = true
		}
	}
}
