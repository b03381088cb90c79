package identity

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

const gatewayID = "spiffe://cluster.local/ns/istio-system/sa/egress"

func newCA(t *testing.T) *simulate.CA {
	t.Helper()
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// document is a workload certificate of a CA.
func document(t *testing.T, ca *simulate.CA, w simulate.Workload) Document {
	t.Helper()
	cert, err := ca.IssueWorkload(w)
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := simulate.EncodePair(cert)
	if err != nil {
		t.Fatal(err)
	}
	return Document{Chain: chain, Key: secret.NewValue(key), Roots: ca.PEM()}
}

// log is where a test's Holder logs.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// given is a Source that hands over what a test says.
type given struct{}

func (given) Run(ctx context.Context, _ func(Document, error)) { <-ctx.Done() }
func (given) String() string                                   { return "given" }

func newHolder(src Source, now *time.Time) (*Holder, *secret.Store, *logText) {
	store, text := secret.NewStore(), &logText{}
	clock := time.Now
	if now != nil {
		clock = func() time.Time { return *now }
	}
	return NewHolder(src, Deps{Store: store, Clock: clock, Log: slog.New(slog.NewTextHandler(text, nil))}), store, text
}

// held returns the bytes of a part that is in the store.
func held(store *secret.Store, part string) string {
	d := secret.Derive(store, []secret.Ref{ir.IdentityRef(part)}, func(v []secret.Value) (string, error) { return string(v[0].Reveal()), nil })
	text, _ := d.Get()
	return text
}

func TestHolderKeepsTheLastGood(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	good := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
	next := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
	now := time.Now()
	for _, tc := range []struct {
		name string
		doc  Document
		err  error
		want string // of the error; empty: it is taken
	}{
		{"the next", next, nil, ""},
		{"a source that fails", Document{}, errors.New("agent away"), "agent away"},
		{"an empty chain", Document{Key: next.Key, Roots: next.Roots}, nil, "the certificate chain holds no certificate"},
		{"a chain cut short", Document{Chain: next.Chain[:len(next.Chain)/2], Key: next.Key, Roots: next.Roots}, nil, "the certificate chain holds no certificate"},
		{"the key of another", Document{Chain: next.Chain, Key: good.Key, Roots: next.Roots}, nil, "do not belong together"},
		{"no key", Document{Chain: next.Chain, Roots: next.Roots}, nil, "do not belong together"},
		{"no roots", Document{Chain: next.Chain, Key: next.Key}, nil, "the trust bundle holds no certificate"},
		{"the roots of another", Document{Chain: next.Chain, Key: next.Key, Roots: other.PEM()}, nil, "does not vouch"},
		{"expired", document(t, ca, simulate.Workload{URIs: []string{gatewayID}, NotAfter: now.Add(-time.Minute)}), nil, "has expired"},
		{"no identity", document(t, ca, simulate.Workload{DNSNames: []string{"gw"}}), nil, "no URI SAN"},
		{"two identities", document(t, ca, simulate.Workload{URIs: []string{gatewayID, gatewayID + "2"}}), nil, "more than one URI SAN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, store, log := newHolder(given{}, nil)
			changes := 0
			h.OnChange(func() { changes++ })
			h.take(good, nil)
			h.take(tc.doc, tc.err)
			want := good
			if tc.want == "" {
				want = next
			}
			if held(store, ir.IdentityChain) != string(want.Chain) || held(store, ir.IdentityKey) != string(want.Key.Reveal()) || held(store, ir.IdentityRoots) != string(want.Roots) {
				t.Error("another certificate is in use")
			}
			s := h.Status()
			if (s.Err == nil) != (tc.want == "") || s.Err != nil && !strings.Contains(s.Err.Error(), tc.want) {
				t.Errorf("error %v, want %q", s.Err, tc.want)
			}
			if h.Check() != nil || s.ID != gatewayID {
				t.Errorf("the good one is lost: %v, %+v", h.Check(), s)
			}
			if p := h.Problems(); len(p) == 0 != (tc.want == "") {
				t.Errorf("problems %v", p)
			}
			if changes != 2 || strings.Contains(log.String(), "PRIVATE") {
				t.Errorf("%d changes; log %s", changes, log)
			}
			h.take(good, nil)
			if h.Status().Err != nil || len(h.Problems()) > 0 {
				t.Errorf("the problem stays after it was mended: %v", h.Problems())
			}
		})
	}
}

func TestHolderWithoutACertificate(t *testing.T) {
	now := time.Now().Truncate(time.Second) // as certificates have it
	h, store, _ := newHolder(given{}, &now)
	if h.Check() == nil || len(h.Problems()) == 0 || store.Len() != 0 {
		t.Errorf("%v %v", h.Check(), h.Problems())
	}
	h.take(Document{}, errors.New("the socket is not there"))
	select {
	case <-h.First():
	default:
		t.Error("a failure is no first answer")
	}
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "the socket is not there") {
		t.Errorf("%v", err)
	}
	h.take(document(t, newCA(t), simulate.Workload{URIs: []string{gatewayID}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}), nil)
	if h.Check() != nil || len(h.Problems()) > 0 {
		t.Errorf("%v %v", h.Check(), h.Problems())
	}
	now = now.Add(55 * time.Minute)
	if p := h.Problems(); len(p) != 1 || !strings.Contains(p[0].What, "expires in 5m0s") {
		t.Errorf("shortly before it expires: %v", p)
	}
	now = now.Add(6 * time.Minute)
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("after it has: %v", err)
	}
}
