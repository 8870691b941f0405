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

// fleetEffects is what a simulated EDR says was really done to its devices.
type fleetEffects struct {
	Hosts []struct {
		Hostname, State, Status string // Status: CrowdStrike's word for it
	}
	Commands []order
}

// TestAWorkerKilledAtRandomIsolatesEveryDeviceOnceWithEveryVendor isolates and releases two hundred devices over all
// vendors while workers are killed. The vendors' own books are the oracle: at most one isolation takes effect for each
// request and none after its release, and in the end every device is as wanted.
func TestAWorkerKilledAtRandomIsolatesEveryDeviceOnceWithEveryVendor(t *testing.T) {
	var all []*scene
	urls := maps.Clone(house.Simulators.EDR)
	urls["crowdstrike"] = house.Simulators.CrowdStrikeURL
	for _, vendor := range slices.Sorted(maps.Keys(urls)) {
		s := newcomer(t, func(p *models.Policy) { p.TellAfter = models.Duration(time.Minute) })
		s.rough = true
		connect(t, s, vendor, urls[vendor])
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
	tell("  seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 7))
	whileKilled(t, draw, func() {
		for _, s := range all {
			for n := range edrHosts {
				s.give(s.analyst, &incident.Isolate{Hostname: s.device(n), Reason: "Files are being encrypted."})
			}
		}
		for _, s := range all {
			s.contained(incident.ContainmentContained)
		}
	})
	whileKilled(t, draw, func() {
		for _, s := range all {
			for n := range edrHosts {
				s.give(s.analyst, &incident.Release{Endpoint: fmt.Sprintf("e%d", n+1), Reason: "Reinstalled."})
			}
		}
		for _, s := range all {
			s.contained(incident.ContainmentReleased)
		}
	})
	for _, s := range all {
		s.wantOneIsolationEach()
	}
}

// whileKilled does something while the worker is killed again and again, after pauses nobody can foresee. What a worker
// had in hand when it was killed is tried again after half a minute, so the kills come to an end.
func whileKilled(t *testing.T, draw *rand.Rand, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	nemesis := make(chan error, 1)
	go func() { nemesis <- killAtRandom(ctx, draw) }()
	do()
	cancel()
	if err := <-nemesis; err != nil {
		t.Fatal(err)
	}
}

// device is the host name of the n-th device of a scene's incident.
func (s *scene) device(n int) string { return fmt.Sprintf("%s-%d", s.ref, n+1) }

// connect gives a client its own EDR and checks the connection, as an operator does.
func connect(t *testing.T, s *scene, vendor, address string) {
	t.Helper()
	body := map[string]any{"vendor": vendor, "base_url": address, "values": withLogin(vendor, address)}
	if err := s.operator.Put(t.Context(), s.client("/edr"), body, nil); err != nil {
		t.Fatalf("%s: %v", vendor, err)
	}
	var check models.EDRCheck
	if status := s.send(s.operator, s.client("/edr/check"), nil, &check); status != http.StatusOK || !check.OK {
		t.Fatalf("%s: the connection test says %d, %+v", vendor, status, check)
	}
}

// withLogin adds where a simulated vendor's tokens come from, if that is an address of its own.
func withLogin(vendor, address string) map[string]string {
	values := simedr.Credentials(vendor)
	if vendor == "mde" || vendor == "sophos" {
		values["login_url"] = address
	}
	return values
}

// wantOneIsolationEach checks the vendor's books about the scene's devices.
func (s *scene) wantOneIsolationEach() {
	s.t.Helper()
	var e fleetEffects
	s.effects(s.vendor, &e)
	for n := range edrHosts {
		var done []string
		for _, c := range e.Commands {
			if strings.EqualFold(c.Hostname, s.device(n)) {
				done = append(done, cmp.Or(map[string]string{"contain": "isolate", "lift_containment": "release"}[c.Action], c.Action))
			}
		}
		if !slices.Equal(done, []string{"isolate", "release"}) {
			s.t.Errorf("%s: device %s: %v took effect, want one isolation and then its release", s.vendor, s.device(n), done)
		}
		for _, h := range e.Hosts {
			if strings.EqualFold(h.Hostname, s.device(n)) && h.State != "normal" && h.Status != "normal" {
				s.t.Errorf("%s: device %s ends as %s%s", s.vendor, s.device(n), h.State, h.Status)
			}
		}
	}
}
