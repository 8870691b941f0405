package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchfire-mdr/watchfire/simulators/stage"
)

// deeds are what the vendors really did, by the simulators' own records.
type deeds struct {
	mails   record            // by the first part of the Message-ID, which names the planned mail
	calls   record            // by the token in the address of the call, which names the planned call
	texts   record            // by number and text, which holds a code of its own
	actions record            // taken by the EDR, by the planned effect's key in their comment
	late    []string          // the keys of those that came late
	ids     map[string]bool   // the carrier's ids of calls and texts
	pressed map[string]bool   // the tokens of calls in which somebody pressed 1
	spoiled int               // requests whose answer was lost, late, cut or an error
	devices map[string]string // the state of a device by host name: isolated, normal or on its way
}

// record holds the times at which a vendor did a thing that was to be done once.
type record map[string][]time.Time

// readDeeds reads the records of all vendors.
func (w *world) readDeeds(ctx context.Context) (deeds, error) {
	d := deeds{
		mails: record{}, calls: record{}, texts: record{}, actions: record{},
		ids: map[string]bool{}, pressed: map[string]bool{}, devices: map[string]string{},
	}
	for _, mailer := range []string{"sendgrid", "smtp"} {
		var e struct {
			Mails map[string][]struct {
				Headers   map[string]string
				MessageID string    `json:"message_id"`
				Accepted  time.Time `json:"accepted_at"`
			}
		}
		if err := w.stack.Dev.Effects(ctx, mailer, &e); err != nil {
			return d, err
		}
		for _, list := range e.Mails {
			for _, m := range list {
				name, _, _ := strings.Cut(strings.Trim(m.Headers["Message-ID"]+m.MessageID, "<>"), "@")
				d.mails[name] = append(d.mails[name], m.Accepted)
			}
		}
	}
	if err := w.readCarrier(ctx, d); err != nil {
		return d, err
	}
	return d, w.readJournals(ctx, &d)
}

func (w *world) readCarrier(ctx context.Context, d deeds) error {
	var e struct {
		Calls map[string][]struct {
			Sid, URL string
			Placed   time.Time `json:"in_flight_from"`
			Keys     []struct{ Key string }
		}
		Texts map[string][]struct {
			Sid, Body string
			Placed    time.Time
			ReplyOf   string `json:"reply_of"`
		}
	}
	if err := w.stack.Dev.Effects(ctx, "twilio", &e); err != nil {
		return err
	}
	for _, list := range e.Calls {
		for _, c := range list {
			token := c.URL[strings.LastIndex(c.URL, "/")+1:]
			d.calls[token] = append(d.calls[token], c.Placed)
			d.ids[c.Sid] = true
			for _, k := range c.Keys {
				d.pressed[token] = d.pressed[token] || k.Key == "1"
			}
		}
	}
	for to, list := range e.Texts {
		for _, m := range list {
			if m.ReplyOf == "" {
				d.texts[to+" "+m.Body] = append(d.texts[to+" "+m.Body], m.Placed)
				d.ids[m.Sid] = true
			}
		}
	}
	return nil
}

// readJournals reads the fleet's states and, in the journals, the actions that the EDR took, whose comments name the
// effects, and the answers that were spoiled.
func (w *world) readJournals(ctx context.Context, d *deeds) error {
	var e struct {
		Hosts []struct{ Hostname, Status string }
	}
	if err := w.stack.Dev.Effects(ctx, "crowdstrike", &e); err != nil {
		return err
	}
	for _, h := range e.Hosts {
		d.devices[h.Hostname] = h.Status
		if h.Status == "contained" {
			d.devices[h.Hostname] = "isolated"
		}
	}
	for _, vendor := range []string{"twilio", "sendgrid", "crowdstrike"} {
		entries, err := w.stack.Dev.Journal(ctx, vendor)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Fault != "" {
				d.spoiled++
			}
			if key := actionKey(entry); key != "" && entry.Status == http.StatusAccepted {
				d.actions[key] = append(d.actions[key], entry.At)
				if entry.Fault == stage.FaultLate {
					d.late = append(d.late, key)
				}
			}
		}
	}
	return nil
}

// wasTooLate reports whether an action came late, and was asked for again only when the settle window was over. The state
// of the device was all that the product could know, and isolating it again does no harm.
func (d deeds) wasTooLate(key string) bool {
	times := slices.SortedFunc(slices.Values(d.actions[key]), time.Time.Compare)
	for n := 1; n < len(times); n++ {
		if times[n].Sub(times[n-1]) < settle {
			return false
		}
	}
	return slices.Contains(d.late, key)
}

// textWith returns the text that holds a code, "" when there is none.
func (d deeds) textWith(code string) string {
	for text := range d.texts {
		if strings.Contains(text, code) {
			return text
		}
	}
	return ""
}

// actionKey returns the key of the effect that an EDR's request is about, "" for another request.
func actionKey(e stage.Entry) string {
	var body struct {
		Parameters []struct{ Name, Value string } `json:"action_parameters"`
	}
	if !strings.Contains(e.Path, "devices-actions") || json.Unmarshal([]byte(e.Body), &body) != nil || len(body.Parameters) != 1 {
		return ""
	}
	return strings.TrimPrefix(body.Parameters[0].Value, "Watchfire ")
}

// messageIDOf returns the first part of the Message-ID that the mail of a delivery must have.
func messageIDOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
