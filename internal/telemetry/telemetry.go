// Package telemetry tells what the gateway does: one line in the access log
// for each exchange, and metrics. It owns the log's format and how it is
// written, and the names of the metrics; what is recorded, the data plane
// says.
//
//	dataplane.Record ──► Recorders ─┬► AccessLog ──buffer──► writer
//	                                └► Metrics ──► /metrics
//
// The request path pays for encoding a line and counting it, not for writing
// either.
package telemetry

import "github.com/postern-gateway/postern/internal/dataplane"

// Recorders hands each record to several recorders, in turn.
type Recorders []dataplane.Recorder

// Record hands r on.
func (list Recorders) Record(r *dataplane.Record) {
	for _, each := range list {
		each.Record(r)
	}
}
