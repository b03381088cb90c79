package telemetry

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// mostNames bounds how many routes, and how many upstreams, have series of
// their own; what comes later is counted under otherName.
const (
	mostNames = 1000
	otherName = "(other)"
)

// Metrics counts exchanges and reloads in a registry of its own.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	attempts  *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	cut       *prometheus.CounterVec

	problems *prometheus.GaugeVec
	exposed  prometheus.Gauge
	unbound  prometheus.Gauge
	reloads  *prometheus.CounterVec
	lastLoad *prometheus.GaugeVec
	loadTime prometheus.Observer

	routes, upstreams names
	received, sent    prometheus.Counter
}

var _ dataplane.Recorder = (*Metrics)(nil)

// NewMetrics returns Metrics in which nothing was counted yet, with Go's and
// the process's own.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.requests = counters("requests_total", "Requests, by what became of them.", "listener", "route", "verdict", "class")
	m.duration = histograms("request_duration_seconds", "Time from a request's head to its answer's end.", "listener", "verdict")
	m.firstByte = histograms("upstream_first_byte_seconds", "Time from a request's head to the head of the upstream's answer.", "listener")
	m.attempts = counters("upstream_attempts_total", "Attempts to get an answer from an upstream; class is that of the last one's status, or none.", "upstream", "class")
	m.bytes = counters("body_bytes_total", "Bytes of bodies received from clients and sent to them.", "direction")
	m.cut = counters("answers_cut_total", "Answers that were broken off.", "listener")
	m.problems = gauges("config_problems", "Problems in the resources that are served, by severity.", "severity")
	m.reloads = counters("config_reloads_total", "Changes of resources that were taken up.", "result")
	m.lastLoad = gauges("config_last_reload_timestamp_seconds", "When resources were last taken up, by result.", "result")
	m.exposed = gauge("routes_exposed", "Routes that carry a provider credential and ask nobody who they are.")
	m.unbound = gauge("policies_unbound", "Policies that are not in force where they should be: a target is not there, or others come first.")
	loadTime := histograms("config_reload_seconds", "How long it took to take a change up, until it was served.")
	m.loadTime = loadTime.WithLabelValues()
	m.registry.MustRegister(
		m.requests, m.duration, m.firstByte, m.attempts, m.bytes, m.cut,
		m.problems, m.reloads, m.lastLoad, m.exposed, m.unbound, loadTime,
	)
	m.received, m.sent = m.bytes.WithLabelValues("received"), m.bytes.WithLabelValues("sent")
	return m
}

// Handler serves the metrics in the formats that Prometheus reads.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Record counts an exchange.
func (m *Metrics) Record(r *dataplane.Record) {
	verdict, seconds := string(r.Verdict), r.Duration.Seconds()
	m.requests.WithLabelValues(r.Listener, m.routes.bounded(r.Route), verdict, class(r.Status)).Inc()
	m.duration.WithLabelValues(r.Listener, verdict).Observe(seconds)
	if r.FirstByte > 0 {
		m.firstByte.WithLabelValues(r.Listener).Observe(r.FirstByte.Seconds())
	}
	if r.Attempts > 0 {
		m.attempts.WithLabelValues(m.upstreams.bounded(r.Upstream), class(r.UpstreamStatus)).Add(float64(r.Attempts))
	}
	if r.BytesIn > 0 {
		m.received.Add(float64(r.BytesIn))
	}
	if r.BytesOut > 0 {
		m.sent.Add(float64(r.BytesOut))
	}
	if r.Cut != "" {
		m.cut.WithLabelValues(r.Listener).Inc()
	}
}

// class returns "2xx" for 200; "none" where there is no status.
func class(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return "none"
}

// Load is a change of resources that was taken up, or could not be.
type Load struct {
	OK   bool
	At   time.Time
	Took time.Duration
	// Errors and Warnings are problems; Exposed, routes that carry a provider
	// credential and ask nobody; Unbound, policies without a target. They are
	// of what is served now, and looked at only if OK.
	Errors, Warnings, Exposed, Unbound int
}

// Loaded counts a change of resources.
func (m *Metrics) Loaded(l Load) {
	result := "failed"
	if l.OK {
		result = "ok"
		m.problems.WithLabelValues("error").Set(float64(l.Errors))
		m.problems.WithLabelValues("warning").Set(float64(l.Warnings))
		m.exposed.Set(float64(l.Exposed))
		m.unbound.Set(float64(l.Unbound))
		m.loadTime.Observe(l.Took.Seconds())
	}
	m.reloads.WithLabelValues(result).Inc()
	m.lastLoad.WithLabelValues(result).Set(float64(l.At.UnixMilli()) / 1000)
}

// Retain forgets the series of routes and upstreams that are no longer served,
// given what tells those that are by their names.
func (m *Metrics) Retain(routes, upstreams func(name string) bool) {
	for _, gone := range m.routes.retain(routes) {
		m.requests.DeletePartialMatch(prometheus.Labels{"route": gone})
	}
	for _, gone := range m.upstreams.retain(upstreams) {
		m.attempts.DeletePartialMatch(prometheus.Labels{"upstream": gone})
	}
}

// names bounds the values of a label.
type names struct {
	mu    sync.RWMutex
	known map[string]bool
}

func (n *names) bounded(name string) string {
	n.mu.RLock()
	known := n.known[name]
	n.mu.RUnlock()
	if known || name == "" {
		return name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= mostNames {
		return otherName
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[name] = true
	return name
}

func (n *names) retain(served func(name string) bool) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var gone []string
	for name := range n.known {
		if !served(name) {
			gone = append(gone, name)
			delete(n.known, name)
		}
	}
	return gone
}

const namespace = "postern"

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

// histograms reaches from a cached answer to a long completion.
func histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, labels)
}
