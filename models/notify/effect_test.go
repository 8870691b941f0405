package notify_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// The keys stand in the ledger and at the vendors: another form of the same key would send everything once more.
func TestKeysOfEffectsStayAsTheyAre(t *testing.T) {
	const ref = models.Reference("SI-1042-0007")
	contact := modelstest.ContactID(1)
	for key, e := range map[string]notify.Effect{
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/email/1":   notify.MessageEffect(ref, modelstest.ClientID, notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact, Channel: "email"}),
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/sms/1":     notify.MessageEffect(ref, modelstest.ClientID, notify.Notification{Purpose: notify.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact, Channel: "sms"}),
		"SI-1042-0007/reminder/2/c0ffee00-0000-4000-8000-000000000001/email/3":    notify.MessageEffect(ref, modelstest.ClientID, notify.Notification{Purpose: notify.PurposeReminder, Revision: 2, Occurrence: 3, Contact: contact, Channel: "email", At: modelstest.T0}),
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/voice/2.3": notify.CallEffect(ref, modelstest.ClientID, 1, 2, 3, contact),
		"contact/c0ffee00-0000-4000-8000-000000000001/test/voice/8b1d":            notify.ChannelCheckEffect(modelstest.ClientID, 1042, notify.PurposeTest, contact, "voice", "8b1d"),
		"contact/c0ffee00-0000-4000-8000-000000000001/code/sms/8b1d":              notify.ChannelCheckEffect(modelstest.ClientID, 1042, notify.PurposeCode, contact, "sms", "8b1d"),
		"SI-1042-0007/isolate/3/e1/edr/1":                                         notify.EndpointEffect(ref, modelstest.ClientID, notify.PurposeIsolate, "e1", 3, 1),
		"SI-1042-0007/release/4/e1/edr/2":                                         notify.EndpointEffect(ref, modelstest.ClientID, notify.PurposeRelease, "e1", 4, 2),
	} {
		if e.Key != key || e.ClientID != modelstest.ClientID {
			t.Errorf("key %s, want %s", e.Key, key)
		}
	}
}

func TestEffectsGoToTheVendorOfTheirChannel(t *testing.T) {
	contact := modelstest.ContactID(1)
	for ch, want := range map[models.Channel]notify.EffectKind{"email": notify.EffectMail, "sms": notify.EffectText, "voice": notify.EffectCall} {
		e := notify.ChannelCheckEffect(modelstest.ClientID, 1042, notify.PurposeTest, contact, ch, "8b1d")
		if e.Kind != want || e.Incident != "" || e.Purpose != notify.PurposeTest || e.Contact != contact || e.Occurrence != 1 || e.Simulated {
			t.Errorf("a test of %s: %+v", ch, e)
		}
		if id := "contact/1042/c0ffee00-0000-4000-8000-000000000001/" + string(ch); e.Workflow != id {
			t.Errorf("a test of %s belongs to %s", ch, e.Workflow)
		}
		if ch == "voice" {
			continue // calls are effects of a round
		}
		e = notify.MessageEffect("SI-1042-0007", modelstest.ClientID, notify.Notification{Purpose: notify.PurposeRevised, Revision: 2, Occurrence: 1, Contact: contact, Channel: ch})
		if e.Kind != want || e.Incident != "SI-1042-0007" || e.Purpose != notify.PurposeRevised || e.Revision != 2 || e.Contact != contact || e.Workflow != "incident/SI-1042-0007" {
			t.Errorf("a message over %s: %+v", ch, e)
		}
	}
}

// Two messages with one key are one message; one message with two keys is sent twice.
func TestMessagesShareAKeyOnlyWhenTheyAreTheSame(t *testing.T) {
	draw := func(t *rapid.T, label string) notify.Notification {
		return notify.Notification{
			Purpose:  rapid.SampledFrom([]notify.Purpose{notify.PurposePublished, notify.PurposeReminder, notify.PurposeQuestionReminder}).Draw(t, label),
			Revision: rapid.IntRange(1, 11).Draw(t, label), Occurrence: rapid.IntRange(1, 11).Draw(t, label),
			Contact: rapid.SampledFrom([]uuid.UUID{modelstest.ContactID(1), modelstest.ContactID(2)}).Draw(t, label),
			Channel: rapid.SampledFrom([]models.Channel{"email", "sms"}).Draw(t, label),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		same := notify.MessageEffect("SI-1042-0007", modelstest.ClientID, a).Key == notify.MessageEffect("SI-1042-0007", modelstest.ClientID, b).Key
		if same != (a == b) {
			t.Fatalf("%+v and %+v share a key: %t", a, b, same)
		}
		held := a
		held.At = modelstest.T0
		if notify.MessageEffect("SI-1042-0007", modelstest.ClientID, held).Key != notify.MessageEffect("SI-1042-0007", modelstest.ClientID, a).Key {
			t.Fatal("waiting for hours changes the key")
		}
	})
}
