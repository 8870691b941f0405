package activities_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/store"
)

func TestACallThatWasNeverBegunHasNoOutcome(t *testing.T) {
	b := newBench(t)
	r := activities.Records{Store: b.ledger.Store, Now: b.clock}
	for _, in := range []activities.OutcomeInput{
		{Outcome: string(models.OutcomeUnplaced)},
		{Outcome: string(models.OutcomeAcknowledged), By: b.effect.Contact, How: "key press 1"},
	} {
		in.ClientID, in.Effect = b.effect.ClientID, b.effect.Key
		if err := r.Outcome(t.Context(), in); err != nil {
			t.Errorf("%s, with nothing in the ledger: %v", in.Outcome, err)
		}
	}
	b.attempt(&vendor{}, "")
	in := activities.OutcomeInput{ClientID: b.effect.ClientID, Effect: b.effect.Key, Outcome: string(models.OutcomeNoAnswer)}
	if err := r.Outcome(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	row, err := b.ledger.Once(t.Context(), b.effect, (&vendor{}).act())
	if err != nil || row.Outcome != string(models.OutcomeNoAnswer) {
		t.Errorf("outcome %q, %v", row.Outcome, err)
	}
}

func TestAContactIsNotReachedTheSameWayTwice(t *testing.T) {
	b := newBench(t)
	n := models.Notice{Purpose: models.PurposePublished, Revision: 1, Occurrence: 1, Channel: models.ChannelVoice}
	err := b.ledger.Store.ForClient(t.Context(), store.SOC, b.effect.ClientID, func(tx *store.Tx) error {
		c, err := tx.CreateContact(models.Contact{Name: "D", Email: "d@acme.example", Phone: "+12025550101", Order: 2, Language: "en",
			Severities: models.Severities(), Channels: []models.Channel{models.ChannelSMS, models.ChannelVoice}}, "another")
		n.Contact = c.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := activities.Records{Store: b.ledger.Store, Now: b.clock}
	after := func() models.Channel {
		to, err := r.Fallback(t.Context(), activities.FallbackInput{
			ClientID: b.effect.ClientID, Reference: b.effect.Incident, Notice: n, Severity: models.SeverityCritical, At: b.clock(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return to.Channel
	}
	if got := after(); got != models.ChannelSMS {
		t.Errorf("after a missed call: %q", got)
	}
	b.effect = models.MessageEffect(b.effect.Incident, b.effect.ClientID, n.To(models.Reach{Contact: n.Contact, Channel: models.ChannelSMS}))
	b.attempt(&vendor{}, "")
	if got := after(); got != "" {
		t.Errorf("after a missed call, when the text was sent before: %q", got)
	}
}
