package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/simulators"
)

// floorStage is what the floor runs on.
type floorStage struct {
	vendors *simulators.Running
	address string // of the floor's server
}

// pace is that of the simulated vendors and people, of both sides.
const pace = 0.01

// prepareFloor makes the floor's tables and starts its vendors.
func (a *arena) prepareFloor(ctx context.Context) (s BareSettings, err error) {
	conn, err := pgx.Connect(ctx, a.stack.OwnerURL())
	if err != nil {
		return s, fmt.Errorf("connect for the floor: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, floorTables); err != nil {
		return s, fmt.Errorf("the floor's tables: %w", err)
	}
	port, release, err := devstack.HoldPort()
	if err != nil {
		return s, err
	}
	release() // its worker listens there in a moment
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return s, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return s, err
	}
	a.floor.address = "127.0.0.1:" + strconv.Itoa(port)
	s = BareSettings{
		Temporal: a.stack.Dev.Temporal, Namespace: a.stack.Dev.Namespace, Database: a.stack.OwnerURL(), Address: a.floor.address,
		Account: "AC" + strings.Repeat("0", 32), Token: rand.Text(), Phone: "+18005550100", APIKey: rand.Text(), Sender: "floor@floor.example",
		EventKey: public,
	}
	a.floor.vendors, err = simulators.Start(context.WithoutCancel(ctx), simulators.Options{
		TwilioAccountSID: s.Account, TwilioAuthToken: s.Token, TwilioFrom: s.Phone, SendGridAPIKey: s.APIKey, SendGridFrom: s.Sender,
		SendGridWebhookURL: "http://" + s.Address + "/events", SendGridWebhookKey: key, CrowdStrikeClientID: "floor", CrowdStrikeClientSecret: rand.Text(), Pace: pace,
	})
	if err != nil {
		return s, fmt.Errorf("the floor's vendors: %w", err)
	}
	s.Twilio, s.SendGrid = a.floor.vendors.TwilioURL, a.floor.vendors.SendGridURL
	return s, nil
}

// ReadBareSettings reads the settings of the bare side's worker from a file.
func ReadBareSettings(path string) (s BareSettings, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// floorCritical publishes incidents of the floor, and measures until their calls are placed.
func floorCritical(ctx context.Context, a *arena, l load) (operation, error) {
	prefix := a.newPrefix()
	free, err := fillPool(ctx, l.expected(), func(ctx context.Context, n int) (string, error) {
		id := prefix + strconv.Itoa(n)
		_, err := a.startWorkflow(ctx, id, floorWorkflow)
		return id, err
	})
	var requested requests[string]
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			id := <-free
			return requested.send(id, func() error { return a.publishFloor(ctx, id) })
		},
		finish: func(ctx context.Context) (each []time.Duration, err error) {
			ctx, cancel := context.WithTimeout(ctx, reachPatience)
			defer cancel()
			called := map[string]time.Time{}
			err = await(ctx, "incidents of the floor acknowledged and mailed", len(requested.at), func() (int, error) {
				called, err = a.calledByFloor(ctx, prefix)
				return len(called), err
			})
			for id, at := range called {
				each = append(each, at.Sub(requested.at[id].Round(0)))
			}
			return slices.Sorted(slices.Values(each)), err
		},
	}, err
}

// publishFloor requests the publication of an incident of the floor.
func (a *arena) publishFloor(ctx context.Context, id string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.floor.address+"/publish/"+id, http.NoBody)
	if err != nil {
		return err
	}
	return expectNoContent(req)
}

// calledByFloor returns when the calls were placed of those incidents of the floor with ids that begin with prefix that are
// acknowledged and mailed.
func (a *arena) calledByFloor(ctx context.Context, prefix string) (map[string]time.Time, error) {
	rows, err := a.databases.conns[dbOurs].Query(ctx, `select incident, min(sent) filter (where name = $2) from floor_effects f
		where starts_with(incident, $1) and exists (select from floor_events e where e.incident = f.incident and e.seq = $3)
		group by 1 having count(*) filter (where state <> 'pending') = $4`, prefix, floorCall, floorAcknowledged, floorMails+1)
	if err != nil {
		return nil, fmt.Errorf("read the floor: %w", err)
	}
	called := map[string]time.Time{}
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		called[id] = at
		return nil
	})
	return called, err
}

// oursCritical publishes critical incidents, and measures until their calls are placed.
func oursCritical(ctx context.Context, a *arena, l load) (operation, error) {
	r := &Reach{requested: map[models.Reference]time.Time{}}
	l.most = l.expected()
	op, err := r.preparePublish(ctx, a, l)
	op.finish = func(ctx context.Context) ([]time.Duration, error) {
		_, err := r.awaitArrivals(ctx, a)
		return r.calls, err
	}
	return op, err
}
