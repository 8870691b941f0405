package models_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/watchfire-mdr/watchfire/models"
)

// The keys stand in the ledger and at the vendors: another form of the same key would send everything once more.
func TestKeysOfEffectsStayAsTheyAre(t *testing.T) {
	const ref = models.Reference("SI-1042-0007")
	contact := contactID(1)
	for key, e := range map[string]models.Effect{
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/email/1":   models.MessageEffect(ref, clientID, models.Notification{Purpose: models.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact, Channel: "email"}),
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/sms/1":     models.MessageEffect(ref, clientID, models.Notification{Purpose: models.PurposePublished, Revision: 1, Occurrence: 1, Contact: contact, Channel: "sms"}),
		"SI-1042-0007/reminder/2/c0ffee00-0000-4000-8000-000000000001/email/3":    models.MessageEffect(ref, clientID, models.Notification{Purpose: models.PurposeReminder, Revision: 2, Occurrence: 3, Contact: contact, Channel: "email", At: t0}),
		"SI-1042-0007/published/1/c0ffee00-0000-4000-8000-000000000001/voice/2.3": models.CallEffect(ref, clientID, 1, 2, 3, contact),
		"contact/c0ffee00-0000-4000-8000-000000000001/test/voice/8b1d":            models.ChannelCheckEffect(clientID, models.PurposeTest, contact, "voice", "8b1d"),
		"contact/c0ffee00-0000-4000-8000-000000000001/code/sms/8b1d":              models.ChannelCheckEffect(clientID, models.PurposeCode, contact, "sms", "8b1d"),
		"SI-1042-0007/isolate/3/e1/edr/1":                                         models.EndpointEffect(ref, clientID, models.PurposeIsolate, "e1", 3, 1),
		"SI-1042-0007/release/4/e1/edr/2":                                         models.EndpointEffect(ref, clientID, models.PurposeRelease, "e1", 4, 2),
	} {
		if e.Key != key || e.ClientID != clientID {
			t.Errorf("key %s, want %s", e.Key, key)
		}
	}
}

func TestEffectsGoToTheVendorOfTheirChannel(t *testing.T) {
	contact := contactID(1)
	for ch, want := range map[models.Channel]models.EffectKind{"email": models.EffectMail, "sms": models.EffectText, "voice": models.EffectCall} {
		e := models.ChannelCheckEffect(clientID, models.PurposeTest, contact, ch, "8b1d")
		if e.Kind != want || e.Incident != "" || e.Purpose != models.PurposeTest || e.Contact != contact || e.Occurrence != 1 || e.Simulated {
			t.Errorf("a test of %s: %+v", ch, e)
		}
		if id := "contact/c0ffee00-0000-4000-8000-000000000001/" + string(ch); e.Workflow != id {
			t.Errorf("a test of %s belongs to %s", ch, e.Workflow)
		}
		if ch == "voice" {
			continue // calls are effects of a round
		}
		e = models.MessageEffect("SI-1042-0007", clientID, models.Notification{Purpose: models.PurposeRevised, Revision: 2, Occurrence: 1, Contact: contact, Channel: ch})
		if e.Kind != want || e.Incident != "SI-1042-0007" || e.Purpose != models.PurposeRevised || e.Revision != 2 || e.Contact != contact || e.Workflow != "incident/SI-1042-0007" {
			t.Errorf("a message over %s: %+v", ch, e)
		}
	}
}

// Two messages with one key are one message; one message with two keys is sent twice.
func TestMessagesShareAKeyOnlyWhenTheyAreTheSame(t *testing.T) {
	draw := func(t *rapid.T, label string) models.Notification {
		return models.Notification{
			Purpose:  rapid.SampledFrom([]models.Purpose{models.PurposePublished, models.PurposeReminder, models.PurposeQuestionReminder}).Draw(t, label),
			Revision: rapid.IntRange(1, 11).Draw(t, label), Occurrence: rapid.IntRange(1, 11).Draw(t, label),
			Contact: rapid.SampledFrom([]uuid.UUID{contactID(1), contactID(2)}).Draw(t, label),
			Channel: rapid.SampledFrom([]models.Channel{"email", "sms"}).Draw(t, label),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		same := models.MessageEffect("SI-1042-0007", clientID, a).Key == models.MessageEffect("SI-1042-0007", clientID, b).Key
		if same != (a == b) {
			t.Fatalf("%+v and %+v share a key: %t", a, b, same)
		}
		held := a
		held.At = t0
		if models.MessageEffect("SI-1042-0007", clientID, held).Key != models.MessageEffect("SI-1042-0007", clientID, a).Key {
			t.Fatal("waiting for hours changes the key")
		}
	})
}
