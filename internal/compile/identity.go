package compile

import (
	"errors"

	"github.com/postern-gateway/postern/internal/ir"
)

// Identity says whether there is a workload certificate of the gateway's own,
// for what asks for it.
type Identity int

// Whether there is one.
const (
	// IdentityNone: what needs it is refused and reported. The zero value.
	IdentityNone Identity = iota
	// IdentityGiven: a provider puts it into the Store, and what is wrong with
	// it is reported.
	IdentityGiven
	// IdentityAssumed: the resources are looked at and not served; nothing is
	// said of what only a provider could tell.
	IdentityAssumed
)

var errNoIdentity = errors.New("it needs the workload's own certificate, and there is none: run with --identity")

// needsIdentity returns why what asks for the workload certificate cannot be
// built.
func (r *run) needsIdentity() error {
	if r.deps.Identity == IdentityNone {
		return errNoIdentity
	}
	return nil
}

// identityCheck registers a check of secret bytes, which with own are the
// workload certificate's.
func (r *run) identityCheck(own bool, c check) {
	if !own || r.deps.Identity == IdentityGiven {
		*r.asked = append(*r.asked, c)
	}
}

// usesIdentity reports whether an upstream is shown the workload certificate.
func usesIdentity(u *ir.Upstream) bool { return u.TLS != nil && u.TLS.Identity }
