package hooks_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestOnlyOneCallIsReadTheIncident(t *testing.T) {
	d := newDoor(t)
	other := url.Values{"CallSid": {otherSid}, "CallStatus": {"in-progress"}, "Digits": {"1"}}
	d.says(d.speaks("voice", d.call, "", ""), http.StatusOK, "<Gather", "critical", "S I, 1 0 0 1, 0 0 0 1")
	second := d.twilio("voice", d.call, "", other)
	d.says(second, http.StatusOK, "<Hangup")
	if strings.Contains(second.Body.String(), "<Say") {
		t.Errorf("a second call is spoken to: %s", second.Body)
	}
	d.says(d.twilio("key", d.call, "?n=1", other), http.StatusOK, "<Hangup")
	d.tells()
	if d.row(d.call).VendorID != sid {
		t.Errorf("the ledger has %q", d.row(d.call).VendorID)
	}
}

func TestTheSeverityThatIsSpokenIsTheOneTheClientReads(t *testing.T) {
	d := newDoor(t)
	d.record(&d.incident, analyst, &incident.Assessed{Severity: models.SeverityLow, Assessment: d.incident.Assessment})
	d.says(d.speaks("voice", d.call, "", ""), http.StatusOK, "<Gather", "critical")
	d.record(&d.incident, analyst, &incident.Revised{Change: "a test of their own"})
	d.says(d.speaks("voice", d.call, "", ""), http.StatusOK, "<Gather", "low")
}

// A critical incident's first call goes out together with the events of its publication, and the worker may die between.
func TestACallThatRingsBeforeItsPublicationIsRecordedIsSpoken(t *testing.T) {
	d := newDoor(t)
	early := d.tenant
	d.ok(d.store.ForClient(d.Context(), store.SOC, early.client.ID, func(tx *store.Tx) (err error) {
		early.incident, err = tx.OpenIncident(incident.Opened{Title: title, Severity: models.SeverityCritical}, analyst, noon, "early", "f")
		return err
	}))
	call := d.calls(early, 1)
	d.says(d.speaks("voice", call, "", ""), http.StatusOK, "<Gather", "critical")
	d.says(d.speaks("key", call, "?n=1", "1"), http.StatusOK, "recorded")
	d.tells(pressed(call, call.Workflow, "1"))
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		digit, query string
		says         []string
		told         bool
	}{
		{"1", "?n=1", []string{"recorded"}, true},
		{"1", "?n=3", []string{"recorded"}, true},
		{"3", "?n=1", []string{"next contact"}, true},
		{"2", "?n=1", []string{"<Gather", "n=2"}, false},
		{"9", "?n=1", []string{"no meaning", "<Gather"}, false},
		{"11", "?n=1", []string{"no meaning", "<Gather"}, false},
		{"9", "?n=3", []string{"Goodbye"}, false},
		{"2", "?n=3", []string{"Goodbye"}, false},
		{"", "?n=1", []string{"Goodbye"}, false},
	} {
		d := newDoor(t)
		d.says(d.speaks("key", d.call, c.query, c.digit), http.StatusOK, c.says...)
		var want []told
		if c.told {
			want = append(want, pressed(d.call, d.call.Workflow, c.digit))
		}
		d.tells(want...)
	}
}

func pressed(row store.LedgerRow, workflow, digit string) told {
	return fact(workflow, "key-press", notify.KeyPress{Effect: row.Key, Contact: row.Contact, Digit: notify.Key(digit)})
}

func TestRecordedIsSaidOnlyWhenItIs(t *testing.T) {
	d := newDoor(t)
	incident := d.incident.Reference.WorkflowID()
	d.engine.down = true
	d.says(d.speaks("key", d.call, "?n=1", "1"), http.StatusOK, "could not be recorded", "<Gather")
	d.says(d.speaks("key", d.call, "?n=3", "1"), http.StatusServiceUnavailable)
	d.engine.down = false
	d.says(d.speaks("key", d.call, "?n=2", "1"), http.StatusOK, "is recorded")
	d.tells(pressed(d.call, incident, "1"))
	d.engine.gone[incident] = true
	d.says(d.speaks("key", d.call, "?n=2", "1"), http.StatusOK, "is over")
	d.tells()
}

func TestACallThatVerifiesAPhoneSaysItsCodeAndTakesNoKey(t *testing.T) {
	d := newDoor(t)
	check := d.intend(notify.ChannelCheckEffect(d.client.ID, d.client.Number, notify.PurposeCode, d.contact.ID, models.ChannelVoice, "1"))
	w := d.speaks("voice", check, "", "")
	d.says(w, http.StatusOK, strings.Join(strings.Split(check.Code(), ""), ", "))
	if strings.Contains(w.Body.String(), "<Gather") {
		t.Errorf("a menu: %s", w.Body)
	}
	for _, digit := range []string{"1", "2", "3", "9", ""} {
		d.says(d.speaks("key", check, "?n=1", digit), http.StatusOK, ">Goodbye.<")
	}
	d.tells()
	if row := d.row(check); row.Outcome != "" {
		t.Errorf("got %+v", row)
	}
}

// detects posts who picked up, as Twilio does beside the conversation: with these fields and no others.
func (d *door) detects(row store.LedgerRow, callID, by string) *httptest.ResponseRecorder {
	return d.twilio("machine", row, "", url.Values{"CallSid": {callID}, "AnsweredBy": {by}, "MachineDetectionDuration": {"2900"}})
}

func TestWhoPickedUp(t *testing.T) {
	d := newDoor(t)
	for by, machine := range map[string]bool{
		"human": false, "unknown": false, "machine_start": true, "machine_end_beep": true, "machine_end_silence": true, "machine_end_other": true, "fax": true,
	} {
		d.says(d.detects(d.call, sid, by), http.StatusNoContent)
		var want []told
		if machine {
			want = append(want, fact(d.call.Workflow, "call-progress", notify.CallProgress{Effect: d.call.Key, CallID: sid, Machine: true}))
		}
		d.tells(want...)
		d.says(d.detects(d.call, otherSid, by), http.StatusNoContent) // not the call that carries the effect
		d.tells()
	}
	if row := d.row(d.call); row.VendorID != sid || row.VendorState != "" {
		t.Errorf("got %+v", row)
	}
	d.engine.down = true
	d.says(d.detects(d.call, sid, "machine_start"), http.StatusServiceUnavailable)
	d.says(d.detects(d.call, sid, "human"), http.StatusNoContent)
	d.engine.down, d.engine.gone[d.call.Workflow] = false, true
	d.says(d.detects(d.call, sid, "machine_start"), http.StatusNoContent)
	d.tells()
}

func TestCallStatusMovesForwardOnly(t *testing.T) {
	d := newDoor(t)
	report := func(callID, status, sequence string) int {
		return d.twilio("status", d.call, "", url.Values{"CallSid": {callID}, "CallStatus": {status}, "SequenceNumber": {sequence}}).Code
	}
	for _, word := range [][3]string{
		{sid, "initiated", "0"}, {sid, "completed", "3"}, {sid, "ringing", "1"}, {sid, "completed", "3"}, {otherSid, "busy", "9"},
	} {
		if code := report(word[0], word[1], word[2]); code != http.StatusNoContent {
			t.Errorf("%v: %d", word, code)
		}
	}
	d.state(d.call, "completed")
	over := fact(d.call.Workflow, "call-progress", notify.CallProgress{Effect: d.call.Key, CallID: sid, Status: models.CallCompleted, Sequence: 3})
	d.tells(over, over) // a fact may be told twice
	d.engine.down = true
	if code := report(sid, "busy", "4"); code != http.StatusServiceUnavailable {
		t.Errorf("not told: %d", code)
	}
	d.state(d.call, "completed")
}

// The incident hears of a call's end from a key, or has said it itself. An answer about an approval may be refused, and
// then the call's end is awaited.
func TestTheEndOfACallIsToldOnlyToWhoAwaitsIt(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*door) store.LedgerRow
		told    bool
	}{
		"nobody pressed a key": {func(d *door) store.LedgerRow { return d.call }, true},
		"the contact acknowledged": {func(d *door) store.LedgerRow {
			d.speaks("key", d.call, "?n=1", "1")
			return d.call
		}, false},
		"the contact passed it on": {func(d *door) store.LedgerRow {
			d.speaks("key", d.call, "?n=1", "3")
			return d.call
		}, true},
		"the contact approved": {func(d *door) store.LedgerRow {
			row := d.asks()
			d.speaks("key", row, "?n=1&stage=2", "1")
			return row
		}, true},
		"the incident gave the call up": {func(d *door) store.LedgerRow {
			d.ok(d.store.ForClient(d.Context(), store.Worker, d.client.ID, func(tx *store.Tx) error {
				return tx.SetOutcome(d.call.Key, string(notify.OutcomeUnknown), tx.Now())
			}))
			return d.call
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			row := c.happens(d)
			d.engine.told = nil
			w := d.twilio("status", row, "", url.Values{"CallSid": {sid}, "CallStatus": {"completed"}, "SequenceNumber": {"3"}})
			d.says(w, http.StatusNoContent)
			d.state(row, "completed")
			if got := len(d.engine.told) == 1; got != c.told {
				t.Errorf("told %v", d.engine.told)
			}
		})
	}
}

// What a vendor's report may cost our database, in statements: begin and commit are one each.
func TestWhatACallbackCosts(t *testing.T) {
	d := newDoor(t)
	d.speaks("voice", d.call, "", "") // the call is known
	for _, c := range []struct {
		what string
		most int64
		does func()
	}{
		{"the words of a call", 7, func() { d.speaks("voice", d.call, "", "") }},
		{"the call's progress", 7, func() {
			d.twilio("status", d.call, "", url.Values{"CallSid": {sid}, "CallStatus": {"ringing"}, "SequenceNumber": {"1"}})
		}},
		{"a key that answers", 12, func() { d.speaks("key", d.call, "?n=1", "1") }},
		{"the call's end", 8, func() {
			d.twilio("status", d.call, "", url.Values{"CallSid": {sid}, "CallStatus": {"completed"}, "SequenceNumber": {"2"}})
		}},
	} {
		before := d.store.Statements()
		c.does()
		if n := d.store.Statements() - before; n > c.most {
			t.Errorf("%s: %d statements, want %d at most", c.what, n, c.most)
		}
	}
}
