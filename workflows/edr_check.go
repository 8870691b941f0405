package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/watchfire-mdr/watchfire/models"
)

// EDRCheck tries a client's EDR connection once and returns the result. A vendor that rejects the credentials is a
// result, no failure.
func EDRCheck(ctx workflow.Context, in models.EDRCheckInput) (models.EDRCheck, error) {
	if err := requireClient(in.ClientID); err != nil {
		return models.EDRCheck{}, err
	}
	return checkEDR(ctx, in)
}
