package observability

import (
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc/grpclog"
)

// Logger returns a structured logger that writes one JSON object a line to w, from level up. It masks values under a
// key that names a secret or an address, as a last defence: callers log none.
func Logger(level slog.Leveler, w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: maskSensitive}))
}

// TakeOver makes everything that libraries log in this process go through a logger: what they write to the standard
// library's loggers, and the errors that gRPC and OpenTelemetry would write to standard error as they like.
func TakeOver(l *slog.Logger) {
	slog.SetDefault(l) // the standard library's package log, too
	otel.SetLogger(logr.FromSlogHandler(l.Handler()))
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, slog.NewLogLogger(l.Handler(), slog.LevelError).Writer()))
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
