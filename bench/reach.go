package bench

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/watchfire-mdr/watchfire/devstack/stack"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

const (
	reachAlone    = 60                     // incidents, when they are published one after the other
	reachPause    = 700 * time.Millisecond // between two of them: the first is acknowledged and quiet by then
	reachPatience = 5 * time.Minute
	reachAim      = 1000.0                 // ms, of the p99
	retryAfter    = 500 * time.Millisecond // an answer of 503 or 429
)

// Reach tells how long the contacts of critical incidents that are published at the same moment wait, from the request
// to publish until the vendors get the requests to reach them. Everybody who is called acknowledges.
type Reach struct {
	AtOnce  int     `json:"incidents_at_once"` // 1: one after the other
	Bare    Turn    `json:"bare"`              // an update → its activity starts
	Ours    Turn    `json:"ours"`              // → the first mail at the vendor; per operation is per incident
	Call    Latency `json:"call"`              // → the first call at the vendor
	Answer  Latency `json:"answer"`            // → the answer to the request
	Queued  int     `json:"queued"`            // answers of 202: the API answered before the workflow
	Retried int     `json:"retried"`           // answers of 503 or 429, each followed by the same request again
	Tasks   int     `json:"tasks"`             // opened for the SOC: no vendor fails, so each is a false alarm
	Verdict string  `json:"verdict"`

	requested map[models.Reference]time.Time
	answered  []time.Duration
	calls     []time.Duration
	mu        sync.Mutex
}

// measureReach publishes incidents at the same moment, after sending updates to as many bare workflows in the same way.
// It returns an error unless every contact was mailed and every incident acknowledged on the phone.
func (a *arena) measureReach(ctx context.Context, atOnce int) (r *Reach, err error) {
	r = &Reach{AtOnce: atOnce, requested: map[models.Reference]time.Time{}}
	l := load{clients: atOnce, during: reachPatience, most: atOnce, pause: reachPause}
	if atOnce == 1 {
		l.most = reachAlone
	}
	if r.Bare, err = a.takeTurn(ctx, bareHandover, l); err != nil {
		return r, fmt.Errorf("bare: %w", err)
	}
	if r.Ours, err = a.takeTurn(ctx, r.preparePublish, l); err != nil {
		return r, err
	}
	if r.Ours.Failed > 0 {
		return r, fmt.Errorf("%d of %d incidents were not published", r.Ours.Failed, l.most)
	}
	r.judge()
	return r, nil
}

// preparePublish is our side: it opens and assesses critical incidents, each of a client of its own, because a phone is
// called about one incident at a time. Its operation publishes them.
func (r *Reach) preparePublish(ctx context.Context, a *arena, l load) (operation, error) {
	numbers, err := a.addClients(ctx, l.most)
	if err != nil {
		return operation{}, err
	}
	free, err := fillPool(ctx, l.most, func(ctx context.Context, n int) (openIncident, error) {
		by := a.peopleFor(n)
		by.client = numbers[n]
		return a.openBy(ctx, by, models.SeverityCritical, n)
	})
	return operation{
		do: func(ctx context.Context, _ int) (time.Duration, error) {
			o := <-free
			begin := time.Now()
			if err := r.publish(ctx, o); err != nil {
				return 0, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requested[o.ref], r.answered = begin, append(r.answered, time.Since(begin))
			return time.Since(begin), nil
		},
		finish: func(ctx context.Context) ([]time.Duration, error) { return r.awaitArrivals(ctx, a) },
	}, err
}

// publish publishes an incident.
func (r *Reach) publish(ctx context.Context, o openIncident) error {
	return insist(ctx, o.by.analyst, "/incidents/"+string(o.ref)+"/publish", &incident.Publish{}, nil, r.countAnswer)
}

// insist posts a request. While the engine does not answer, or the API has more to answer than it can, it sends the
// request again under the same key, as callers should. It tells count the status of each answer.
func insist(ctx context.Context, p stack.Person, path string, body, out any, count func(status int)) error {
	for key := uuid.NewString(); ; {
		status, err := p.PostAs(ctx, key, path, body, out)
		count(status)
		if status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			return err
		}
		if err := rest(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// countAnswer counts answers of 202, and of 503 and 429.
func (r *Reach) countAnswer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch status {
	case http.StatusAccepted:
		r.Queued++
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		r.Retried++
	}
}

// awaitArrivals waits until everybody was reached, and returns how long after the requests the vendor got the first
// mails.
func (r *Reach) awaitArrivals(ctx context.Context, a *arena) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	refs := slices.Sorted(maps.Keys(r.requested))
	err := await(ctx, "incidents mailed to everybody and acknowledged", len(refs), func() (int, error) { return a.countAcknowledged(ctx, refs) })
	if err != nil {
		return nil, err
	}
	if r.Tasks, err = a.countTasks(ctx, refs); err != nil {
		return nil, err
	}
	called, err := a.firstCalls(ctx)
	if err != nil {
		return nil, err
	}
	if r.calls, err = waitTimes(r.requested, called); err != nil {
		return nil, fmt.Errorf("calls: %w", err)
	}
	mailed, err := a.firstMails(ctx)
	if err != nil {
		return nil, err
	}
	r.Call, r.Answer = newLatency(r.calls), newLatency(r.answered)
	return waitTimes(r.requested, mailed)
}

// judge sets the verdict: whether contacts were reached in time.
func (r *Reach) judge() {
	switch {
	case r.Ours.Other > maxOther:
		r.Verdict = notMeasurable
	case max(r.Ours.P99, r.Call.P99) <= reachAim:
		r.Verdict = met
	default:
		r.Verdict = missed
	}
}

// ratio divides our wait for the first mail by the bare side's wait for its activity.
func (r *Reach) ratio() float64 { return r.Ours.P50 / r.Bare.P50 }

// waitTimes returns how long after the request something first arrived, for every incident in the order of the
// references.
func waitTimes(requested, arrived map[models.Reference]time.Time) ([]time.Duration, error) {
	var each []time.Duration
	for _, ref := range slices.Sorted(maps.Keys(requested)) {
		at, ok := arrived[ref]
		if !ok {
			return nil, fmt.Errorf("%s never reached the vendor", ref)
		}
		each = append(each, at.Sub(requested[ref].Round(0)))
	}
	return each, nil
}

// await counts again and again until the wanted number is reached; what names the counted things in the error.
func await(ctx context.Context, what string, want int, count func() (int, error)) error {
	for {
		n, err := count()
		if err != nil || n >= want {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d %s: %w", n, want, what, ctx.Err())
		case <-time.After(lookEvery):
		}
	}
}

// countAcknowledged counts the incidents whose contacts were all mailed and one of whose contacts has acknowledged.
func (a *arena) countAcknowledged(ctx context.Context, refs []models.Reference) (n int, err error) {
	err = a.databases.conns[dbOurs].QueryRow(ctx, `select count(*) from incidents i
		where i.reference = any($1) and i.state ? 'acknowledged' and $2 = (select count(*) from effects e
			where e.client_id = i.client_id and e.incident = i.reference and e.kind = 'mail' and e.state = 'accepted')`,
		refs, len(a.stack.Dev.Clients[0].Contacts)).Scan(&n)
	return n, err
}

// countTasks counts the tasks of the SOC about incidents.
func (a *arena) countTasks(ctx context.Context, refs []models.Reference) (n int, err error) {
	err = a.databases.conns[dbOurs].QueryRow(ctx, "select count(*) from events where incident = any($1) and type = 'task_opened'", refs).Scan(&n)
	return n, err
}

// firstCalls returns the time of the first request for a call about each incident at the carrier. A request names the
// incident by the token in the address at which the carrier fetches the words of the call.
func (a *arena) firstCalls(ctx context.Context) (map[models.Reference]time.Time, error) {
	rows, err := a.databases.conns[dbOurs].Query(ctx, "select token, incident from effects where kind = 'call'")
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	about := map[string]models.Reference{}
	var token, ref string
	if _, err := pgx.ForEachRow(rows, []any{&token, &ref}, func() error {
		about[token] = models.Reference(ref)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	journal, err := a.stack.Dev.Journal(ctx, "twilio")
	if err != nil {
		return nil, fmt.Errorf("read the carrier's journal: %w", err)
	}
	firsts := map[models.Reference]time.Time{}
	for _, e := range slices.Backward(journal) {
		form, err := url.ParseQuery(e.Body)
		if err != nil {
			continue // no request for a call
		}
		if ref, ok := about[path.Base(form.Get("Url"))]; ok {
			firsts[ref] = e.At
		}
	}
	return firsts, nil
}

// addClients makes n clients with as many contacts as the seeded ones have, each with a phone of their own, and returns
// the clients' numbers.
func (a *arena) addClients(ctx context.Context, n int) (numbers []int, err error) {
	err = a.withStore(ctx, func(db *store.Store) error {
		for c := range n {
			name := fmt.Sprintf("%d-%d", n, c)
			client, err := db.CreateClient(ctx, newClient("Newcomer "+name), "bench-newcomer-"+name, "")
			if err != nil {
				return err
			}
			numbers = append(numbers, client.Number)
			err = db.ForClient(ctx, store.SOC, client.ID, func(tx *store.Tx) error {
				for k := range a.stack.Dev.Clients[0].Contacts {
					_, err := tx.CreateContact(models.Contact{
						Name: "Contact", Email: fmt.Sprintf("contact%d@newcomer%s.example", k+1, name), Phone: fmt.Sprintf("+49301%03d%03d%d", n, c, k),
						Language: "en", Order: k + 1, Severities: models.Severities(), Channels: []models.Channel{models.ChannelEmail, models.ChannelVoice},
					}, fmt.Sprintf("bench-newcomer-%s-%d", name, k), "")
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return numbers, err
}
