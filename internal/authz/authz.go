// Package authz decides whether a proven caller may do what it asks. It owns
// the kinds of rules and how they are evaluated; who calls is found out by
// package authn, and what a refusal looks like is the data plane's business.
//
//	Input{identities, method, path ...} ──► Rules ─────► Decision{allowed, by which rule, why not}
//	                                    ──► Policies ──► Ruling{allowed, by which policy's rule}
//
// Everything that can be worked out beforehand is, when rules are made ready:
// a decision parses nothing, and to allow it allocates nothing.
package authz

import (
	"net/http"
	"net/netip"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// Input is what rules look at.
type Input struct {
	// Identities that were proven; empty: nobody.
	Identities []authn.Identity
	Method     string
	// Path is the client's, normalized, before any rewrite and without query.
	Path string

	// The rest is for Policies.

	// Scheme is "http" or "https"; RawQuery the query; Authority the host in
	// lower case, with the port if the client wrote one.
	Scheme, RawQuery, Authority string
	// Header has canonical names.
	Header http.Header
	// PeerID is the SPIFFE ID of the verified client certificate, with its
	// scheme; empty: there is none.
	PeerID string
	// PeerAddress is the connection's other end, Client what trusted proxies
	// say of it, Local this end. The zero values equal nothing.
	PeerAddress, Client netip.Addr
	Local               netip.AddrPort
	// ServerName is what the client's TLS asked for.
	ServerName string
}

// Decision is what rules say of an Input. The zero Decision denies.
type Decision struct {
	Allowed bool
	// Rule that allowed, and where it was written.
	Rule   string
	Origin ir.Origin
	// Reason of a denial, for the log. It quotes the configuration, and no
	// value of a claim.
	Reason string
	// Tried are the rules that did not fit, in order, and how they did not.
	Tried []RuleResult
}

// RuleResult is what became of one rule.
type RuleResult struct {
	Rule   string
	Origin ir.Origin
	// Matched is true for the rule that allows, which Explain lists last.
	Matched bool
	// Reason that it did not match.
	Reason string
}
