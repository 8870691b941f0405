package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// EDRCheck tries a client's EDR connection, once, and answers what came of it. A vendor that refuses is an answer.
func EDRCheck(ctx workflow.Context, run models.EDRCheckInput) (models.EDRCheck, error) {
	return checkEDR(ctx, run)
}
