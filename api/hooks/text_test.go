package hooks_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// texted posts what became of a text message of ours.
func (d *door) texted(row store.LedgerRow, id, status, code string) *httptest.ResponseRecorder {
	form := url.Values{"MessageSid": {id}, "MessageStatus": {status}, "To": {phone}, "From": {"+15550001111"}}
	if code != "" {
		form.Set("ErrorCode", code)
	}
	return d.twilio("text", row, "", form)
}

// replies posts a text message from a number to us.
func (d *door) replies(from, body string) *httptest.ResponseRecorder {
	return d.signed("/hooks/twilio/text", url.Values{"MessageSid": {textSid}, "From": {from}, "To": {"+15550001111"}, "Body": {body}, "NumSegments": {"1"}})
}

// orders returns all orders of some words.
func orders(words ...string) (all [][]string) {
	if len(words) < 2 {
		return [][]string{words}
	}
	for n, first := range words {
		rest := append(append([]string{}, words[:n]...), words[n+1:]...)
		for _, o := range orders(rest...) {
			all = append(all, append([]string{first}, o...))
		}
	}
	return all
}

func TestTextStatusInEveryOrder(t *testing.T) {
	d := newDoor(t)
	for n, order := range append(orders("queued", "sent", "delivered"), orders("sending", "sent", "undelivered")...) {
		text := d.sends(d.tenant, models.ChannelSMS, 10+n)
		final := "undelivered"
		if strings.Contains(strings.Join(order, " "), " delivered") || order[0] == "delivered" {
			final = "delivered"
		}
		for _, status := range append(order, order...) { // each comes twice
			code := ""
			if status == "undelivered" {
				code = "30003"
			}
			d.says(d.texted(text, textID(text), status, code), http.StatusNoContent)
		}
		d.state(text, final)
		if final == "delivered" {
			d.tells()
			continue
		}
		d.tells(fact(d.incident.Reference.WorkflowID(), "undelivered", notify.Undelivered{
			Effect: text.Key, Notification: notificationTo(d.tenant, models.ChannelSMS, 10+n), Reason: "undelivered",
		}))
		d.says(d.texted(text, textID(text), "delivered", ""), http.StatusNoContent)
		d.state(text, final)
		d.tells()
	}
}

func TestTheCarriersErrorCodeIsKept(t *testing.T) {
	d := newDoor(t)
	d.says(d.texted(d.text, textID(d.text), "failed", "30007"), http.StatusNoContent)
	for _, delivery := range d.deliveries() {
		if delivery.Kind == notify.EffectText && (len(delivery.States) != 1 || delivery.States[0].State != "failed" || delivery.States[0].Detail != "30007") {
			t.Errorf("got %+v", delivery.States)
		}
	}
}

func TestTextStatusOfAnotherMessageSaysNothing(t *testing.T) {
	d := newDoor(t)
	d.says(d.texted(d.text, "SM"+strings.Repeat("f", 32), "failed", ""), http.StatusNoContent)
	d.state(d.text, "")
	d.tells()
	early := d.intend(notify.MessageEffect(d.incident.Reference, d.client.ID, notificationTo(d.tenant, models.ChannelSMS, 2)))
	d.says(d.texted(early, textID(early), "sent", ""), http.StatusNoContent) // the answer to our request was lost
	if row := d.row(early); row.State != notify.EffectAccepted || row.VendorID != textID(early) || row.VendorState != "sent" {
		t.Errorf("got %+v", row)
	}
}

func TestTextStatusThatCannotBeToldIsTakenAgain(t *testing.T) {
	d := newDoor(t)
	d.engine.down = true
	d.says(d.texted(d.text, textID(d.text), "sent", ""), http.StatusNoContent) // nobody is to be told of that
	d.says(d.texted(d.text, textID(d.text), "undelivered", "30003"), http.StatusServiceUnavailable)
	d.state(d.text, "sent")
	d.engine.down = false
	d.says(d.texted(d.text, textID(d.text), "undelivered", "30003"), http.StatusNoContent)
	d.state(d.text, "undelivered")
	if len(d.engine.told) != 1 {
		t.Errorf("told %v", d.engine.told)
	}
}

// replied is the signal that tells an incident of a contact who answered.
func replied(te tenant, row store.LedgerRow) told {
	return fact(te.incident.Reference.WorkflowID(), "text-reply", notify.TextReply{Effect: row.Key, Contact: te.contact.ID})
}

// acknowledged checks whether the ledger has an acknowledgement of an effect.
func (d *door) acknowledged(of store.LedgerRow, want bool) {
	d.Helper()
	row := d.row(of)
	if !want && (row.Outcome == "acknowledged" || row.AcknowledgedBy != uuid.Nil || row.How != "") {
		d.Errorf("acknowledged: %+v", row)
	}
	if want && (row.Outcome != "acknowledged" || row.AcknowledgedBy != of.Contact || row.How != "reply to text message") {
		d.Errorf("not acknowledged: %+v", row)
	}
}

func (d *door) silent(w *httptest.ResponseRecorder) {
	d.Helper()
	d.says(w, http.StatusOK)
	if got := normal(d.T, w.Body.Bytes()); got != "<Response>\n</Response>\n" {
		d.Errorf("answered %s", got)
	}
}

func TestTheCodeAcknowledges(t *testing.T) {
	for name, body := range map[string]string{
		"alone": "%s", "with words": "Yes, code %s. Thanks!", "with others": "482913 000000 %s", "on its own line": "ok\r\n%s\r\n-- \r\nsent from my phone",
		"without a space": "ok%sthanks", "after letters": "ok%s", "after a number": "24 %s", "in groups": "%.3[1]s %.3[2]s",
		"on two lines": "%.3[1]s\n%.3[2]s", "with a tab": "%.3[1]s\t%.3[2]s", "with a soft hyphen": "%.3[1]s\u00ad%.3[2]s", "with a mark of direction": "%.3[1]s\u200e%.3[2]s", "with a hyphen": "%.3[1]s-%.3[2]s",
		"in six groups": "%[3]s", "full width": "%[4]s", "Arabic": "%[5]s", "Devanagari": "%[6]s", "mathematical": "%[7]s",
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			code := d.text.Code()
			in := func(zero rune) string {
				return strings.Map(func(r rune) rune { return zero + r - '0' }, code)
			}
			body := fmt.Sprintf(body+"%.0[1]s%.0[2]s%.0[3]s%.0[4]s%.0[5]s%.0[6]s%.0[7]s", code, code[3:], strings.Join(strings.Split(code, ""), " "), in('０'), in('٠'), in('०'), in('𝟎'))
			d.says(d.replies(phone, body), http.StatusOK, "is recorded")
			d.tells(replied(d.tenant, d.text))
			d.acknowledged(d.text, true)
			by := models.Actor{Side: models.SideClient, ID: "contact:" + d.contact.ID.String()}
			d.record(&d.incident, by, &incident.AcknowledgedBy{Channel: "sms", How: "reply to text message"})
			d.silent(d.replies(phone, "thanks")) // there is nothing to help with
			d.tells()
			d.says(d.replies(phone, code), http.StatusOK, "is recorded")
			d.acknowledged(d.text, true)
		})
	}
}

func TestTheCodeIsWorthNothing(t *testing.T) {
	d := newDoor(t)
	call, check := d.calls(d.tenant, 2), d.intend(notify.ChannelCheckEffect(d.client.ID, d.client.Number, notify.PurposeCode, d.contact.ID, models.ChannelSMS, "1"))
	d.silent(d.replies(another, d.text.Code()))
	for name, body := range map[string]string{
		"before a number": d.text.Code() + "7", "inside a number": "1" + d.text.Code(), "of a call": call.Code(), "of a check": check.Code(),
		"around a word": d.text.Code()[:3] + " and " + d.text.Code()[3:],
	} {
		d.says(d.replies(phone, body), http.StatusOK, "not recognise") // never silence after a try
		if d.acknowledged(d.text, false); t.Failed() {
			t.Fatal(name)
		}
	}
	d.ages(7*24*time.Hour + time.Second)
	d.silent(d.replies(phone, d.text.Code()))
	d.acknowledged(d.text, false)
	d.tells()
}

// What a process of the API takes for the time does not matter: the ledger has the database's.
func TestTheClockOfAProcessDoesNotMatter(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		d := newDoor(t)
		d.now = d.now.Add(skew)
		d.says(d.speaks("voice", d.call, "", ""), http.StatusOK)
		d.ages(7*24*time.Hour - 30*time.Minute) // a reply is taken for seven days
		d.says(d.replies(phone, d.text.Code()), http.StatusOK, "is recorded")
		d.ledger(d.client.ID, func(tx *store.Tx) error {
			row, err := tx.Effect(d.call.Key)
			if off := row.AcceptedAt.Sub(tx.Now()).Abs(); off > 30*time.Minute {
				t.Errorf("the call was accepted at %s, which is %s off", row.AcceptedAt, off)
			}
			text, terr := tx.Effect(d.text.Key)
			if off := text.AcknowledgedAt.Sub(tx.Now()).Abs(); off > 30*time.Minute {
				t.Errorf("the text was acknowledged at %s, which is %s off", text.AcknowledgedAt, off)
			}
			return errors.Join(err, terr)
		})
	}
}

func TestACodeDiesAfterTenWrongReplies(t *testing.T) {
	d := newDoor(t)
	for range 2 {
		d.says(d.replies(phone, "000001 000002 000003"), http.StatusOK, "not recognise") // three guesses
	}
	for range 4 {
		d.says(d.replies(phone, "what is this?"), http.StatusOK, "not recognise")
		d.silent(d.replies(another, "000001"))
	}
	for range 3 { // an answering machine must not talk to us for ever
		d.silent(d.replies(phone, "what is this?"))
	}
	d.silent(d.replies(phone, d.text.Code()))
	d.tells()
	d.acknowledged(d.text, false)

	d.now = d.now.Add(time.Minute)
	later := d.sends(d.tenant, models.ChannelSMS, 2) // the next text has a code of its own
	d.says(d.replies(phone, later.Code()), http.StatusOK, "is recorded")
	d.acknowledged(later, true)
}

func TestADateIsOneTry(t *testing.T) {
	d := newDoor(t)
	for range 9 {
		d.says(d.replies(phone, "Since 2026-11-30 02:15 from 10.20.30.40 and 10.20.30.41?"), http.StatusOK, "not recognise")
	}
	d.says(d.replies(phone, d.text.Code()), http.StatusOK, "is recorded")
}

func TestTwoCodesInOneTextAcknowledgeTwoIncidents(t *testing.T) {
	d := newDoor(t)
	second := d.tenant
	second.incident = d.publish(d.client.ID, incident.Opened{Title: "another one"})
	later := d.sends(second, models.ChannelSMS, 1)
	d.says(d.replies(phone, d.text.Code()+" and "+later.Code()), http.StatusOK, "is recorded")
	d.acknowledged(d.text, true)
	d.acknowledged(later, true)
}

// One phone may be a contact's of several clients.
func TestTheCodeOfOneClientIsNoWrongReplyToAnother(t *testing.T) {
	d := newDoor(t)
	other := d.newTenant("Other", models.Contact{Language: "en"}, incident.Opened{Title: title})
	foreign := d.sends(other, models.ChannelSMS, 1)
	for range 40 {
		d.says(d.replies(phone, foreign.Code()), http.StatusOK, "is recorded")
	}
	d.says(d.replies(phone, d.text.Code()), http.StatusOK, "is recorded")
	d.acknowledged(d.text, true)
}

func TestTheCodeOfAnAcknowledgedIncidentChangesNothing(t *testing.T) {
	d := newDoor(t)
	d.record(&d.incident, models.Actor{Side: models.SideClient, ID: "user", Role: models.RoleAdmin}, &incident.AcknowledgedBy{Channel: "portal", How: "acknowledged"})
	d.says(d.replies(phone, d.text.Code()), http.StatusOK, "already been acknowledged")
	d.silent(d.replies(phone, "thanks"))
	d.tells()
	d.acknowledged(d.text, false)
}

func TestTheCodePicksTheIncident(t *testing.T) {
	d := newDoor(t)
	second, other := d.tenant, d.newTenant("Other", models.Contact{Language: "de"}, incident.Opened{Title: title})
	second.incident = d.publish(d.client.ID, incident.Opened{Title: "another one"})
	d.now = d.now.Add(time.Minute)
	later, foreign := d.sends(second, models.ChannelSMS, 1), d.sends(other, models.ChannelSMS, 1)

	d.says(d.replies(phone, d.text.Code()), http.StatusOK, "is recorded")
	d.tells(replied(d.tenant, d.text))
	d.acknowledged(later, false)
	d.acknowledged(foreign, false)
	d.says(d.replies(phone, foreign.Code()), http.StatusOK, "ist vermerkt")
	d.tells(replied(other, foreign))
	d.acknowledged(foreign, true)
	d.acknowledged(later, false)
	d.says(d.replies(phone, later.Code()), http.StatusOK, "is recorded")
	d.tells(replied(second, later))
}

func TestRecordedIsAnsweredOnlyWhenItIs(t *testing.T) {
	d := newDoor(t)
	before := d.row(d.text)
	d.engine.down = true
	w := d.replies(phone, d.text.Code())
	d.says(w, http.StatusServiceUnavailable)
	if after := d.row(d.text); w.Body.Len() > 0 || after.Outcome != before.Outcome || after.AcknowledgedBy != before.AcknowledgedBy {
		t.Errorf("answered %s, the ledger has %+v", w.Body, after)
	}
	d.engine.down, d.engine.gone[d.incident.Reference.WorkflowID()] = false, true
	d.says(d.replies(phone, d.text.Code()), http.StatusOK, "is over")
	d.acknowledged(d.text, false)
	d.tells()
}

func TestOneReplyTakenManyTimesIsOneAcknowledgement(t *testing.T) {
	d := newDoor(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if w := d.replies(phone, d.text.Code()); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "is recorded") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	d.acknowledged(d.text, true)
	for _, got := range d.engine.told {
		if got != replied(d.tenant, d.text) {
			t.Errorf("told %v", got)
		}
	}
}

// Whoever knows the code of an incident that is acknowledged guesses that of another one beside it.
func TestAKnownOldCodePaysForNoGuesses(t *testing.T) {
	d := newDoor(t)
	old := d.text
	d.record(&d.incident, models.Actor{Side: models.SideClient, ID: "user", Role: models.RoleAdmin}, &incident.AcknowledgedBy{Channel: "portal", How: "acknowledged"})
	second := d.tenant
	second.incident = d.publish(d.client.ID, incident.Opened{Title: "another one"})
	d.now = d.now.Add(time.Minute)
	later := d.sends(second, models.ChannelSMS, 1)
	for n := range 10 {
		d.replies(phone, fmt.Sprintf("%s %06d %06d", old.Code(), 2*n+1, 2*n+2))
	}
	d.replies(phone, later.Code())
	d.acknowledged(later, false)
}
