// Package authz decides whether a proven caller may do what it asks. It owns
// the kinds of rules and how they are evaluated; who calls is found out by
// package authn, and what a refusal looks like is the data plane's business.
//
//	Input{identities, method, path} ──► Rules ──► Decision{allowed, by which rule, why not}
//
// Everything that can be worked out beforehand is, when rules are made ready:
// a decision parses nothing, and to allow it allocates nothing.
package authz

import (
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
