package incident_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/models/incident"
	"github.com/watchfire-mdr/watchfire/models/modelstest"
	"github.com/watchfire-mdr/watchfire/models/notify"
)

// BenchmarkApply measures one event on an incident of an ordinary and of an extraordinary size.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{5, 500} {
		b.Run(fmt.Sprintf("%d of each", size), func(b *testing.B) {
			i := grown(b, size)
			events := []incident.EventData{
				&incident.ContactCalled{CallResult: notify.CallResult{Round: 1, Try: 1, Contact: uuid.Nil, Outcome: notify.OutcomeNoAnswer}},
				&incident.EndpointObserved{Endpoint: "e1", State: models.HostNormal},
				&incident.TaskDone{ID: "t1"},
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, d := range events {
					trial := i
					if err := trial.Apply(incident.NewEvent(i, modelstest.T0, models.System(), d)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// grown returns a published incident with n recommendations, endpoints, questions and tasks.
func grown(b *testing.B, n int) incident.Incident {
	b.Helper()
	i := opened(b, models.SeverityHigh)
	analyst := models.Actor{Side: models.SideSOC, ID: "a", Role: models.RoleAnalyst}
	apply := func(by models.Actor, d incident.EventData) {
		if err := i.Apply(incident.NewEvent(i, modelstest.T0, by, d)); err != nil {
			b.Fatal(err)
		}
	}
	apply(analyst, &incident.Published{Expedited: true})
	for k := 1; k <= n; k++ {
		apply(analyst, &incident.Recommended{ID: fmt.Sprintf("r%d", k), Text: "Reset the password."})
		apply(analyst, &incident.IsolationRequested{Endpoint: fmt.Sprintf("e%d", k), Hostname: fmt.Sprintf("WS-%d", k), Reason: "Beacon."})
		apply(analyst, &incident.QuestionAsked{ID: fmt.Sprintf("q%d", k), Text: "Was this you?", Deadline: modelstest.T0.Add(time.Hour)})
		apply(models.System(), &incident.TaskOpened{ID: fmt.Sprintf("t%d", k), Kind: incident.TaskRejected, Detail: "d"})
	}
	return i
}
