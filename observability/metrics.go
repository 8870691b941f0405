package observability

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// Metrics are the numbers of one process, read by Prometheus.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// NewMetrics makes the registry of a process, with the metrics of Go and of the operating system about the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchfire_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"operation", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "watchfire_http_request_seconds", Help: "How long HTTP requests took.",
			Buckets: durationBuckets(),
		}, []string{"operation"}),
	}
	m.registry.MustRegister(m.requests, m.durations, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts one answered HTTP request, with its HTTP status and how long the answer took. operation must come from
// a bounded set, such as the routes, never from a request's path.
func (m *Metrics) Request(operation string, status int, took time.Duration) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(operation).Observe(took.Seconds())
}

// alarmsWithin bounds how long a scrape waits for the count of alarms.
const alarmsWithin = time.Second

// CountAlarms shows the number of open operator alarms of each kind as the gauge watchfire_operator_alarms. count is
// asked at every scrape; while it fails the gauge is missing.
func (m *Metrics) CountAlarms(count func(context.Context) (map[string]int, error)) {
	m.registry.MustRegister(alarmCollector{count})
}

type alarmCollector struct {
	count func(context.Context) (map[string]int, error)
}

var openAlarms = prometheus.NewDesc("watchfire_operator_alarms", "Open alarms of the operator, by kind; none at all is kind none.", []string{"kind"}, nil)

// Describe names the gauge.
func (alarmCollector) Describe(all chan<- *prometheus.Desc) { all <- openAlarms }

// Collect counts the alarms.
func (c alarmCollector) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), alarmsWithin)
	defer cancel()
	byKind, err := c.count(ctx)
	if err != nil {
		return
	}
	if len(byKind) == 0 {
		byKind = map[string]int{"none": 0}
	}
	for kind, n := range byKind {
		all <- prometheus.MustNewConstMetric(openAlarms, prometheus.GaugeValue, float64(n), kind)
	}
}

// Handler returns a handler for /metrics, in the format of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Temporal returns a metrics handler with which a Temporal client counts its own work in this registry.
func (m *Metrics) Temporal() (client.MetricsHandler, error) {
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(m.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("export the Temporal SDK's metrics: %w", err)
	}
	durations := metric.NewView(metric.Instrument{Kind: metric.InstrumentKindHistogram}, // the SDK records seconds
		metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: durationBuckets()}})
	meter := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(durations)).Meter("temporal-sdk")
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: meter}), nil
}

// durationBuckets are the upper bounds, in seconds, of the buckets that durations fall into.
func durationBuckets() []float64 {
	return []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}
}
