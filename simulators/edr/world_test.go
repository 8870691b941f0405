package edr

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
	"github.com/watchfire-mdr/watchfire/simulators/stage/stagetest"
)

const (
	testClientID = "falconclient0001"
	testSecret   = "falcon-secret-000001"
)

// world is all products' simulators.
type world struct {
	*stagetest.World
	EDR            map[string]string // base URLs by product
	CrowdStrikeURL string
	bearer         string // of CrowdStrike
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Hurried)
}

func unhurried(t *testing.T) *world {
	t.Helper()
	return worldAt(t, stagetest.Unhurried)
}

func worldAt(t *testing.T, pace float64) *world {
	t.Helper()
	w := &world{World: stagetest.NewWorld(t, pace), EDR: map[string]string{}}
	for _, product := range Products() {
		w.EDR[product] = w.Serve(New(w.Stage, product), Secrets(product)...)
	}
	falcon, err := NewCrowdStrike(w.Stage, testClientID, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	w.CrowdStrikeURL = w.Serve(falcon, append(Secrets("crowdstrike"), testSecret)...)
	return w
}

// fleetEffects is everything that requests to a simulated EDR really did.
type fleetEffects struct {
	Hosts      []fleetEffect     `json:"hosts"`
	Commands   []fleetCommand    `json:"commands"`
	Violations []stage.Violation `json:"violations"`
}

func (w *world) fleetEffects(product string) (e fleetEffects) {
	w.T.Helper()
	w.Effects(w.EDR[product], &e)
	return e
}
