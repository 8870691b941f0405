package observability

import (
	"io"
	"log/slog"
	"slices"
	"strings"

	"go.temporal.io/sdk/log"
)

// Logger returns a structured logger that writes one JSON object a line to w, from level up. It masks values under a
// key that names a secret or an address, as a last defence: callers log none.
func Logger(level slog.Leveler, w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: maskSensitive}))
}

// TemporalLogger adapts a logger to the Temporal SDK.
func TemporalLogger(l *slog.Logger) log.Logger { return log.NewStructuredLogger(l) }

// maskSensitive replaces the value of an attribute whose key names a secret or an address.
func maskSensitive(_ []string, a slog.Attr) slog.Attr {
	if slices.Contains([]string{
		"token", "secret", "password", "authorization", "bearer", "cookie", "key", "phone", "email", "mail", "to", "body",
	}, strings.ToLower(a.Key)) {
		a.Value = slog.StringValue("[masked]")
	}
	return a
}
