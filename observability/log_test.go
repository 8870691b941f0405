package observability_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"

	"github.com/watchfire-mdr/watchfire/observability"
)

// Libraries do not know our logger, and what they log comes as JSON all the same.
func TestWhatLibrariesLogIsJSON(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	observability.TakeOver(observability.Logger(slog.LevelInfo, &out))
	slog.Warn("from slog")
	log.Print("from log")
	grpclog.Error("from grpc")
	otel.Handle(errors.New("from otel"))
	for _, want := range []string{"from slog", "from log", "from grpc", "from otel"} {
		found := false
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			found = found || strings.Contains(line, want)
		}
		if !found {
			t.Errorf("%q is not in the log:\n%s", want, out.String())
		}
	}
}
