package hooks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/notify"
	"github.com/watchfire-mdr/watchfire/store"
)

// event is an event about a mail as SendGrid writes it; "blocked" is a kind of bounce.
func event(row store.LedgerRow, id, kind string) string {
	typed := ""
	if kind == "blocked" {
		kind, typed = "bounce", `,"type":"blocked"`
	}
	return fmt.Sprintf(`{"email":"c@acme.example","event":%q%s,"sg_event_id":%q,"sg_message_id":"m.1","timestamp":1773889800,"mdr_delivery_id":%q,"mdr_client_id":%q}`,
		kind, typed, id, row.ID, row.ClientID)
}

// lostMail is the signal that tells an incident of a mail that did not arrive.
func lostMail(te tenant, row store.LedgerRow, reason string) told {
	return fact(te.incident.Reference.WorkflowID(), "undelivered", notify.Undelivered{
		Effect: row.Key, Notification: notificationTo(te, models.ChannelEmail, row.Occurrence), Reason: reason,
	})
}

func (d *door) state(of store.LedgerRow, want string) {
	d.Helper()
	if got := d.row(of).VendorState; got != want {
		d.Errorf("the ledger says %q, want %q", got, want)
	}
}

func TestMailEvents(t *testing.T) {
	d := newDoor(t)
	for n, c := range []struct {
		batches [][]string
		want    string
		told    []string // reasons
	}{
		{[][]string{{"processed", "delivered"}}, "delivered", nil},
		{[][]string{{"bounce", "processed"}}, "bounce", []string{"bounce"}},
		{[][]string{{"bounce"}, {"processed", "deferred", "delivered"}}, "bounce", []string{"bounce"}},
		{[][]string{{"delivered"}, {"deferred"}, {"processed"}}, "delivered", nil},
		{[][]string{{"processed"}, {"deferred"}, {"dropped"}}, "dropped", []string{"dropped"}},
		{[][]string{{"processed"}, {"blocked"}}, "blocked", []string{"blocked"}},
		{[][]string{{"blocked", "delivered"}}, "delivered", nil},
		{[][]string{{"delivered"}, {"bounce"}}, "bounce", []string{"bounce"}},
		{[][]string{{"bounce", "bounce"}, {"bounce"}, {"dropped"}}, "bounce", []string{"bounce"}},
		{[][]string{{"open", "click", "spamreport", "unsubscribe", "group_unsubscribe", "new kind"}}, "", nil},
	} {
		mail := d.sends(d.tenant, models.ChannelEmail, 10+n)
		for _, batch := range c.batches {
			var events []string
			for _, kind := range batch {
				events = append(events, event(mail, fmt.Sprint(n, kind), kind))
			}
			d.says(d.events(events...), http.StatusNoContent)
		}
		d.state(mail, c.want)
		var want []told
		for _, reason := range c.told {
			want = append(want, lostMail(d.tenant, mail, reason))
		}
		d.tells(want...)
		d.says(d.events(event(mail, fmt.Sprint(n, "again"), "processed")), http.StatusNoContent)
		d.tells()
	}
}

func TestAMailServersWordsAreKeptWithoutAddresses(t *testing.T) {
	d := newDoor(t)
	for n, c := range []struct{ fields, want string }{
		{`"reason":"550 5.1.1 <c@acme.example>: Recipient address rejected: User unknown in virtual mailbox table","status":"5.1.1"`,
			"550 5.1.1 [address] Recipient address rejected: User unknown in virtual mailbox table"},
		{`"reason":"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient C.O'Neil+soc@mail.acme.example not found by SMTP address lookup"`,
			"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient [address] not found by SMTP address lookup"},
		{`"reason":"550 no such user: \"c acme\"@acme.example, see mailto:post%40acme.example\r\nDSN: 5.1.1\u2028done"`,
			"550 no such user: [address] see [address] DSN: 5.1.1 done"},
		{`"reason":"` + strings.Repeat("c@acme.example <b>no</b> ", 100) + `"`, strings.Repeat("[address] <b>no</b> ", 10)},
		{`"reason":""`, ""},
	} {
		mail := d.sends(d.tenant, models.ChannelEmail, 10+n)
		bounce := strings.Replace(event(mail, fmt.Sprint(n), "bounce"), "{", "{"+c.fields+",", 1)
		d.says(d.events(bounce), http.StatusNoContent)
		d.tells(lostMail(d.tenant, mail, "bounce")) // the workflow learns that it bounced and no word of the server's
		for _, delivery := range d.deliveries() {
			if delivery.Key == mail.Key && (len(delivery.States) != 1 || delivery.States[0].Detail != c.want) {
				t.Errorf("the ledger has %+v, want %q", delivery.States, c.want)
			}
		}
	}
}

func TestABatchMixesClientsAndStrangers(t *testing.T) {
	d := newDoor(t)
	other := d.newTenant("Other", models.Contact{}, incident.Opened{Title: title})
	foreign := d.sends(other, models.ChannelEmail, 1)
	stranger := func(delivery, client string) string {
		return fmt.Sprintf(`{"event":"bounce","sg_event_id":"s%s%s","timestamp":1773889800,"mdr_delivery_id":%q,"mdr_client_id":%q}`, delivery, client, delivery, client)
	}
	d.says(d.events(
		stranger(uuid.NewString(), d.client.ID.String()), // a delivery nobody knows
		stranger(d.mail.ID.String(), uuid.NewString()),   // a client nobody knows
		stranger(d.mail.ID.String(), uuid.Nil.String()),
		stranger(d.mail.ID.String(), other.client.ID.String()), // of another client
		stranger("", ""), stranger("x", "y"),
		`{"event":7}`, `7`, `null`, `{}`, `{"event":"bounce","timestamp":-1}`,
		event(foreign, "1", "bounce"),
		`{"event":"delivered","sg_event_id":"late","timestamp":1773889800000,"mdr_delivery_id":"`+d.mail.ID.String()+`","mdr_client_id":"`+d.client.ID.String()+`"}`,
		event(d.mail, "1", "bounce"),
	), http.StatusNoContent)
	d.state(d.mail, "bounce")
	d.state(foreign, "bounce")
	d.tells(lostMail(d.tenant, d.mail, "bounce"), lostMail(other, foreign, "bounce"))
	d.says(d.events(), http.StatusNoContent)
}

func TestABounceOfACheckIsTheLedgersAlone(t *testing.T) {
	d := newDoor(t)
	for n, ch := range []models.Channel{models.ChannelEmail, models.ChannelSMS} {
		check := d.intend(notify.ChannelCheckEffect(d.client.ID, d.client.Number, notify.PurposeTest, d.contact.ID, ch, fmt.Sprint(n)))
		want := "bounce"
		if ch == models.ChannelEmail {
			d.says(d.events(event(check, "1", "bounce")), http.StatusNoContent)
		} else {
			want = "undelivered"
			d.says(d.texted(check, textID(check), want, "30003"), http.StatusNoContent)
		}
		d.state(check, want)
	}
	d.tells()
}

func TestAFactThatCouldNotBeToldIsTakenFromTheNextBatch(t *testing.T) {
	d := newDoor(t)
	second := d.sends(d.tenant, models.ChannelEmail, 2)
	batch := []string{event(d.mail, "1", "dropped"), event(second, "2", "delivered")}
	d.engine.down = true
	d.says(d.events(batch...), http.StatusServiceUnavailable)
	d.state(d.mail, "")
	d.state(second, "")
	d.engine.down = false
	d.says(d.events(batch...), http.StatusNoContent)
	d.state(d.mail, "dropped")
	d.state(second, "delivered")
	d.tells(lostMail(d.tenant, d.mail, "dropped"))
}

func TestABounceAfterTheIncidentIsTakenAndToldNobody(t *testing.T) {
	d := newDoor(t)
	d.engine.gone[d.mail.Workflow] = true
	d.says(d.events(event(d.mail, "1", "bounce")), http.StatusNoContent)
	d.state(d.mail, "bounce")
	d.tells()
}
