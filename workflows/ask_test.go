package workflows_test

import (
	"encoding/json"
	"errors"
	"testing"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

func asApp(err error, to **temporal.ApplicationError) bool { return errors.As(err, to) }

func asCAN(err error, to **workflow.ContinueAsNewError) bool { return errors.As(err, to) }

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
