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

// demo plays one incident through, as the people who handle it.
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

// printLine tells one thing that happened, with the time since the demo began.
func (d *demo) printLine(format string, args ...any) {
	fmt.Fprintf(d.out, "%7.2fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// play takes the incident through its whole life. It returns the error of the first step that does not happen.
func (d *demo) play(ctx context.Context, finding []byte) error {
	for _, act := range []func(context.Context) error{
		d.setPersonas,
		func(ctx context.Context) error { return d.open(ctx, finding) },
		d.investigate, d.publish, d.awaitAcknowledgement, d.awaitIsolation, d.failToCloseAsSOC, d.workAsClient, d.close,
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

// open hands in the finding and opens a critical incident for it.
func (d *demo) open(ctx context.Context, finding []byte) error {
	var received struct {
		Outcome string       `json:"outcome"`
		Alert   models.Alert `json:"alert"`
	}
	if err := d.analyst.Post(ctx, fmt.Sprintf("/alerts/ocsf?client=%d&source=integration", demoClient), finding, &received); err != nil {
		return fmt.Errorf("hand in the finding: %w", err)
	}
	d.printLine("a finding arrives: %q (%s)", received.Alert.Title, received.Alert.Severity)
	if received.Alert.Problem != "" {
		d.printLine("Watchfire cannot normalise the finding and keeps it raw for an analyst: %s", received.Alert.Problem)
	}
	opening := map[string]any{"client": demoClient, "alerts": []uuid.UUID{received.Alert.ID}, "severity": models.SeverityCritical}
	if received.Alert.Title == "" {
		opening["title"] = "Finding that Watchfire cannot normalise"
	}
	if err := d.analyst.Post(ctx, "/incidents", opening, &d.incident); err != nil {
		return fmt.Errorf("open the incident: %w", err)
	}
	d.ref = d.incident.Reference
	d.printLine("the analyst opens %s for %s; its workflow is %s", d.ref, d.dev.Clients[0].LegalName, d.ref.WorkflowID())
	return nil
}

// investigate assesses the incident, recommends and asks for the isolation of the host.
func (d *demo) investigate(ctx context.Context) error {
	host := "FILESRV-01"
	summary := "An unsigned process is encrypting files on two shares. The host is being isolated."
	threat := "Ransomware. It encrypts every host that is not isolated within minutes; backups on reachable shares are at risk."
	techniques := []string{"T1486"}
	assets := []string{host}
	return d.sendCommands(ctx, d.analyst,
		&incident.Assess{Summary: &summary, Threat: &threat, Techniques: &techniques, Assets: &assets},
		&incident.Recommend{Text: "Reset the passwords of all accounts that signed in to FILESRV-01 in the last 24 hours."},
		&incident.RecommendResponseTeam{Engage: true, Criteria: "Active encryption on a server with client data."},
		&incident.Isolate{Hostname: host, Reason: "Files are being encrypted."},
	)
}

func (d *demo) publish(ctx context.Context) error {
	return d.sendCommands(ctx, d.analyst, &incident.Publish{})
}

// sendCommands lets a person send commands, one after the other, and tells the events of each.
func (d *demo) sendCommands(ctx context.Context, p stack.Person, commands ...incident.Command) error {
	for _, c := range commands {
		if _, err := p.Command(ctx, d.ref, c); err != nil {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
		if err := d.tellNewEvents(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tellNewEvents reads the events since the last time, tells them and reads the incident.
func (d *demo) tellNewEvents(ctx context.Context) error {
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
		if line := d.eventLine(e); line != "" {
			d.printLine("%s", line)
		}
	}
	return d.analyst.Get(ctx, "/incidents/"+string(d.ref), &d.incident)
}

// await tells new events until the incident is as wanted; what names that in the error after patience.
func (d *demo) await(ctx context.Context, what string, isSo func(incident.Incident) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := d.tellNewEvents(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if isSo(d.incident) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen within %s", what, patience)
		case <-tick.C:
		}
	}
}

func (d *demo) awaitAcknowledgement(ctx context.Context) error {
	return d.await(ctx, "the acknowledgement by phone", func(i incident.Incident) bool { return i.Acknowledged != nil && !i.CallRoundEnded.IsZero() })
}

func (d *demo) awaitIsolation(ctx context.Context) error {
	return d.await(ctx, "the EDR's confirmation of the isolation", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentContained })
}

// failToCloseAsSOC shows that nobody at the SOC can close a published incident.
func (d *demo) failToCloseAsSOC(ctx context.Context) error {
	_, err := d.analyst.Command(ctx, d.ref, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "tidy up"})
	var rejected *stack.APIError
	if !errors.As(err, &rejected) || rejected.Status != http.StatusConflict {
		return fmt.Errorf("an analyst's request for closure was not rejected: %w", err)
	}
	d.printLine("the analyst requests closure and is rejected: %s", rejected.Detail)
	return nil
}

// workAsClient is the client's part: acknowledge, settle the recommendation, release the endpoint.
func (d *demo) workAsClient(ctx context.Context) error {
	err := d.sendCommands(ctx, d.responder,
		&incident.Acknowledge{Revision: 1},
		&incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: "Change CHG-2209: 14 passwords reset."},
		&incident.Release{Endpoint: "e1", Reason: "Reinstalled from a clean image."},
	)
	if err != nil {
		return err
	}
	return d.await(ctx, "the EDR's confirmation of the release", func(i incident.Incident) bool { return i.Containment() == incident.ContainmentReleased })
}

// close lets the client request closure and the SOC verify, until the incident is closed and its contacts are mailed.
func (d *demo) close(ctx context.Context) error {
	if err := d.sendCommands(ctx, d.admin, &incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "Server restored, users informed."}); err != nil {
		return err
	}
	if err := d.sendCommands(ctx, d.analyst, &incident.Verify{Gone: true, Note: "No encryption, no beacon for an hour after the release."}); err != nil {
		return err
	}
	if err := d.await(ctx, "the closure", func(i incident.Incident) bool { return i.Phase == incident.PhaseClosed }); err != nil {
		return err
	}
	if err := d.sendCommands(ctx, d.admin, &incident.GiveFeedback{Rating: 5, Comment: "We were called before we saw it ourselves."}); err != nil {
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

// contactName returns the name and the role of a contact.
func (d *demo) contactName(id uuid.UUID) string {
	c := d.contacts[id]
	return c.Name + " (" + c.Role + ")"
}

// actorName names an actor: a contact with name and role, a user by side and role.
func (d *demo) actorName(a models.Actor) string {
	if id, ok := a.Contact(); ok {
		return d.contactName(id)
	}
	if a.Side == models.SideClient {
		return "the client's " + string(a.Role)
	}
	return "the " + string(a.Role)
}

// writeResults writes demo.json, with the incident, its events, deliveries and durations, and journal.json, with the
// simulators' journals, into a folder.
func (d *demo) writeResults(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if d.ref != "" {
		if err := d.readDeliveries(ctx); err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
	}
	var all []stage.Entry
	for _, vendor := range slices.Sorted(maps.Keys(d.dev.Simulators)) {
		entries, err := d.dev.Journal(ctx, vendor)
		if err != nil {
			return fmt.Errorf("read journal of %s: %w", vendor, err)
		}
		d.journal[vendor] = entries
		all = append(all, entries...)
	}
	d.measureDurations()
	seconds := map[string]float64{}
	for name, took := range d.durations {
		seconds[name] = took.Seconds()
	}
	slices.SortStableFunc(all, func(a, b stage.Entry) int { return a.At.Compare(b.At) })
	if err := writeJSON(filepath.Join(dir, "journal.json"), all); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "demo.json"), map[string]any{
		"incident": d.incident, "events": d.events, "deliveries": d.deliveries, "durations_seconds": seconds,
	})
}

// readDeliveries reads every page of the incident's deliveries.
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
