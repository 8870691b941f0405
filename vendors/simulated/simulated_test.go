package simulated_test

import (
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/vendors/simulated"
)

func TestACallRingsOut(t *testing.T) {
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	h := simulated.House{Now: func() time.Time { return now }}
	call, err := h.Place(t.Context(), models.OutboundCall{RingFor: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  models.CallStatus
	}{{0, models.CallRinging}, {29 * time.Second, models.CallRinging}, {30 * time.Second, models.CallNoAnswer}} {
		now = call.At.Add(c.after)
		if got, err := h.Status(t.Context(), call.ID); err != nil || got.Status != c.want {
			t.Errorf("after %s: %s, %v; want %s", c.after, got.Status, err, c.want)
		}
	}
	if _, err := h.Status(t.Context(), "CA1"); models.ClassOf(err) != models.Rejected {
		t.Errorf("a call it never took: %v", err)
	}
}
