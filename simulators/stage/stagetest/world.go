// Package stagetest is the ground for tests of the simulators: a client that speaks to them, a
// product that they call back, and the vendors' contracts.
//
// No vendor lives here: each simulator's own test serves it in a World.
package stagetest

import (
	"context"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// The paces of tests.
const (
	Hurried   = 0.02 // for tests that wait for an end
	Unhurried = 0.2  // for tests that look at something before its end: a sensor takes almost half a second
)

// World is a stage for simulators under test, with a client before and a product behind it.
type World struct {
	*Client
	Product *Product
	Stage   *stage.Stage
}

// NewWorld opens a world for the time of the test.
func NewWorld(t *testing.T, pace float64) *World {
	t.Helper()
	w := &World{Client: NewClient(t), Product: NewProduct(t), Stage: stage.New(t.Context(), pace, nil)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.Stage.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// Serve serves a simulator that masks these secrets in its journal, and returns its base URL.
func (w *World) Serve(v stage.Vendor, secrets ...string) string {
	w.T.Helper()
	base, err := w.Stage.Serve(v, "", stage.NewJournal(secrets))
	if err != nil {
		w.T.Fatal(err)
	}
	return base
}
