package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// patience bounds every wait of the demo.
const patience = 2 * time.Minute

// demo is one incident played through by its people.
type demo struct {
	dev   stack.Dev
	out   io.Writer
	began time.Time

	analyst, responder, admin stack.Person
	contacts                  map[uuid.UUID]models.Contact

	ref        models.Reference
	incident   incident.Incident
	events     []incident.Event
	deliveries []notify.Delivery
	journal    map[string][]stage.Entry
	durations  map[string]time.Duration
}

func newDemo(dev stack.Dev, out io.Writer) *demo {
	d := &demo{
		dev: dev, out: out, began: time.Now(), contacts: map[uuid.UUID]models.Contact{}, durations: map[string]time.Duration{},
		journal: map[string][]stage.Entry{},
		analyst: dev.Person(models.RoleAnalyst, 0), responder: dev.Person(models.RoleResponder, demoClient), admin: dev.Person(models.RoleAdmin, demoClient),
	}
	for _, c := range dev.Clients {
		for _, p := range c.Contacts {
			d.contacts[p.ID] = p
		}
	}
	return d
}

// line tells one thing that happened, with the time since the demo began.
func (d *demo) line(format string, args ...any) {
	fmt.Fprintf(d.out, "%7.2fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// play goes through the whole life of the incident.
func (d *demo) play(ctx context.Context, finding []byte) error {
	for _, act := range []func(context.Context) error{
		d.setPersonas,
		func(ctx context.Context) error { return d.open(ctx, finding) },
		d.investigate, d.publish, d.reached, d.contained, d.refused, d.handle, d.close,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setPersonas lets the first contact sleep through the call and the second pick up.
func (d *demo) setPersonas(ctx context.Context) error {
	c := d.dev.Clients[0].Contacts
	return d.dev.Steer(ctx, "twilio", "personas", map[string]any{"personas": map[string]string{c[0].Phone: "no_answer", c[1].Phone: "repeats_then_acknowledges"}})
}

func (d *demo) open(ctx context.Context, finding []byte) error {
	var received struct {
		Outcome string       `json:"outcome"`
		Alert   models.Alert `json:"alert"`
	}
	if err := d.analyst.Post(ctx, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", demoClient), finding, &received); err != nil {
		return fmt.Errorf("hand in the finding: %w", err)
	}
	d.line("a finding arrives: %q (%s)", received.Alert.Title, received.Alert.Severity)
	if received.Alert.Problem != "" {
		d.line("it could not be normalised and is kept raw for an analyst: %s", received.Alert.Problem)
	}
	opening := map[string]any{"client": demoClient, "alerts": []uuid.UUID{received.Alert.ID}, "severity": models.SeverityCritical}
	if received.Alert.Title == "" {
		opening["title"] = "Finding that could not be normalised"
	}
	if err := d.analyst.Post(ctx, "/incidents", opening, &d.incident); err != nil {
		return fmt.Errorf("open the incident: %w", err)
	}
	d.ref = d.incident.Reference
	d.line("the analyst opens %s for %s; its workflow is %s", d.ref, d.dev.Clients[0].LegalName, d.ref.WorkflowID())
	return nil
}

func (d *demo) investigate(ctx context.Context) error {
	host := "FILESRV-01"
	summary := "An unsigned process is encrypting files on two shares. The host is being isolated."
	threat := "Ransomware. What is not isolated within minutes will be encrypted; backups on reachable shares are at risk."
	techniques := []string{"T1486"}
	assets := []string{host}
	return d.give(ctx, d.analyst,
		&incident.Assess{Summary: &summary, Threat: &threat, Techniques: &techniques, Assets: &assets},
		&incident.Recommend{Text: "Reset the passwords of all accounts that signed in to FILESRV-01 in the last 24 hours."},
		&incident.RecommendResponseTeam{Engage: true, Criteria: "Active encryption on a server with client data."},
		&incident.Isolate{Hostname: host, Reason: "Files are being encrypted."},
	)
}

func (d *demo) publish(ctx context.Context) error { return d.give(ctx, d.analyst, &incident.Publish{}) }

// give lets a person give commands, one after the other.
func (d *demo) give(ctx context.Context, p stack.Person, commands ...incident.Command) error {
	for _, c := range commands {
		if _, err := p.Command(ctx, d.ref, c); err != nil {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
		if err := d.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// look reads what is new and tells it.
func (d *demo) look(ctx context.Context) error {
	last := 0
	if len(d.events) > 0 {
		last = d.events[len(d.events)-1].Seq
	}
	var page struct{ Items []incident.Event }
	if err := d.analyst.Get(ctx, fmt.Sprintf("/incidents/%s/events?cursor=%d&limit=200", d.ref, last), &page); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for _, e := range page.Items {
		d.events = append(d.events, e)
		if told := d.tell(e); told != "" {
			d.line("%s", told)
		}
	}
	return d.analyst.Get(ctx, "/incidents/"+string(d.ref), &d.incident)
}

// await looks until something is so.
func (d *demo) await(ctx context.Context, what string, so func(incident.Incident) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := d.look(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if so(d.incident) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen within %s", what, patience)
		case <-tick.C:
		}
	}
}

func (d *demo) reached(ctx context.Context) error {
	return d.await(ctx, "the acknowledgement by phone", func(i incident.Incident) bool { return i.Acknowledged != nil && !i.CallRoundEnded.IsZero() })
}

func (d *demo) contained(ctx context.Context) error {
	return d.await(ctx, "the EDR's confirmation of the isolation", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentContained })
}

// refused shows that nobody at the SOC can close a published incident.
func (d *demo) refused(ctx context.Context) error {
	_, err := d.analyst.Command(ctx, d.ref, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "tidy up"})
	var refusal *stack.Refusal
	if !errors.As(err, &refusal) || refusal.Status != http.StatusConflict {
		return fmt.Errorf("an analyst's request to close was not refused: %w", err)
	}
	d.line("the analyst tries to close it and is refused: %s", refusal.Detail)
	return nil
}

// handle is the client's part: read, act, release.
func (d *demo) handle(ctx context.Context) error {
	err := d.give(ctx, d.responder,
		&incident.Acknowledge{Revision: 1},
		&incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Change CHG-2209: 14 passwords reset."},
		&incident.Release{Endpoint: "e1", Reason: "Reinstalled from a clean image."},
	)
	if err != nil {
		return err
	}
	return d.await(ctx, "the EDR's confirmation of the release", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentReleased })
}

func (d *demo) close(ctx context.Context) error {
	if err := d.give(ctx, d.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Server restored, users informed."}); err != nil {
		return err
	}
	if err := d.give(ctx, d.analyst, &incident.Verify{Gone: true, Note: "No encryption, no beacon for an hour after the release."}); err != nil {
		return err
	}
	if err := d.await(ctx, "the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed }); err != nil {
		return err
	}
	if err := d.give(ctx, d.admin, &incident.GiveFeedback{Rating: 5, Comment: "We were called before we saw it ourselves."}); err != nil {
		return err
	}
	mailed := func(incident.Incident) bool {
		n := 0
		for _, e := range d.events {
			if m, ok := e.Data.(*incident.ContactMessaged); ok && m.Purpose == notify.PurposeClosed {
				n++
			}
		}
		return n >= len(d.dev.Clients[0].Contacts)
	}
	return d.await(ctx, "the mails about the closure", mailed)
}

func (d *demo) name(id uuid.UUID) string {
	c := d.contacts[id]
	return c.Name + " (" + c.Role + ")"
}

// who names an actor.
func (d *demo) who(a models.Actor) string {
	if id, ok := a.Contact(); ok {
		return d.name(id)
	}
	if a.Side == models.SideClient {
		return "the client's " + string(a.Role)
	}
	return "the " + string(a.Role)
}

// write leaves the incident, its deliveries, the durations and the simulators' journals for whoever wants to check.
func (d *demo) write(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if d.ref != "" {
		if err := d.readDeliveries(ctx); err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
	}
	for vendor := range d.dev.Simulators {
		entries, err := d.dev.Journal(ctx, vendor)
		if err != nil {
			return fmt.Errorf("read journal of %s: %w", vendor, err)
		}
		d.journal[vendor] = entries
	}
	d.measure()
	seconds := map[string]float64{}
	for name, took := range d.durations {
		seconds[name] = took.Seconds()
	}
	all := slices.Concat(slices.Collect(maps.Values(d.journal))...)
	slices.SortStableFunc(all, func(a, b stage.Entry) int { return a.At.Compare(b.At) })
	if err := writeJSON(filepath.Join(dir, "journal.json"), all); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "demo.json"), map[string]any{
		"incident": d.incident, "events": d.events, "deliveries": d.deliveries, "durations_seconds": seconds,
	})
}

// readDeliveries reads every page of them.
func (d *demo) readDeliveries(ctx context.Context) error {
	path := "/incidents/" + string(d.ref) + "/deliveries?limit=200"
	for target := path; ; {
		var page struct {
			Items []notify.Delivery
			Next  string
		}
		if err := d.analyst.Get(ctx, target, &page); err != nil {
			return err
		}
		d.deliveries = append(d.deliveries, page.Items...)
		if page.Next == "" {
			return nil
		}
		target = path + "&cursor=" + page.Next
	}
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
