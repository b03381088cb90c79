package compile

import (
	"cmp"
	"crypto/tls"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// check asks again whether something made of secret bytes can be used.
// Exactly one of the functions is set. The bytes are at fault, but where a
// credential is fetched.
type check struct {
	origin   ir.Origin
	err      func() error
	problems func() []status.Problem
	made     any // the problems are of this, whoever asks
	// fetched tells how a credential is that is fetched.
	fetched func() (credential.Status, bool)
}

// checks are those of everything that was compiled last, by who asks.
type checks struct {
	none  bool // nobody will look at them
	bytes map[any][]check
	fresh map[any]bool // of bytes, those that were not asked yet
	asked uint64       // version of the Store when all were

	mu          sync.Mutex
	credentials map[any][]check
}

// put makes list the checks of someone, in place of those before.
func (c *checks) put(who any, list []check) {
	if c.none {
		return
	}
	if c.bytes == nil {
		c.bytes, c.fresh = map[any][]check{}, map[any]bool{}
	}
	var bytes, credentials []check
	for _, ch := range list {
		if ch.fetched != nil {
			credentials = append(credentials, ch)
		} else {
			bytes = append(bytes, ch)
		}
	}
	if delete(c.bytes, who); len(bytes) > 0 {
		c.bytes[who] = bytes
	}
	c.fresh[who] = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.credentials == nil {
		c.credentials = map[any][]check{}
	}
	if delete(c.credentials, who); len(credentials) > 0 {
		c.credentials[who] = credentials
	}
}

// clear forgets all.
func (c *checks) clear() {
	c.bytes, c.fresh, c.asked = nil, nil, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credentials = nil
}

func (c *checks) ofCredentials() []check {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []check
	for _, list := range c.credentials {
		out = append(out, list...)
	}
	return out
}

// bytesKey is what is told of the bytes that someone needs.
type bytesKey struct{ who any }

// LookAtSecrets asks which secrets' bytes cannot be used now, and tells the
// Ledger. The answer changes with the bytes, not with the snapshot: all are
// asked when some have changed, and otherwise what is new. It is for the
// goroutine that compiles.
func (c *Compiled) LookAtSecrets() {
	all := &c.compiler.checks
	version := c.compiler.deps.Store.Version()
	if version != all.asked {
		for who := range all.bytes {
			all.fresh[who] = true
		}
	}
	known := map[any][]status.Problem{}
	for who := range all.fresh {
		var told status.Report
		for _, ch := range all.bytes[who] {
			told.Add(ch.ask(known)...)
		}
		c.compiler.Ledger.Put(status.PassCompile, bytesKey{who}, told)
	}
	clear(all.fresh)
	all.asked = version
}

// SecretProblems tells which secrets' bytes cannot be used now.
func (c *Compiled) SecretProblems() []status.Problem {
	var out status.Report
	known := map[any][]status.Problem{}
	for _, list := range c.compiler.checks.bytes {
		for _, ch := range list {
			out.Add(ch.ask(known)...)
		}
	}
	out.Sort()
	return out.Problems
}

// ask returns what is wrong with bytes. Of things that are made once for many
// it is known when it was asked before.
func (ch *check) ask(known map[any][]status.Problem) []status.Problem {
	if ch.problems != nil {
		if _, ok := known[ch.made]; !ok {
			known[ch.made] = ch.problems()
		}
		return known[ch.made]
	}
	if err := ch.err(); err != nil {
		return []status.Problem{status.Errorf(ch.origin, "%v; requests for it are refused", err).Fix("correct the secret")}
	}
	return nil
}

// CredentialProblems tells which credentials cannot be fetched now. The answer
// changes with time.
func (c *Compiled) CredentialProblems() []status.Problem {
	var out []status.Problem
	for _, ch := range c.compiler.checks.ofCredentials() {
		s, ok := ch.fetched()
		switch {
		case !ok || s.Error == "":
		case s.Valid:
			out = append(out, status.Warningf(ch.origin, "%s: renewing it fails, and the present one ends at %s: %s", s.Name, s.Expires.UTC().Format(time.RFC3339), s.Error).
				Fix("correct what is named, or make the server reachable").Alerting(status.CredentialNotRenewed))
		default:
			out = append(out, status.Errorf(ch.origin, "%s: it cannot be fetched: %s; requests that need it get 503", s.Name, s.Error).
				Fix("correct what is named, or make the server reachable").Alerting(status.CredentialUnavailable))
		}
	}
	return out
}

// KeyPairFaults tells of each pair why its bytes cannot be used now; nil: they
// can. Pairs of the call before are read again only where bytes have changed.
// It is for the goroutine that compiles.
func (c *Compiled) KeyPairFaults(pairs []*ir.KeyPair) []error {
	out := make([]error, len(pairs))
	next := make(map[ir.KeyPair]*secret.Derived[tls.Certificate], len(pairs))
	for i, p := range pairs {
		d := c.compiler.pairs[*p]
		if d == nil {
			d = derivePair(c.compiler.deps.Store, p)
		}
		next[*p] = d
		_, out[i] = d.Get()
	}
	c.compiler.pairs = next
	return out
}

// CertificateFault is a listener with a certificate that cannot be used.
type CertificateFault struct {
	Listener, Reason string
	// Partly says that it has others that can.
	Partly bool
}

// CertificateFaults tells which listeners' certificates cannot be used now. The
// answer changes with the bytes, not with the snapshot.
func (c *Compiled) CertificateFaults() []CertificateFault {
	var out []CertificateFault
	for key, l := range c.compiler.listeners {
		fault := CertificateFault{Listener: key.name}
		for _, p := range l.pairs {
			if _, err := p.Get(); err != nil {
				fault.Reason = err.Error()
			} else {
				fault.Partly = true
			}
		}
		if fault.Reason != "" {
			out = append(out, fault)
		}
	}
	slices.SortFunc(out, func(a, b CertificateFault) int { return cmp.Compare(a.Listener, b.Listener) })
	return out
}
