package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/observability"
)

// patience bounds every wait.
const patience = 2 * time.Minute

// world is a stack on which both versions run.
type world struct {
	*stack.Stack
	engine           *observability.Engine
	earlier, present string // binaries
	before           string // the build id that was current under the earlier version; "" is none
	build            string // the build id of the present version
	takesOver        bool   // the present version becomes the current one
}

// startWorld starts a stack of the earlier version, on its schema.
func startWorld(ctx context.Context, dir, earlier, present string) (*world, error) {
	w := &world{earlier: earlier, present: present}
	var err error
	w.Stack, err = stack.Start(ctx, stack.Options{
		Dir: dir, Binary: earlier, Pace: 0.05, VendorTimeout: 2 * time.Second, Settle: 3 * time.Second, EDRPollEvery: 200 * time.Millisecond,
		Migrate: func(ctx context.Context, ownerURL string) error { return migrate(ctx, earlier, ownerURL) },
	})
	if err != nil {
		return nil, err
	}
	w.engine, err = w.Engine()
	if err == nil {
		err = errors.Join(w.addUser(ctx, models.RoleAnalyst, 0), w.addUser(ctx, models.RoleLead, 0))
	}
	if err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

func (w *world) stop() {
	if w.engine != nil {
		w.engine.Close()
	}
	w.Stop()
}

// migrate brings the database to the schema of a binary.
func migrate(ctx context.Context, binary, ownerURL string) error {
	command := exec.CommandContext(ctx, binary, "migrate")
	command.Env = append(os.Environ(), "DATABASE_OWNER_URL="+ownerURL)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, out)
	}
	return nil
}

// addUser adds a user of a client, or of the SOC for 0, with the command of the earlier version.
func (w *world) addUser(ctx context.Context, role models.Role, number int) error {
	command := exec.CommandContext(ctx, w.earlier, "user", "-name", string(role), "-email", fmt.Sprintf("%s%d@drill.example", role, number),
		"-role", string(role), "-client", fmt.Sprint(number))
	command.Env = append(os.Environ(), "DATABASE_URL="+w.AppURL())
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("add a user: %w: %s", err, problems.String())
	}
	w.Dev.Users = append(w.Dev.Users, stack.DevUser{Role: role, Client: number, Token: strings.TrimSpace(string(out))})
	return nil
}

// addClient takes a client on over the API, with two contacts, its users and a signed response authority that rules on
// isolations by a decision. It returns the client's number and its contacts.
func (w *world) addClient(ctx context.Context, decision string) (int, []models.Contact, error) {
	p := models.DefaultPolicy()
	p.WatchReleases = 0 // the earlier API does not know it
	p.RingFor = models.Duration(8 * time.Second)
	p.BusyAgainAfter, p.BusyTries = models.Duration(time.Second), 1
	p.Rounds, p.RoundEvery, p.SlowRoundEvery = 2, models.Duration(time.Second), models.Duration(3*time.Second)
	p.TryAgainEvery = models.Duration(time.Second)
	lead := w.Dev.Person(models.RoleLead, 0)
	tenant := make([]byte, 16)
	if _, err := rand.Read(tenant); err != nil {
		return 0, nil, err
	}
	var c models.Client
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	err := lead.Post(ctx, "/clients", map[string]any{
		"legal_name": "Drill", "time_zone": "Europe/Berlin", "language": "en", "policy": p,
		"contract": models.Contract{Start: start, End: start.AddDate(9, 0, 0), Plan: "mdr"},
		"edr":      models.EDR{Vendor: "crowdstrike", Tenant: hex.EncodeToString(tenant)},
	}, &c)
	if err != nil {
		return 0, nil, fmt.Errorf("add a client: %w", err)
	}
	err = lead.Post(ctx, fmt.Sprintf("/clients/%d/go-live", c.Number), map[string]any{"despite": "a drill"}, nil)
	var unknown *stack.APIError // the earlier API does not know it
	if err != nil && !(errors.As(err, &unknown) && (unknown.Status == http.StatusNotFound || unknown.Status == http.StatusMethodNotAllowed)) {
		return 0, nil, fmt.Errorf("let a client go live: %w", err)
	}
	var contacts []models.Contact
	for n := range 2 {
		var contact models.Contact
		err := lead.Post(ctx, fmt.Sprintf("/clients/%d/contacts", c.Number), map[string]any{
			"name": fmt.Sprintf("Contact %d", n+1), "language": "en", "order": n + 1,
			"email": fmt.Sprintf("contact%d@client%d.example", n+1, c.Number), "phone": fmt.Sprintf("+4930%05d%02d", c.Number, n),
			"severities": models.Severities(), "channels": []models.Channel{models.ChannelEmail, models.ChannelVoice},
		}, &contact)
		if err != nil {
			return 0, nil, fmt.Errorf("add a contact: %w", err)
		}
		contacts = append(contacts, contact)
	}
	for _, role := range []models.Role{models.RoleResponder, models.RoleAdmin} {
		if err := w.addUser(ctx, role, c.Number); err != nil {
			return 0, nil, err
		}
	}
	authority := fmt.Sprintf("/clients/%d/response-authority", c.Number)
	err = lead.Post(ctx, authority, map[string]any{"rules": []any{
		map[string]any{"name": "isolate", "action": "isolated", "decision": decision}, map[string]any{"name": "release", "action": "released", "decision": "auto"},
	}, "never": []string{}, "two_persons": []any{}}, nil)
	if err == nil {
		err = w.Dev.Person(models.RoleAdmin, c.Number).Post(ctx, authority+"/1/sign", nil, nil)
	}
	return c.Number, contacts, err
}

// await waits until isSo, and gives up at once when a workflow is stuck.
func (w *world) await(ctx context.Context, what string, isSo func() (bool, error)) error {
	deadline, look := time.Now().Add(patience), time.Now().Add(5*time.Second)
	for {
		is, err := isSo()
		if is && err == nil {
			return nil
		}
		if time.Now().After(look) {
			if stuck := w.findStuck(ctx); stuck != nil {
				return fmt.Errorf("while waiting for %s: %w", what, stuck)
			}
			look = time.Now().Add(5 * time.Second)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen within %s: %w", what, patience, errors.Join(err, w.findStuck(ctx)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
