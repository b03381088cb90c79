package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/credential"
)

// Sources are what is asked when somebody looks at the metrics, and costs
// nothing in between. A nil one has no metrics.
type Sources struct {
	// Tokens tells of the cache of verified tokens.
	Tokens func() (hits, misses uint64, entries, bytes int)
	// KeySets tells of the key sets that are fetched.
	KeySets func() []authn.KeyStatus
	// BodyBytes tells how many bytes of request bodies are held.
	BodyBytes func() int64
	// Ejected counts the endpoints that are left out, by upstream.
	Ejected func() map[string]int
	// Credentials tells of those that are fetched.
	Credentials func() []credential.Status
	// Handshakes counts those that were made and those that came to nothing.
	Handshakes func() (made, refused uint64)
	// IdentityEnds tells when the workload certificate in use expires; zero:
	// there is none.
	IdentityEnds func() time.Time
	// LostLines tells how many lines of the access log could not be written.
	LostLines func() uint64
	// Version of the program.
	Version string
}

// Observe makes s part of the metrics. It is called once.
func (m *Metrics) Observe(s Sources) {
	m.registry.MustRegister(&observer{s})
}

type observer struct{ s Sources }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Describe sends nothing: which series there are depends on what is observed.
func (o *observer) Describe(chan<- *prometheus.Desc) {}

// Collect asks the sources.
func (o *observer) Collect(out chan<- prometheus.Metric) {
	count := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(describe(name, help), prometheus.CounterValue, v)
	}
	level := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(describe(name, help), prometheus.GaugeValue, v)
	}
	if o.s.Tokens != nil {
		hits, misses, entries, bytes := o.s.Tokens()
		count("token_cache_hits_total", "Tokens that had been verified before.", float64(hits))
		count("token_cache_misses_total", "Tokens that had to be verified.", float64(misses))
		level("token_cache_entries", "Verified tokens that are remembered.", float64(entries))
		level("token_cache_bytes", "About how much memory they take.", float64(bytes))
	}
	if o.s.BodyBytes != nil {
		level("held_body_bytes", "Bytes of request bodies that are held in memory.", float64(o.s.BodyBytes()))
	}
	if o.s.Handshakes != nil {
		made, refused := o.s.Handshakes()
		desc := describe("handshakes_total", "TLS handshakes of clients.", "result")
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(made), "made")
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(refused), "refused")
	}
	if o.s.IdentityEnds != nil {
		at := 0.0
		if t := o.s.IdentityEnds(); !t.IsZero() {
			at = float64(t.Unix())
		}
		level("identity_expiry_timestamp_seconds", "When the workload certificate in use expires; 0: there is none.", at)
	}
	if o.s.LostLines != nil {
		count("access_log_lost_lines_total", "Lines of the access log that could not be written.", float64(o.s.LostLines()))
	}
	if o.s.Ejected != nil {
		o.ejected(out)
	}
	if o.s.KeySets != nil {
		o.keySets(out)
	}
	if o.s.Credentials != nil {
		o.credentials(out)
	}
	if o.s.Version != "" {
		out <- prometheus.MustNewConstMetric(describe("build_info", "The program that runs.", "version"), prometheus.GaugeValue, 1, o.s.Version)
	}
}

func (o *observer) ejected(out chan<- prometheus.Metric) {
	desc := describe("endpoints_ejected", "Endpoints that are left out because they failed.", "upstream")
	left := mostNames
	for upstream, n := range o.s.Ejected() {
		if left--; left < 0 {
			return
		}
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), upstream)
	}
}

// keySets tells of each URL once; of several fetchers of one, the worst off.
func (o *observer) keySets(out chan<- prometheus.Metric) {
	worst := map[string]authn.KeyStatus{}
	for _, s := range o.s.KeySets() {
		if known, ok := worst[s.URL]; !ok || s.LastSuccess.Before(known.LastSuccess) {
			worst[s.URL] = s
		}
	}
	success := describe("jwks_last_success_timestamp_seconds", "When a key set was last fetched; 0: never.", "url")
	failing := describe("jwks_failing", "1 if the last attempt to fetch a key set failed.", "url")
	keys := describe("jwks_keys", "Keys of a key set that can be used.", "url")
	for url, s := range worst {
		at, bad := 0.0, 0.0
		if !s.LastSuccess.IsZero() {
			at = float64(s.LastSuccess.UnixMilli()) / 1000
		}
		if s.LastError != "" {
			bad = 1
		}
		out <- prometheus.MustNewConstMetric(success, prometheus.GaugeValue, at, url)
		out <- prometheus.MustNewConstMetric(failing, prometheus.GaugeValue, bad, url)
		out <- prometheus.MustNewConstMetric(keys, prometheus.GaugeValue, float64(s.Keys), url)
	}
}

// credentials tells of each name once: of several credentials of one name the
// one that ends first, and what all of them did.
func (o *observer) credentials(out chan<- prometheus.Metric) {
	all := map[string]credential.Status{}
	for _, s := range o.s.Credentials() {
		known, ok := all[s.Name]
		if !ok && len(all) == mostNames {
			continue
		}
		if ok && (known.Expires.Before(s.Expires) || !known.Valid) {
			s.Expires, s.Valid = known.Expires, known.Valid
		}
		s.Refreshes += known.Refreshes
		s.Failures += known.Failures
		all[s.Name] = s
	}
	left := describe("credential_seconds_to_expiry", "How long a provider credential that was fetched is still valid; 0: there is no valid one.", "credential")
	refreshes := describe("credential_refreshes_total", "Times that a provider credential was fetched.", "credential")
	failures := describe("credential_refresh_failures_total", "Times that fetching a provider credential failed.", "credential")
	for name, s := range all {
		seconds := 0.0
		if s.Valid {
			seconds = max(time.Until(s.Expires).Seconds(), 0)
		}
		out <- prometheus.MustNewConstMetric(left, prometheus.GaugeValue, seconds, name)
		out <- prometheus.MustNewConstMetric(refreshes, prometheus.CounterValue, float64(s.Refreshes), name)
		out <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, float64(s.Failures), name)
	}
}
