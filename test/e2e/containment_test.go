package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	simedr "github.com/watchfire-mdr/watchfire/simulators/edr"
)

const (
	edrIncidents = 5 // of each vendor's client
	edrHosts     = 5 // of each incident: with eight vendors two hundred devices are isolated and released
)

// fleetEffects is a simulated EDR's record of the actions it carried out and of its devices' states.
type fleetEffects struct {
	Hosts []struct {
		Hostname, State, Status string // Status is CrowdStrike's name for the state
	}
	Commands []edrAction
}

// TestAWorkerKilledAtRandomIsolatesEveryDeviceOnceWithEveryVendor isolates and releases two hundred devices over all
// vendors while workers are killed. The vendors' own records are the oracle: at most one isolation takes effect for
// each request and none after its release, and in the end every device is in its desired state.
func TestAWorkerKilledAtRandomIsolatesEveryDeviceOnceWithEveryVendor(t *testing.T) {
	var all []*scene
	urls := maps.Clone(system.Simulators.EDR)
	urls["crowdstrike"] = system.Simulators.CrowdStrikeURL
	for _, vendor := range slices.Sorted(maps.Keys(urls)) {
		s := newClientScene(t, func(p *models.Policy) { p.TellAfter = models.Duration(time.Minute) })
		s.retry = true
		connectEDR(t, s, vendor, urls[vendor])
		for range edrIncidents {
			i := *s
			i.vendor = vendor
			i.open(models.SeverityLow)
			i.assess()
			i.publish()
			all = append(all, &i)
		}
	}
	seed := uint64(time.Now().UnixNano())
	printProgress("  seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 7))
	whileKilled(t, draw, func() {
		for _, s := range all {
			for n := range edrHosts {
				s.send(s.analyst, &incident.Isolate{Hostname: s.deviceName(n), Reason: "Files are being encrypted."})
			}
		}
		for _, s := range all {
			s.awaitContainment(incident.ContainmentContained)
		}
	})
	whileKilled(t, draw, func() {
		for _, s := range all {
			for n := range edrHosts {
				s.send(s.analyst, &incident.Release{Endpoint: fmt.Sprintf("e%d", n+1), Reason: "Reinstalled."})
			}
		}
		for _, s := range all {
			s.awaitContainment(incident.ContainmentReleased)
		}
	})
	for _, s := range all {
		s.wantOneIsolationEach()
	}
}

// whileKilled calls do while the worker is killed again and again, after random pauses. An activity of a killed worker
// is retried only after half a minute, so the number of kills is bounded.
func whileKilled(t *testing.T, draw *rand.Rand, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	killer := make(chan error, 1)
	go func() { killer <- killAtRandom(ctx, draw) }()
	do()
	cancel()
	if err := <-killer; err != nil {
		t.Fatal(err)
	}
}

// deviceName returns the host name of the n-th device of the scene's incident, from 0 on.
func (s *scene) deviceName(n int) string { return fmt.Sprintf("%s-%d", s.ref, n+1) }

// connectEDR enters the credentials of the client's own EDR and checks the connection, as an operator does.
func connectEDR(t *testing.T, s *scene, vendor, address string) {
	t.Helper()
	body := map[string]any{"vendor": vendor, "base_url": address, "values": withLogin(vendor, address)}
	if err := s.operator.Put(t.Context(), s.clientPath("/edr"), body, nil); err != nil {
		t.Fatalf("%s: %v", vendor, err)
	}
	var check models.EDRCheck
	if status := s.post(s.operator, s.clientPath("/edr/check"), nil, &check); status != http.StatusOK || !check.OK {
		t.Fatalf("%s: the check of the connection was answered with %d, %+v", vendor, status, check)
	}
}

// withLogin returns a simulated vendor's credentials, with the address of its tokens where that is a value of its own.
func withLogin(vendor, address string) map[string]string {
	values := simedr.Credentials(vendor)
	if vendor == "mde" || vendor == "sophos" {
		values["login_url"] = address
	}
	return values
}

// wantOneIsolationEach checks in the vendor's record that each of the scene's devices was isolated once and then
// released.
func (s *scene) wantOneIsolationEach() {
	s.t.Helper()
	var e fleetEffects
	s.effects(s.vendor, &e)
	for n := range edrHosts {
		var done []string
		for _, c := range e.Commands {
			if strings.EqualFold(c.Hostname, s.deviceName(n)) {
				done = append(done, cmp.Or(map[string]string{"contain": "isolate", "lift_containment": "release"}[c.Action], c.Action))
			}
		}
		if !slices.Equal(done, []string{"isolate", "release"}) {
			s.t.Errorf("%s: device %s: %v took effect, want one isolation and then its release", s.vendor, s.deviceName(n), done)
		}
		for _, h := range e.Hosts {
			if strings.EqualFold(h.Hostname, s.deviceName(n)) && h.State != "normal" && h.Status != "normal" {
				s.t.Errorf("%s: device %s ends in the state %s%s, want normal", s.vendor, s.deviceName(n), h.State, h.Status)
			}
		}
	}
}
