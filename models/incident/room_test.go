package incident_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
)

var longText = strings.Repeat("報", models.MaxText)

// user is somebody with a role.
func user(r models.Role) incident.CommandContext {
	return incident.CommandContext{RequestID: "r", Actor: models.Actor{Side: r.Side(), ID: "u-" + string(r), Role: r}, Via: "api"}
}

// crowd is an incident and its room.
type crowd struct {
	t    *testing.T
	i    incident.Incident
	room incident.Room
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	i := opened(t, models.SeverityHigh)
	c := &crowd{t: t, i: i, room: incident.NewRoom(i)}
	c.must(models.RoleAnalyst, &incident.Expedite{})
	return c
}

// send decides a command and applies its events.
func (c *crowd) send(r models.Role, command incident.Command) error {
	c.t.Helper()
	events, err := c.room.Decide(c.i, command, user(r), modelstest.T0)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := c.i.Apply(e); err != nil {
			c.t.Fatal(err)
		}
		c.room.Add(e.Size())
	}
	if size := c.carried(); size > incident.RoomToSettle {
		c.t.Fatalf("after %s the incident is carried with %d bytes", command.Name(), size)
	}
	return nil
}

func (c *crowd) must(r models.Role, command incident.Command) {
	c.t.Helper()
	if err := c.send(r, command); err != nil {
		c.t.Fatalf("%s: %v", command.Name(), err)
	}
}

func (c *crowd) carried() int {
	b, err := json.Marshal(c.i.Carried())
	if err != nil {
		c.t.Fatal(err)
	}
	return len(b)
}

// fill sends a command until it is refused, and returns how often it was taken.
func (c *crowd) fill(next func(n int) incident.Command) int {
	c.t.Helper()
	for n := 0; ; n++ {
		switch err := c.send(models.RoleAnalyst, next(n)); {
		case models.KindOf(err) == models.Conflict:
			return n
		case err != nil:
			c.t.Fatal(err)
		case n > 1000:
			c.t.Fatal("nothing was refused")
		}
	}
}

func TestNoCommandMakesAnIncidentTooLargeToCarry(t *testing.T) {
	deadline := modelstest.T0.Add(time.Hour)
	for name, next := range map[string]func(int) incident.Command{
		"recommendations": func(int) incident.Command { return &incident.Recommend{Text: longText} },
		"questions":       func(int) incident.Command { return &incident.AskQuestion{Text: longText, Deadline: deadline} },
		"short ones":      func(int) incident.Command { return &incident.Recommend{Text: "r"} },
		"endpoints": func(n int) incident.Command {
			return &incident.Isolate{Hostname: fmt.Sprintf("WS-%d", n), Reason: longText}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t)
			taken := c.fill(next)
			if before := c.i.Seq; c.send(models.RoleAnalyst, next(taken)) == nil || c.i.Seq != before {
				t.Error("a refused command changed something")
			}
			t.Logf("%d taken, %d bytes", taken, c.carried())
		})
	}
}

// An incident that is full of talk can still be brought to its end.
func TestAFullIncidentCanBeSettledAndClosed(t *testing.T) {
	c := newCrowd(t)
	c.must(models.RoleAnalyst, &incident.Isolate{Hostname: "WS-1", Reason: longText})
	taken := c.fill(func(int) incident.Command { return &incident.Recommend{Text: longText} })
	c.fill(func(int) incident.Command {
		return &incident.AskQuestion{Text: "q", Deadline: modelstest.T0.Add(time.Hour)}
	})
	c.must(models.RoleResponder, &incident.Release{Endpoint: "e1", Reason: longText})
	c.must(models.RoleResponder, &incident.Comment{Text: longText})
	c.must(models.RoleResponder, &incident.Acknowledge{Revision: 1})
	c.must(models.RoleAnalyst, &incident.Verify{Gone: true, Note: longText})
	for n := range taken {
		c.must(models.RoleResponder, &incident.SettleRecommendation{
			Recommendation: fmt.Sprintf("r%d", n+1), Outcome: incident.Mitigated, Evidence: longText})
	}
	c.must(models.RoleAnalyst, &incident.Recommend{Text: longText})
}

// Short assessments add up to a long one.
func TestAnAssessmentIsBoundedAsAWhole(t *testing.T) {
	c := newCrowd(t)
	indicators := make([]models.Indicator, 100)
	assets, timeline := make([]string, 100), make([]incident.TimelineEntry, 100)
	line := strings.Repeat("報", models.MaxLine)
	for n := range indicators {
		indicators[n], assets[n] = models.Indicator{Type: "url", Value: line}, line
		timeline[n] = incident.TimelineEntry{At: modelstest.T0, Text: line}
	}
	c.must(models.RoleAnalyst, &incident.Assess{Indicators: &indicators})
	if err := c.send(models.RoleAnalyst, &incident.Assess{Assets: &assets, Timeline: &timeline}); models.KindOf(err) != models.Conflict {
		t.Errorf("an assessment of 450 kB: %v, want a conflict", err)
	}
	short := []models.Indicator{}
	c.must(models.RoleAnalyst, &incident.Assess{Indicators: &short})
}

// What is carried decides as the whole does, and keeps what is open.
func TestWhatIsLeftOutChangesNoRule(t *testing.T) {
	c := newCrowd(t)
	c.must(models.RoleAnalyst, &incident.Recommend{Text: longText})
	c.must(models.RoleAnalyst, &incident.Recommend{Text: longText})
	c.must(models.RoleAnalyst, &incident.AskQuestion{Text: longText, Deadline: modelstest.T0.Add(time.Hour)})
	c.must(models.RoleAnalyst, &incident.AskQuestion{Text: longText, Deadline: modelstest.T0.Add(time.Hour)})
	c.must(models.RoleResponder, &incident.SettleRecommendation{Recommendation: "r1", Outcome: incident.Mitigated, Evidence: longText})
	c.must(models.RoleResponder, &incident.AnswerQuestion{Question: "q1", Answer: longText})
	whole := c.i
	carried := whole.Carried()
	if carried.Recommendations[0].Text != "" || carried.Recommendations[1].Text != longText || whole.Recommendations[0].Text != longText {
		t.Error("the wrong texts are left out")
	}
	if carried.Questions[0].IsOpen() || !carried.Questions[1].IsOpen() || carried.Questions[1].Text != longText {
		t.Error("the answered question counts as open, or the open one has no text")
	}
	for _, command := range []incident.Command{
		&incident.AnswerQuestion{Question: "q1", Answer: "a"}, &incident.AnswerQuestion{Question: "q2", Answer: "a"},
		&incident.RequestClosure{Outcome: incident.OutcomeResolved, Note: "n"}, &incident.Comment{Text: "c"},
	} {
		a, b := whole.Can(command, user(models.RoleResponder), modelstest.T0), carried.Can(command, user(models.RoleResponder), modelstest.T0)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: the whole says %v, what is carried %v", command.Name(), a, b)
		}
	}
}
