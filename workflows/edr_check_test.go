package workflows_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/testsuite"

	"github.com/watchfire-mdr/watchfire/activities"
	"github.com/watchfire-mdr/watchfire/models"
	"github.com/watchfire-mdr/watchfire/workflows"
)

func TestACheckReturnsTheVendorsAnswer(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	asked := uuid.New()
	want := models.EDRCheck{Problem: "config", Capabilities: models.Capabilities{Actions: true}}
	edr := &activities.Containment{}
	env.RegisterActivity(edr)
	env.OnActivity(edr.CheckConnection, mock.Anything, mock.Anything).Return(func(_ context.Context, client uuid.UUID) (models.EDRCheck, error) {
		if client != asked {
			t.Errorf("client %s was tried, want %s", client, asked)
		}
		return want, nil
	})
	env.ExecuteWorkflow(workflows.EDRCheck, models.EDRCheckInput{ClientID: asked})
	var got models.EDRCheck
	if err := env.GetWorkflowResult(&got); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
