package activities_test

import (
	"testing"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
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
