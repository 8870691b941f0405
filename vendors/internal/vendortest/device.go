package vendortest

import (
	"context"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
)

// edr has the methods that take the id of a device.
type edr interface {
	State(ctx context.Context, id string) (models.Host, error)
	Isolate(ctx context.Context, id, comment string) (string, error)
	Release(ctx context.Context, id, comment string) (string, error)
	Action(ctx context.Context, id, action string) (models.ActionState, error)
}

// RejectsNames checks that find rejects texts that are not the name of one device, and more of the vendor's.
// Whether anybody was asked is for the test to see.
func RejectsNames(t *testing.T, find func(ctx context.Context, hostname string) ([]models.Host, error), more ...string) {
	t.Helper()
	loose := []string{"", "*", "PC-*", "PC-?", " ", " PC-1", "PC-1\n", "a\x00b", strings.Repeat("x", 256)}
	for _, hostname := range append(loose, more...) {
		_, err := find(t.Context(), hostname)
		WantClass(t, err, models.Rejected)
	}
}

// RejectsIDs checks that these are not taken for the id of a device. Whether anybody was asked is
// for the test to see.
func RejectsIDs(t *testing.T, tenant edr, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := tenant.State(t.Context(), id)
		WantClass(t, err, models.Rejected)
		_, err = tenant.Isolate(t.Context(), id, "")
		WantClass(t, err, models.Rejected)
		_, err = tenant.Release(t.Context(), id, "")
		WantClass(t, err, models.Rejected)
		_, err = tenant.Action(t.Context(), id, "1")
		WantClass(t, err, models.Rejected)
	}
}
