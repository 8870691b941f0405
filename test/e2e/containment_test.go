package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
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
		DeviceID                string `json:"device_id"`
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
	for n := range edrHosts {
		if done := s.actionsOn(s.deviceName(n)); !slices.Equal(done, []string{"isolate", "release"}) {
			s.t.Errorf("%s: device %s: %v took effect, want one isolation and then its release", s.vendor, s.deviceName(n), done)
		}
		s.wantState(s.deviceName(n), "normal")
	}
}

// isolationOps are the names of each vendor's operation that isolates a device.
var isolationOps = map[string]string{
	"carbonblack": "device_action", "cortex": "isolate", "crowdstrike": "device_action", "elastic": "isolate", "mde": "isolate",
	"sentinelone": "disconnect", "sophos": "change_isolation", "trend": "isolate_endpoint",
}

// The vendor isolates a device long after it was asked to, and nobody gets its answer. Meanwhile the release is asked
// for. In the end the device is not cut off, whatever the vendor.
func TestAnIsolationThatLandsAfterItsReleaseWasAskedForDoesNotLast(t *testing.T) {
	var all []*scene
	urls := maps.Clone(system.Simulators.EDR)
	urls["crowdstrike"] = system.Simulators.CrowdStrikeURL
	for _, vendor := range slices.Sorted(maps.Keys(urls)) {
		s := newClientScene(t, func(*models.Policy) {})
		s.vendor = vendor
		connectEDR(t, s, vendor, urls[vendor])
		s.open(models.SeverityLow)
		s.assess()
		s.publish()
		s.faults(vendor, rule{Op: isolationOps[vendor], Kind: "late", DelayMS: 5000, Times: 1})
		s.send(s.analyst, &incident.Isolate{Hostname: s.deviceName(0), Reason: "Files are being encrypted."})
		s.await("the failure of the isolation", func() (bool, error) {
			return slices.ContainsFunc(eventsOf[*incident.EndpointObserved](s), func(o *incident.EndpointObserved) bool { return o.Problem != "" }), nil
		})
		s.send(s.analyst, &incident.Release{Endpoint: "e1", Reason: "The wrong device."})
		all = append(all, s)
	}
	for _, s := range all {
		s.awaitContainment(incident.ContainmentReleased)
		s.await("the late isolation", func() (bool, error) { return len(s.actionsOn(s.deviceName(0))) > 0, nil })
		if done := s.actionsOn(s.deviceName(0)); !slices.Equal(done, []string{"isolate", "release"}) {
			t.Errorf("%s: %v took effect, want the isolation and then its release", s.vendor, done)
		}
		s.wantState(s.deviceName(0), "normal")
	}
}

// Two incidents of one client isolate one device. It stays isolated until the last of them lets go.
func TestADeviceOfTwoIncidentsIsReleasedWhenTheLastLetsGo(t *testing.T) {
	first := newScene(t, 1)
	first.vendor = "crowdstrike"
	second := *first
	for _, s := range []*scene{first, &second} {
		s.open(models.SeverityLow)
		s.assess()
		s.publish()
		s.isolate()
		s.awaitContainment(incident.ContainmentContained)
		s.awaitTaken()
	}
	first.settleAndRelease()
	if e := first.current().Endpoints[0]; !slices.Equal(e.HeldBy, []models.Reference{second.ref}) {
		t.Errorf("the first endpoint is held by %v, want %s", e.HeldBy, second.ref)
	}
	first.wantState(first.host, "isolated")
	first.wantIsolations(second.ref)
	first.closeIncident() // others hold the device, which is no reason not to close
	second.settleAndRelease()
	second.wantState(second.host, "normal")
	if done := second.actionsOn(second.host); !slices.Equal(done, []string{"isolate", "release"}) {
		t.Errorf("%v took effect, want one isolation and one release", done)
	}
	second.wantIsolations()
}

// A person releases a device for all incidents by its name; the other incident sees it.
func TestAReleaseForAllIsSeenByTheOtherIncident(t *testing.T) {
	first := newScene(t, 1)
	first.vendor = "crowdstrike"
	second := *first
	for _, s := range []*scene{first, &second} {
		s.open(models.SeverityLow)
		s.assess()
		s.publish()
		s.isolate()
		s.awaitContainment(incident.ContainmentContained)
		s.awaitTaken()
	}
	name := first.current().Endpoints[0].Name()
	first.send(first.responder, &incident.Release{Endpoint: "e1", Reason: "All clear.", ForAll: name})
	first.awaitContainment(incident.ContainmentReleased)
	first.wantState(first.host, "normal")
	second.until("the task about the release", func(i incident.Incident) bool {
		task := i.OpenTask(incident.TaskDrift, "e1")
		return task != nil && strings.Contains(task.Detail, string(first.ref))
	})
	second.settleAndRelease()
}

// A device that the client keeps isolated at closure stays in everybody's sight, and is released on the client's word
// long after.
func TestADeviceKeptAtClosureIsReleasedAfterIt(t *testing.T) {
	s := newScene(t, 2)
	s.vendor = "crowdstrike"
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitContainment(incident.ContainmentContained)
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Done."})
	s.send(s.responder, &incident.KeepIsolated{Endpoint: "e1", Reason: "It is evidence."})
	s.closeIncident()
	s.wantIsolations(s.ref)
	s.send(s.analyst, &incident.ExtendIsolation{Endpoint: "e1", Reason: "The police has not come yet."})
	s.send(s.responder, &incident.Release{Endpoint: "e1", Reason: "Handed over."})
	s.awaitContainment(incident.ContainmentReleased)
	s.wantState(s.host, "normal")
	s.wantIsolations()
}

// While a device of the client is isolated, on its way there or back, or kept at closure, nobody turns the client's EDR
// to another account or removes it: the device could not be released any more. The credentials as they are, whose secret
// may be a new one, are taken.
func TestTheEDRStaysTheSameWhileADeviceIsIsolated(t *testing.T) {
	s := newClientScene(t, func(*models.Policy) {})
	s.vendor = "crowdstrike"
	connectEDR(t, s, s.vendor, system.Simulators.CrowdStrikeURL)
	s.setDevicePersona("offline")
	s.open(models.SeverityLow)
	s.assess()
	s.publish()
	s.isolate()
	s.awaitTaken()
	s.wantSameEDR("the isolation is under way")
	s.setDevicePersona("online")
	s.awaitContainment(incident.ContainmentContained)
	s.wantSameEDR("it is isolated")
	s.send(s.responder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Done."})
	s.send(s.responder, &incident.KeepIsolated{Endpoint: "e1", Reason: "It is evidence."})
	s.closeIncident()
	s.wantSameEDR("it is kept at closure")
	s.setDevicePersona("offline")
	s.send(s.responder, &incident.Release{Endpoint: "e1", Reason: "Handed over."})
	s.awaitContainment(incident.ContainmentReleasing)
	s.await("the EDR to take the release", func() (bool, error) { return len(s.actions()) == 2, nil })
	s.wantSameEDR("the release is under way")
	s.setDevicePersona("online")
	s.awaitContainment(incident.ContainmentReleased)
	s.wantState(s.host, "normal")
	s.wantIsolations()
	if err := s.putEDR(toAnotherTenant); err != nil {
		t.Errorf("after the release the EDR's tenant is not changed: %v", err)
	}
	if err := s.operator.Delete(t.Context(), s.clientPath("/edr")); err != nil {
		t.Errorf("after the release the EDR is not removed: %v", err)
	}
}

func toAnotherTenant(c *models.EDRCredentials) {
	c.Values["member_cid"] = strings.ReplaceAll(uuid.NewString(), "-", "")
}

// putEDR lets the lead set the credentials of connectEDR with a change.
func (s *scene) putEDR(change func(*models.EDRCredentials)) error {
	c := models.EDRCredentials{Vendor: "crowdstrike", BaseURL: system.Simulators.CrowdStrikeURL, Values: withLogin("crowdstrike", "")}
	change(&c)
	return s.lead.Put(s.t.Context(), s.clientPath("/edr"), c, nil)
}

// wantSameEDR checks that the client's EDR cannot be removed or changed for another one while the scene's device is
// listed as isolated.
func (s *scene) wantSameEDR(when string) {
	s.t.Helper()
	s.wantIsolations(s.ref)
	wantRefused := func(what string, err error) {
		var refused *stack.APIError
		if !errors.As(err, &refused) || refused.Status != http.StatusConflict || !strings.Contains(refused.Detail, "isolated through crowdstrike") {
			s.t.Errorf("%s, %s: %v, want a conflict that says why", when, what, err)
		}
	}
	wantRefused("removal", s.operator.Delete(s.t.Context(), s.clientPath("/edr")))
	mde := system.Simulators.EDR["mde"]
	for what, change := range byName(map[string]func(*models.EDRCredentials){
		"another tenant":  toAnotherTenant,
		"another account": func(c *models.EDRCredentials) { c.Values["client_id"] = "of-another-account" },
		"another address": func(c *models.EDRCredentials) { c.BaseURL = mde },
		"another vendor":  func(c *models.EDRCredentials) { c.Vendor, c.BaseURL, c.Values = "mde", mde, withLogin("mde", mde) },
	}) {
		wantRefused(what, s.putEDR(change))
	}
	if err := s.putEDR(func(*models.EDRCredentials) {}); err != nil {
		s.t.Errorf("%s, the same account: %v", when, err)
	}
}

// awaitTaken waits until the EDR has taken the incident's own isolation: a device may be isolated for another incident.
func (s *scene) awaitTaken() {
	s.t.Helper()
	s.await("the EDR to take the isolation", func() (bool, error) {
		var list struct{ Items []incident.Isolation }
		err := s.responder.Get(s.t.Context(), s.clientPath("/isolations"), &list)
		return slices.ContainsFunc(list.Items, func(i incident.Isolation) bool { return i.Incident == s.ref && !i.Since.IsZero() }), err
	})
}

// wantIsolations checks the list of the scene's devices that are isolated now, by their incidents.
func (s *scene) wantIsolations(want ...models.Reference) {
	s.t.Helper()
	var list struct{ Items []incident.Isolation }
	if err := s.responder.Get(s.t.Context(), s.clientPath("/isolations"), &list); err != nil {
		s.t.Fatal(err)
	}
	var got []models.Reference
	for _, i := range list.Items {
		if i.Hostname == s.host {
			got = append(got, i.Incident)
			if i.Since.IsZero() || i.RequestedBy.ID == "" {
				s.t.Errorf("the isolation does not say since when and by whom: %+v", i)
			}
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the isolations of %s are listed for %v, want %v", s.host, got, want)
	}
}

// actionsOn returns the isolations and releases of a device that took effect, in the vendor's record.
func (s *scene) actionsOn(hostname string) (done []string) {
	s.t.Helper()
	var e fleetEffects
	s.effects(s.vendor, &e)
	for _, c := range e.Commands {
		if strings.EqualFold(c.Hostname, hostname) {
			done = append(done, cmp.Or(map[string]string{"contain": "isolate", "lift_containment": "release"}[c.Action], c.Action))
		}
	}
	return done
}

// wantState checks the state of a device in the vendor's record: "normal" or "isolated".
func (s *scene) wantState(hostname, want string) {
	s.t.Helper()
	var e fleetEffects
	s.effects(s.vendor, &e)
	for _, h := range e.Hosts {
		got := cmp.Or(h.State, strings.ReplaceAll(h.Status, "contained", "isolated"))
		if strings.EqualFold(h.Hostname, hostname) && got != want {
			s.t.Errorf("%s: device %s is %s, want %s", s.vendor, hostname, got, want)
		}
	}
}
