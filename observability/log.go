package observability

import (
	"io"
	"log/slog"
	"slices"
	"strings"

	"go.temporal.io/sdk/log"
)

// Logger returns a structured logger that writes one JSON object a line to w. Values under a key that names a
// secret or an address are masked, whoever logs them.
func Logger(level slog.Leveler, w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: mask}))
}

// TemporalLogger makes a logger what the Temporal SDK takes.
func TemporalLogger(l *slog.Logger) log.Logger { return log.NewStructuredLogger(l) }

func mask(_ []string, a slog.Attr) slog.Attr {
	if slices.Contains([]string{
		"token", "secret", "password", "authorization", "bearer", "cookie", "key", "phone", "email", "mail", "to", "body",
	}, strings.ToLower(a.Key)) {
		a.Value = slog.StringValue("[masked]")
	}
	return a
}
