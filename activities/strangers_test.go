package activities_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/simulators/stage"
	simulator "github.com/watchfire-mdr/watchfire/simulators/twilio"
	"github.com/watchfire-mdr/watchfire/vendors/phone/twilio"
)

const account = "AC0123456789abcdef0123456789abcdef"

// twilioLine is a line whose carrier is the simulated Twilio, hurried, behind the real adapter.
func twilioLine(t *testing.T) (l *line, carrier *twilio.Caller, base string) {
	l = newLine(t)
	product := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(product.Close)
	s := stage.New(t.Context(), 0.0005, nil) // fifteen minutes are half a second
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	v, err := simulator.New(s, simulator.Options{AccountSID: account, AuthToken: "secret", From: "+18005550100"})
	if err != nil {
		t.Fatal(err)
	}
	if base, err = s.Serve(v, "", stage.NewJournal([]string{"secret"})); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	carrier, err = twilio.New(twilio.Settings{AccountSID: account, AuthToken: "secret", From: "+18005550100", BaseURL: address})
	if err != nil {
		t.Fatal(err)
	}
	l.phone.Carrier = carrier
	l.phone.Effects.GiveUpLookup = time.Hour
	if l.phone.PublicURL, err = url.Parse(product.URL); err != nil {
		t.Fatal(err)
	}
	return l, carrier, base
}

// With 250 calls of somebody else to the number, some page after page of the list, the one that is ours is found, or
// placed when there is none; no stranger's call is taken for it.
func TestAStrangersCallIsNeverTakenForOurs(t *testing.T) {
	for _, lost := range []string{stage.FaultResetAfter, stage.FaultResetBefore} { // our call is among them, or was never placed
		t.Run(lost, func(t *testing.T) {
			l, carrier, base := twilioLine(t)
			strangers := func(n int) {
				for range n {
					_, err := carrier.Place(t.Context(), models.OutboundCall{To: "+12025550177", RingFor: 10 * time.Second,
						VoiceURL: l.phone.PublicURL.JoinPath("voice").String(), StatusURL: l.phone.PublicURL.JoinPath("status").String()})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			strangers(100)
			steer(t, base, "faults", fmt.Sprintf(`{"rules":[{"op":"place_call","kind":%q,"times":1}]}`, lost))
			l.place(l.call(0, 1), string(models.Ambiguous))
			strangers(150)
			l.later(settle)
			var err error
			soon, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			look := time.NewTicker(50 * time.Millisecond)
			defer look.Stop()
			for soon.Err() == nil {
				_, err = l.phone.PlaceCall(t.Context(), activities.CallInput{Effect: l.call(0, 1), RingFor: 30 * time.Second})
				var app *temporal.ApplicationError
				if !errors.As(err, &app) || app.Type() != string(models.Ambiguous) {
					break // until then the carrier does not tell the calls apart
				}
				select {
				case <-look.C:
				case <-soon.Done():
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			row := l.ledgerSays(l.call(0, 1))
			var did struct {
				Calls map[string][]struct{ Sid, URL string }
			}
			steerInto(t, base, "effects", &did)
			placed := 0
			for _, c := range did.Calls["+12025550177"] {
				ours := strings.Contains(c.URL, row.Token)
				if ours {
					placed++
				}
				if ours != (c.Sid == row.VendorID) {
					t.Errorf("call %s, ours: %t, and the ledger took %s", c.URL, ours, row.VendorID)
				}
			}
			if placed != 1 || row.State != notify.EffectAccepted {
				t.Errorf("our call was placed %d times; the ledger says %s", placed, row.State)
			}
		})
	}
}

func steer(t *testing.T, base, what, body string) {
	t.Helper()
	answer, err := http.Post(base+"/_sim/"+what, "application/json", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode/100 != 2 {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
}

func steerInto(t *testing.T, base, what string, out any) {
	t.Helper()
	answer, err := http.Get(base + "/_sim/" + what)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}
