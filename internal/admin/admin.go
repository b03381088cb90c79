// Package admin is the gateway's read API and its page for people: what is
// served, who is asked for what, and what is wrong with the resources. It can
// look and not touch.
//
//	/livez /readyz /metrics   for probes and scrapes
//	/status                   the report, as JSON
//	/config                   what the resources were made into, as JSON, without secrets
//	/                         the same for people
//
// It has a listener of its own, on loopback unless configured otherwise, and
// takes requests only under a Host that no web page can have chosen.
package admin

import (
	"encoding/json"
	"net/http"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// Deps is what the API tells about. Every function must be set and may be
// called at any time.
type Deps struct {
	// Ready returns nil when the gateway serves, and otherwise why not.
	Ready func() error
	// Report returns what became of the user's resources.
	Report func() status.Report
	// Config returns what is served. It is not changed.
	Config  func() *ir.Config
	Metrics http.Handler
	// Credentials tells how the credentials are that are fetched; nil: there
	// are none.
	Credentials func() []credential.Status
	// Version of the program, for the page.
	Version string
}

// New returns the whole API.
func New(d Deps) http.Handler {
	mux := http.NewServeMux()
	probes(mux, d, true)
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, statusOf(d)) })
	mux.HandleFunc("/config", func(w http.ResponseWriter, _ *http.Request) {
		text, err := Redacted(d.Config())
		if err != nil {
			http.Error(w, "the configuration cannot be shown", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	})
	mux.Handle("/{$}", page(d))
	return hardened(local(readOnly(mux)))
}

// fullStatus is what /status shows.
type fullStatus struct {
	status.Report
	Credentials []credential.Status `json:"credentials,omitempty"`
}

func statusOf(d Deps) fullStatus {
	s := fullStatus{Report: d.Report()}
	if d.Credentials != nil {
		s.Credentials = d.Credentials()
	}
	return s
}

// NewHealth returns the part for probes and scrapes from elsewhere: nothing
// that tells about the configuration beyond its metrics.
func NewHealth(d Deps) http.Handler {
	mux := http.NewServeMux()
	probes(mux, d, false)
	return hardened(readOnly(mux))
}

func probes(mux *http.ServeMux, d Deps, detail bool) {
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch err := d.Ready(); {
		case err == nil:
			writeText(w, http.StatusOK, "ok")
		case detail:
			writeText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		default:
			writeText(w, http.StatusServiceUnavailable, "not ready")
		}
	})
	mux.Handle("/metrics", d.Metrics)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

func writeJSON(w http.ResponseWriter, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}
