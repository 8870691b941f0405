package reconcile

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models/incident"
)

func TestTalkHidesNoDeadDevice(t *testing.T) {
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	p := (&Reconciler{}).newPass()
	isGone := func(after time.Duration) bool {
		p.now = now.Add(after)
		return p.isGone("device", incident.Incident{UpdatedAt: p.now.Add(-time.Second)}) // somebody commented a second ago
	}
	if isGone(0) || isGone(9*time.Second) {
		t.Error("a workflow that is on its way is gone")
	}
	if !isGone(11 * time.Second) {
		t.Error("a workflow that did not run for eleven seconds is on its way")
	}
	if !p.isGone("another", incident.Incident{UpdatedAt: p.now.Add(-11 * time.Second)}) {
		t.Error("nothing happened for eleven seconds, and a workflow is on its way")
	}
}
