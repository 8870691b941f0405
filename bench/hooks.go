package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/store"
)

// Hooks is the result of one mail to each of many contacts, and of the vendor's reports on the mails, which all arrive
// at the same moment.
type Hooks struct {
	Contacts  int     `json:"contacts"`
	First     float64 `json:"first_mail_ms"` // from the request to publish
	Mails     float64 `json:"mails_seconds"` // from the first mail at the vendor to the last
	Reports   int     `json:"reports"`       // processed and delivered, of every mail
	Requests  int     `json:"requests"`      // that brought the reports
	Seconds   float64 `json:"seconds"`       // from the first report until the ledger has the last one
	PerSecond float64 `json:"reports_per_second"`
	Bare      float64 `json:"bare_reports_per_second"` // with as many requests, to a handler that checks the signature and updates one row for each report
	APIMemory float64 `json:"api_peak_mb"`
	Other     float64 `json:"other_load"`
}

const (
	holdPerMail   = 30 * time.Millisecond  // reports are held back this long for each mail: until every mail is out
	holdEvery     = 100 * time.Millisecond // between two requests to hold reports back
	hooksPatience = 2 * time.Minute
	reportsOnMail = 2 // processed, delivered
)

// measureHooks mails many contacts about one incident, and lets the mail vendor report on all mails at once. It returns
// an error when a report is lost.
func (a *arena) measureHooks(ctx context.Context, contacts int) (h *Hooks, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(contacts)*holdPerMail+hooksPatience)
	defer cancel()
	h = &Hooks{Contacts: contacts, Reports: contacts * reportsOnMail}
	o, err := a.openForCrowd(ctx, contacts)
	if err != nil {
		return h, fmt.Errorf("prepare: %w", err)
	}
	if err := h.measureMails(ctx, a, o); err != nil {
		return h, err
	}
	before, err := a.reportRequests(ctx)
	if err != nil {
		return h, err
	}
	if err := h.measureReports(ctx, a, o.ref); err != nil {
		return h, err
	}
	if err := a.awaitQuiet(ctx); err != nil {
		return h, err
	}
	if h.Requests, err = a.reportRequests(ctx); err != nil {
		return h, err
	}
	h.Requests -= before
	h.Bare, err = a.bareReports(ctx, h.Requests, contacts)
	return h, err
}

// openForCrowd makes a client with many contacts and opens an incident that is ready to be published.
func (a *arena) openForCrowd(ctx context.Context, contacts int) (openIncident, error) {
	o := openIncident{by: a.people[0]}
	err := a.withStore(ctx, func(db *store.Store) error {
		client, err := db.CreateClient(ctx, newClient("Long Meadow Hospitals"), "bench-crowd", "")
		if err != nil {
			return err
		}
		o.by.client = client.Number
		return db.ForClient(ctx, store.SOC, client.ID, func(tx *store.Tx) error {
			for n := range contacts {
				name := fmt.Sprintf("contact%d", n+1)
				if _, err := tx.CreateContact(models.Contact{
					Name: name, Email: name + "@longmeadow.example", Language: "en", Order: n + 1,
					Severities: []models.Severity{models.SeverityLow}, Channels: []models.Channel{models.ChannelEmail},
				}, "bench-"+name, ""); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return o, err
	}
	return a.openBy(ctx, o.by, models.SeverityLow, 0)
}

// withStore runs fn with the stack's database.
func (a *arena) withStore(ctx context.Context, fn func(*store.Store) error) error {
	db, err := store.Open(ctx, a.stack.AppURL(), store.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(db)
}

// newClient returns a client without contacts, to be created.
func newClient(name string) models.Client {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	return models.Client{
		LegalName: name, TimeZone: "UTC", Language: "en", Policy: models.DefaultPolicy(),
		Contract: models.Contract{Start: today, End: today.AddDate(1, 0, 0), Plan: "mdr"}, LiveAt: today,
	}
}

// measureMails publishes the incident, and returns when its mails are out and the vendor is about to report on them.
func (h *Hooks) measureMails(ctx context.Context, a *arena, o openIncident) error {
	begin := time.Now()
	until := begin.Add(time.Duration(h.Contacts) * holdPerMail)
	if err := a.holdReports(ctx, until); err != nil {
		return err
	}
	if _, err := o.by.analyst.Command(ctx, o.ref, &incident.Publish{}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for time.Now().Before(until) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(holdEvery, time.Until(until))):
		}
		if err := a.holdReports(ctx, until); err != nil {
			return err
		}
	}
	journal, err := a.mailTimes(ctx)
	if err != nil {
		return err
	}
	mails := journal[o.ref]
	if len(mails) != h.Contacts {
		return fmt.Errorf("the vendor got %d of %d mails within %s", len(mails), h.Contacts, time.Since(begin))
	}
	h.First = float64(mails[0].Sub(begin.Round(0)).Microseconds()) / 1000
	h.Mails = mails[len(mails)-1].Sub(mails[0]).Seconds()
	return nil
}

// holdReports makes the mail vendor hold its reports back, from now on until a time.
func (a *arena) holdReports(ctx context.Context, until time.Time) error {
	rules := []map[string]any{}
	if left := time.Until(until).Milliseconds(); left > 0 {
		rules = append(rules, map[string]any{"op": "callback", "kind": "delay", "delay_ms": left})
	}
	return a.stack.Dev.Steer(ctx, "sendgrid", "faults", map[string]any{"clear": true, "rules": rules})
}

// measureReports waits until the ledger has every report.
func (h *Hooks) measureReports(ctx context.Context, a *arena, ref models.Reference) error {
	begin, before := time.Now(), a.processes.read()
	err := await(ctx, "reports in the ledger", h.Reports, func() (n int, err error) {
		h.APIMemory = max(h.APIMemory, a.processes.memory()[procAPI])
		err = a.databases.conns[dbOurs].QueryRow(ctx, `select count(*) from effects e
			join effect_states s on s.client_id = e.client_id and s.key = e.key where e.incident = $1`, string(ref)).Scan(&n)
		return n, err
	})
	if err != nil {
		return err
	}
	h.Seconds = time.Since(begin).Seconds()
	h.PerSecond = float64(h.Reports) / h.Seconds
	h.Other = a.processes.read().other(before)
	var delivered int
	err = a.databases.conns[dbOurs].QueryRow(ctx,
		"select count(*) from effects where incident = $1 and vendor_state = 'delivered'", string(ref)).Scan(&delivered)
	if err == nil && delivered != h.Contacts {
		err = fmt.Errorf("the ledger has %d of %d mails as delivered", delivered, h.Contacts)
	}
	return err
}

// reportsTaken finds the number of requests with reports in the API's metrics.
var reportsTaken = regexp.MustCompile(`watchfire_http_requests_total\{operation="POST /hooks/sendgrid/events",status="204"\} ([0-9]+)`)

// reportRequests returns how many requests with reports on mails the API has taken so far.
func (a *arena) reportRequests(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.stack.Dev.Ops+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	found := reportsTaken.FindSubmatch(page)
	if found == nil {
		return 0, nil
	}
	return strconv.Atoi(string(found[1]))
}
