package compile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// sharedSet is a set of authentication methods that all routes with the same
// configuration share, and what is kept for it.
type sharedSet struct {
	*authn.Set
	session *keep.Session
}

// Close ends what the methods have under way, and lets go of what is kept.
func (s *sharedSet) Close() {
	s.Set.Close()
	s.session.Release()
}

// authSet compiles a set of authentication methods.
func (rb *routeBuilder) authSet(s ir.Step) (dataplane.Stage, error) {
	var used []*ir.Upstream
	for _, name := range s.AuthSet.Upstreams() {
		used = append(used, lasting(rb.config.Upstreams[name]))
	}
	key := rb.keys[s.AuthSet]
	if key == "" {
		key = keep.Key("authset", []any{withoutEntries(s.AuthSet), entriesDigest(s.AuthSet), used})
		rb.keys[s.AuthSet] = key
	}
	a, err := keep.Get(rb.b.session, key, func() (*sharedSet, error) { return rb.newSet(s.AuthSet) })
	if err != nil {
		return nil, err
	}
	rb.sanitize = append(append(rb.sanitize, a.SanitizeHeaders()...), userHeaders(s.AuthSet)...)
	rb.inputs = append(rb.inputs, a.InputHeaders()...)
	return filter.NewAuthenticateSet(a.Set, userHeaders(s.AuthSet), s.Slot, s.Origin), nil
}

// withoutEntries returns the set without its API keys' Secrets.
func withoutEntries(cfg *ir.AuthSet) *ir.AuthSet {
	out := *cfg
	out.Methods = slices.Clone(cfg.Methods)
	for i := range out.Methods {
		if m := &out.Methods[i]; m.APIKey != nil {
			bare := *m.APIKey
			bare.Entries = nil
			m.APIKey = &bare
		}
	}
	return &out
}

// entriesDigest hashes the API keys' Secrets. There may be 100,000 of them, of
// which each group is hashed once.
func entriesDigest(cfg *ir.AuthSet) []byte {
	h := sha256.New()
	for i := range cfg.Methods {
		k := cfg.Methods[i].APIKey
		if k == nil {
			continue
		}
		_ = binary.Write(h, binary.LittleEndian, int64(len(k.Entries)))
		for _, g := range k.Entries {
			sum := g.Sum()
			h.Write(sum[:])
		}
	}
	return h.Sum(nil)
}

// userHeaders are the headers that name the caller to the upstream.
func userHeaders(cfg *ir.AuthSet) []string {
	var out []string
	for _, m := range cfg.Methods {
		name := ""
		switch {
		case m.APIKey != nil:
			name = m.APIKey.UserHeader
		case m.Basic != nil:
			name = m.Basic.UserHeader
		case m.Token != nil:
			name = m.Token.UserHeader
		case m.External != nil:
			name = m.External.UserHeader
		case m.Verified != nil:
			name = m.Verified.UserHeader
		}
		if name != "" {
			out = append(out, http.CanonicalHeaderKey(name))
		}
	}
	return out
}

func (r *run) newSet(cfg *ir.AuthSet) (*sharedSet, error) {
	session := r.deps.Keep.Begin()
	var keyErr error
	set, err := authn.NewSet(cfg, authn.Deps{
		Store: r.deps.Store, Clock: r.deps.Clock, Cache: r.deps.Tokens, Client: r.deps.KeyClient, Answer: r.deps.Answer,
		Keys: func(remote ir.RemoteKeys) *authn.RemoteKeys {
			keys, err := r.remoteKeys(session, remote)
			if err != nil {
				keyErr = err
				return authn.FixedKeys(nil)
			}
			return keys
		},
		KeyRing: func(k *ir.APIKey) *authn.KeyRing {
			key := keep.Key("keyring", []any{k.Digest, k.FromMetadata})
			ring, _ := keep.Get(session, key, func() (*authn.KeyRing, error) { return authn.NewKeyRing(k, r.deps.Store), nil })
			return ring
		},
		External: func(e *ir.ExternalAuth) (authn.Dial, error) { return r.external(session, e) },
	})
	if err = errors.Join(err, keyErr); err != nil {
		if set != nil {
			set.Close()
		}
		session.Release()
		return nil, err
	}
	return &sharedSet{set, session}, nil
}

// external returns the way to the server of an external check: an upstream of
// the configuration, or one made of its address. Where resources are looked at
// and not served, there is none.
func (r *run) external(session *keep.Session, e *ir.ExternalAuth) (authn.Dial, error) {
	u, name, err := &ir.Upstream{}, "", error(nil)
	if e.GRPC != nil {
		name = e.GRPC.Upstream
		u, err = addressed(e.GRPC.Address, e.GRPC.TLS)
	} else {
		name = e.HTTP.Upstream
		u, err = located(e.HTTP.URL)
	}
	if name != "" {
		if u = r.config.Upstreams[name]; u == nil || u.Closed != nil {
			return nil, fmt.Errorf("upstream %s cannot be used", name)
		}
	} else if err != nil {
		return nil, err
	}
	if r.deps.KeyClient == nil {
		return nil, nil
	}
	pool, err := r.pool(session, u)
	if err != nil {
		return nil, err
	}
	return pool.Dial, nil
}

// addressed makes an upstream of host:port.
func addressed(address string, secure bool) (*ir.Upstream, error) {
	host, port, err := net.SplitHostPort(address)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || host == "" || number == 0 {
		return nil, fmt.Errorf("%q is not host:port", address)
	}
	u := &ir.Upstream{Name: "external check " + address, Endpoints: []ir.Endpoint{{Host: host, Port: int(number)}}}
	if secure {
		u.TLS = &ir.ClientTLS{SNI: host}
	}
	return u, nil
}

// located makes an upstream of a URL.
func located(raw string) (*ir.Upstream, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("not a URL of a server")
	}
	secure, port := u.Scheme == "https", u.Port()
	switch {
	case port == "" && secure:
		port = "443"
	case port == "":
		port = "80"
	}
	return addressed(net.JoinHostPort(u.Hostname(), port), secure)
}
