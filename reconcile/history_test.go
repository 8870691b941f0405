package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
)

// tale makes the events of an incident from its opening on: each text is a recommendation.
func tale(t *testing.T, client uuid.UUID, texts ...string) (events []incident.Event, opened incident.Incident) {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	soc := models.Actor{Side: models.SideSOC, ID: "analyst"}
	events = append(events, incident.NewEvent(incident.Incident{}, at, soc, &incident.Opened{
		Reference: "SI-1042-0007", ClientID: client, Title: "Drill", Severity: models.SeverityLow, Alerts: []uuid.UUID{},
	}))
	i, err := incident.Replay(events)
	if err != nil {
		t.Fatal(err)
	}
	opened = i
	for n, text := range texts {
		e := incident.NewEvent(i, at, soc, &incident.Recommended{ID: "r" + string(rune('1'+n)), Text: text})
		if err := i.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events, opened
}

func TestWhatTheDatabaseLostIsFoundInTheHistories(t *testing.T) {
	client := uuid.New()
	all, i := tale(t, client, "a", "b", "c", "d")
	other, _ := tale(t, client, "a", "B", "C", "D")
	_, stranger := tale(t, uuid.New())
	run := func(of incident.Incident, batches ...[]incident.Event) (r runRecord) {
		r.state.Incident = of
		for _, b := range batches {
			r.taken = append(r.taken, recorded{Events: b})
		}
		return r
	}
	dropped := run(i, other[1:])
	dropped.discarded = true
	for name, c := range map[string]struct {
		runs     []runRecord
		stored   int // events in the database
		want     []int
		conflict bool
	}{
		"nothing is lost":                       {runs: []runRecord{run(i, all[1:])}, stored: 5},
		"the database is older":                 {runs: []runRecord{run(i, all[1:3], all[3:])}, stored: 2, want: []int{3, 4, 5}},
		"in the middle of a batch":              {runs: []runRecord{run(i, all[1:])}, stored: 3, want: []int{4, 5}},
		"over two runs":                         {runs: []runRecord{run(i, all[1:4]), run(i, all[4:])}, stored: 2, want: []int{3, 4, 5}},
		"a batch that was recorded by two runs": {runs: []runRecord{run(i, all[1:4]), run(i, all[2:])}, stored: 1, want: []int{2, 3, 4, 5}},
		"the engine is older":                   {runs: []runRecord{run(i, all[1:2])}, stored: 5},
		"the engine forgot a run":               {runs: []runRecord{run(i, all[4:])}, stored: 2, conflict: true},
		"what was discarded":                    {runs: []runRecord{dropped, run(i)}, stored: 1},
		"a run that contradicts the database":   {runs: []runRecord{run(i, other[1:]), run(i, all[1:4])}, stored: 3, want: []int{4}},
		"two histories":                         {runs: []runRecord{run(i, other[1:]), run(i, all[1:])}, stored: 1, conflict: true},
		"another incident under that reference": {runs: []runRecord{run(stranger, other[1:])}, stored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			lost, _, err := lostEvents(c.runs, i, all[:c.stored])
			if got := models.KindOf(err) == models.Conflict; got != c.conflict {
				t.Fatalf("error %v, want a conflict: %t", err, c.conflict)
			}
			var seqs []int
			for _, e := range lost {
				seqs = append(seqs, e.Seq)
			}
			if !slices.Equal(seqs, c.want) {
				t.Errorf("lost are %v, want %v", seqs, c.want)
			}
		})
	}
}
