package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

// BareSettings are what the bare side's worker needs to know.
type BareSettings struct {
	Temporal, Namespace string
	Database            string // URL
	Address             string // host and port where it takes requests
	Twilio, SendGrid    string // base URLs
	Account, Token      string // at Twilio
	Phone               string // the account's number
	APIKey, Sender      string // at SendGrid
	EventKey            []byte // of SendGrid's signatures on its events, in PKIX form
}

// floor is the path of a critical incident as somebody would write it by hand, for this path alone: the request to publish,
// three mails and a call, the vendors' reports on them, a key that acknowledges. It keeps what Watchfire keeps: what is to
// be sent is in the database before a vendor is asked, and what the vendors said after it, in the fewest transactions that
// can do that. Nothing else is done: nobody is asked who they are, no rule is looked up, no failure is handled.
type floor struct {
	BareSettings
	db       *sql.DB
	temporal client.Client
	calls    *twilio.Signatures
	events   *ecdsa.PublicKey
	http     *http.Client
}

// The floor's tables.
const floorTables = `create table floor_events (incident text, seq int, body text not null, at timestamptz not null, primary key (incident, seq));
	create table floor_effects (incident text, name text, state text not null, vendor_id text, sent timestamptz, reports int not null default 0,
		primary key (incident, name))`

// The path's events, by their place in floor_events.
const (
	floorPublished = iota + 1
	floorReached
	floorAcknowledged
)

const (
	floorMails  = 3
	floorCall   = "call"
	floorKey    = "key" // the signal
	floorWithin = 10 * time.Second
)

// newFloor reads the vendors' keys and connects to the database.
func newFloor(s BareSettings, temporal client.Client) (*floor, error) {
	calls, err := twilio.NewSignatures(s.Account, s.Token)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(s.EventKey)
	events, is := key.(*ecdsa.PublicKey)
	if err != nil || !is {
		return nil, errors.New("the mail vendor's key is none")
	}
	db, err := sql.Open("pgx", s.Database)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(bareConns)
	db.SetMaxIdleConns(bareConns)
	transport := &http.Transport{MaxIdleConnsPerHost: bareConns}
	return &floor{
		BareSettings: s, db: db, temporal: temporal, calls: calls, events: events,
		http: &http.Client{Transport: transport, Timeout: floorWithin},
	}, nil
}

// floorWorkflow is one incident.
func floorWorkflow(ctx workflow.Context) error {
	published := false
	err := workflow.SetUpdateHandler(ctx, bareUpdate, func(workflow.Context) error {
		published = true
		return nil
	})
	if err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return published }); err != nil {
		return err
	}
	if err := workflow.ExecuteActivity(withActivityOptions(ctx), (*floor).Reach, workflow.GetInfo(ctx).WorkflowExecution.ID).Get(ctx, nil); err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, floorKey).Receive(ctx, nil)
	return workflow.Await(ctx, func() bool { return false }) // the incident goes on
}

// Reach mails and calls.
func (f *floor) Reach(ctx context.Context, incident string) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	if err := f.keepEvent(ctx, tx, incident, floorPublished); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `insert into floor_effects select $1, case n when 0 then $3 else 'mail' || n end, 'pending' from generate_series(0, $2::int) n
		on conflict do nothing`, incident, floorMails, floorCall)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	sent := time.Now()
	call, err := f.call(ctx, incident)
	if err != nil {
		return err
	}
	for n := range floorMails {
		if err := f.mail(ctx, incident, fmt.Sprintf("mail%d", n+1)); err != nil {
			return err
		}
	}
	_, err = f.db.ExecContext(ctx, `with e as (insert into floor_events values ($1, $2, $3, now()) on conflict do nothing)
		update floor_effects set state = 'accepted', sent = $4, vendor_id = case name when $5 then $6 end where incident = $1`,
		incident, floorReached, eventBody(incident, floorReached), sent, floorCall, call)
	return err
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (f *floor) keepEvent(ctx context.Context, db execer, incident string, seq int) error {
	_, err := db.ExecContext(ctx, "insert into floor_events values ($1, $2, $3, now()) on conflict do nothing", incident, seq, eventBody(incident, seq))
	return err
}

// eventBody returns an event of about the size of ours.
func eventBody(incident string, seq int) string {
	return fmt.Sprintf(`{"incident":%q,"seq":%d,"padding":%q}`, incident, seq, strings.Repeat("x", 600))
}

// call asks for a call and returns the vendor's id of it.
func (f *floor) call(ctx context.Context, incident string) (string, error) {
	form := url.Values{
		"To": {"+4930555" + digits(incident)}, "From": {f.Phone}, "Url": {f.page("voice", incident)},
		"StatusCallback": {f.page("call", incident)}, "StatusCallbackEvent": {"initiated", "ringing", "answered", "completed"},
		"MachineDetection": {"Enable"}, "AsyncAmd": {"true"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Twilio+"/2010-04-01/Accounts/"+f.Account+"/Calls.json", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(f.Account, f.Token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var placed struct {
		SID string `json:"sid"`
	}
	return placed.SID, f.send(req, http.StatusCreated, &placed)
}

// digits returns a number of four digits that follows from an incident's id.
func digits(incident string) string {
	n, _ := strconv.Atoi(incident[strings.LastIndexByte(incident, '-')+1:]) // every id ends with a number
	return fmt.Sprintf("%04d", n%10000)
}

// mail hands a mail over.
func (f *floor) mail(ctx context.Context, incident, name string) error {
	type address struct {
		Email string `json:"email"`
	}
	body, err := json.Marshal(map[string]any{
		"from": address{f.Sender}, "subject": "Incident " + incident,
		"personalizations": []map[string]any{{
			"to": []address{{name + "@floor.example"}}, "custom_args": map[string]string{"incident": incident, "name": name},
		}},
		"content": []map[string]string{{"type": "text/plain", "value": eventBody(incident, 0)}},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.SendGrid+"/v3/mail/send", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+f.APIKey)
	req.Header.Set("Content-Type", "application/json")
	return f.send(req, http.StatusAccepted, nil)
}

// send sends a request and reads the answer into out, if that is not nil.
func (f *floor) send(req *http.Request, want int, out any) error {
	res, err := f.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != want {
		return fmt.Errorf("%s answered %s: %.200s", req.URL.Path, res.Status, body.String())
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body.Bytes(), out)
}

// page returns the address at which the vendors reach the floor about an incident.
func (f *floor) page(name, incident string) string {
	return "http://" + f.Address + "/" + name + "/" + incident
}

// handler takes the request to publish and what the vendors have to say.
func (f *floor) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /publish/{incident}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, sendBareUpdate(r.Context(), f.temporal, r.PathValue("incident")), "")
	})
	m.HandleFunc("POST /voice/{incident}", f.signed(func(_ context.Context, incident string, _ url.Values) (string, error) {
		return `<Response><Gather numDigits="1" timeout="10" action="` + f.page("key", incident) + `"><Say>Press 1.</Say></Gather></Response>`, nil
	}))
	m.HandleFunc("POST /call/{incident}", f.signed(func(ctx context.Context, incident string, form url.Values) (string, error) {
		_, err := f.db.ExecContext(ctx, "update floor_effects set state = $3, reports = reports + 1 where incident = $1 and name = $2", incident, floorCall, form.Get("CallStatus"))
		return "", err
	}))
	m.HandleFunc("POST /key/{incident}", f.signed(func(ctx context.Context, incident string, form url.Values) (string, error) {
		if form.Get("Digits") != "1" {
			return "", errors.New("another key")
		}
		if err := f.keepEvent(ctx, f.db, incident, floorAcknowledged); err != nil {
			return "", err
		}
		return "<Response><Say>Thank you.</Say></Response>", f.temporal.SignalWorkflow(ctx, incident, "", floorKey, nil)
	}))
	m.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, err := body.ReadFrom(r.Body)
		digest := sha256.Sum256(append([]byte(r.Header.Get("X-Twilio-Email-Event-Webhook-Timestamp")), body.Bytes()...))
		signature, wrong := base64.StdEncoding.DecodeString(r.Header.Get("X-Twilio-Email-Event-Webhook-Signature"))
		var events []struct{ Incident, Name, Event string }
		if errors.Join(err, wrong, json.Unmarshal(body.Bytes(), &events)) != nil || !ecdsa.VerifyASN1(f.events, digest[:], signature) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		for _, e := range events {
			if _, err := f.db.ExecContext(r.Context(), "update floor_effects set state = $3, reports = reports + 1 where incident = $1 and name = $2", e.Incident, e.Name, e.Event); err != nil {
				answer(w, err, "")
				return
			}
		}
		answer(w, nil, "")
	})
	return m
}

// signed takes a request of the carrier.
func (f *floor) signed(do func(ctx context.Context, incident string, form url.Values) (document string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !f.calls.Valid("http://"+f.Address+r.URL.Path, r.PostForm, r.Header.Get("X-Twilio-Signature")) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		document, err := do(r.Context(), r.PathValue("incident"), r.PostForm)
		answer(w, err, document)
	}
}

// answer writes a voice document, or that all is well without one, or that the vendor should ask again.
func answer(w http.ResponseWriter, err error, document string) {
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case document == "":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(document)) // a caller that went away asks again
	}
}
