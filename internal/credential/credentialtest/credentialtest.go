// Package credentialtest is what every credential.Injector must pass: one
// suite, so that a new member's own test is a few lines and its peculiarities.
package credentialtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/secret"
)

// Marker is in every good secret of the suite, and may be nowhere but in what
// is injected.
const Marker = "MARKERx7Qz"

// Member is one kind of Injector under test.
type Member struct {
	// New returns the Injector over store.
	New func(store *secret.Store) (credential.Injector, error)
	// Refs are the secrets that it needs.
	Refs []secret.Ref
	// Header is the one that proves the caller to the provider.
	Header string
	// Value returns good bytes of a version for a secret that has a form of its
	// own, with Marker in them; nil: any word will do.
	Value func(ref secret.Ref, version string) []byte
}

// Run runs the suite.
func Run(t *testing.T, m Member) {
	t.Run("injects exactly one value", m.one)
	t.Run("drops the caller's other credentials", m.drops)
	t.Run("keeps what the gateway has set", m.keeps)
	t.Run("names what it writes", m.names)
	t.Run("a missing secret closes", m.missing)
	t.Run("a broken secret closes", m.broken)
	t.Run("changed bytes are used at once", m.changed)
	t.Run("is safe for many goroutines", m.parallel)
}

func (m Member) start(t *testing.T) (*secret.Store, credential.Injector) {
	t.Helper()
	store := secret.NewStore()
	store.Put(m.values("one"))
	inj, err := m.New(store)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := inj.(interface{ Close() }); ok {
		t.Cleanup(c.Close)
	}
	return store, inj
}

// values returns good bytes for every secret.
func (m Member) values(version string) map[secret.Ref]secret.Value {
	out := map[secret.Ref]secret.Value{}
	for i, ref := range m.Refs {
		if m.Value != nil {
			out[ref] = secret.NewValue(m.Value(ref, version))
			continue
		}
		out[ref] = secret.NewValue(fmt.Appendf(nil, "%s%d%s\n", Marker, i, version))
	}
	return out
}

// Outbound returns an attempt whose caller has sent a credential in every
// header that is known for one, and twice in name.
func Outbound(name string) *credential.Outbound {
	o := &credential.Outbound{
		Method: "POST", Scheme: "https", Host: "provider.example",
		URL:    &url.URL{Path: "/v1/chat", RawQuery: "b=2&a=1"},
		Header: http.Header{"Content-Type": {"application/json"}, "X-Other": {"stays"}},
		Body:   []byte(`{"model":"m"}`),
		Caller: http.Header{},
	}
	for _, n := range credential.WellKnown() {
		o.Header[n] = []string{"callers"}
	}
	o.Header[http.CanonicalHeaderKey(name)] = []string{"callers", "callers too"}
	return o
}

func (m Member) inject(t *testing.T, inj credential.Injector) *credential.Outbound {
	t.Helper()
	o := Outbound(m.Header)
	if err := inj.Inject(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func (m Member) one(t *testing.T) {
	_, inj := m.start(t)
	o := m.inject(t, inj)
	got := o.Header[http.CanonicalHeaderKey(m.Header)]
	if len(got) != 1 || strings.Contains(got[0], "callers") || got[0] == "" {
		t.Errorf("%s has %d values, want one of the gateway's", m.Header, len(got))
	}
	if o.Header.Get("X-Other") != "stays" || o.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers that are no credentials are changed: %v", o.Header)
	}
}

func (m Member) drops(t *testing.T) {
	_, inj := m.start(t)
	o := m.inject(t, inj)
	for name, values := range o.Header {
		for _, v := range values {
			if strings.Contains(v, "callers") {
				t.Errorf("%s still holds the caller's", name)
			}
		}
	}
}

func (m Member) keeps(t *testing.T) {
	_, inj := m.start(t)
	o := Outbound(m.Header)
	kept := slices.DeleteFunc(credential.WellKnown(), func(n string) bool { return slices.Contains(inj.Headers(), n) })
	o.Keep = []string{strings.ToLower(kept[0])}
	if err := inj.Inject(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if o.Header.Get(kept[0]) == "" {
		t.Errorf("%s is dropped, though it is to be kept", kept[0])
	}
}

func (m Member) names(t *testing.T) {
	_, inj := m.start(t)
	if !slices.Contains(inj.Headers(), http.CanonicalHeaderKey(m.Header)) {
		t.Errorf("Headers is %v, without %s", inj.Headers(), m.Header)
	}
	sent := m.inject(t, inj).Header
	answer := http.Header{"X-Echo": {"you sent: " + sent.Get(m.Header)}, "Server": {"x"}}
	if got := credential.Repeats(inj.Headers(), sent, answer); !slices.Equal(got, []string{"X-Echo"}) {
		t.Errorf("Repeats finds %v in an answer that repeats the credential", got)
	}
}

// closed checks that inj fails and says which secret is at fault, and no more.
func (m Member) closed(t *testing.T, inj credential.Injector, ref secret.Ref) error {
	t.Helper()
	err := inj.Inject(context.Background(), Outbound(m.Header))
	if err == nil {
		t.Fatal("Inject goes through")
	}
	if !strings.Contains(err.Error(), ref.String()) {
		t.Errorf("the error does not name %v: %v", ref, err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
		if strings.Contains(text, Marker) {
			t.Error("the error holds the secret")
		}
	}
	if c, ok := inj.(credential.Checker); ok && c.Check() == nil {
		t.Error("Check finds nothing wrong")
	}
	return err
}

func (m Member) missing(t *testing.T) {
	for _, ref := range m.Refs {
		store, inj := m.start(t)
		store.Drop([]secret.Ref{ref})
		if err := m.closed(t, inj, ref); !errors.Is(err, secret.ErrMissing) {
			t.Errorf("%v is no ErrMissing", err)
		}
	}
}

func (m Member) broken(t *testing.T) {
	for _, ref := range m.Refs {
		for _, bad := range []string{"", " \n", Marker + "\r\nX-Evil: 1", Marker + "\n" + Marker, Marker + "\x00", Marker + "\x7f", Marker + "é"} {
			store, inj := m.start(t)
			store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte(bad))})
			m.closed(t, inj, ref)
		}
	}
}

func (m Member) changed(t *testing.T) {
	for _, ref := range m.Refs {
		store, inj := m.start(t)
		before := m.inject(t, inj).Header
		store.Put(map[secret.Ref]secret.Value{ref: m.values("two")[ref]})
		after := m.inject(t, inj).Header
		for deadline := time.Now().Add(time.Minute); fetched(inj) && before.Get(m.Header) == after.Get(m.Header) && time.Now().Before(deadline); {
			runtime.Gosched() // the fetch is under way
			after = m.inject(t, inj).Header
		}
		if before.Get(m.Header) == after.Get(m.Header) {
			t.Errorf("%v changed, and %s did not", ref, m.Header)
		}
	}
}

// fetched reports whether inj's credential is fetched, in a goroutine of its
// own.
func fetched(inj credential.Injector) bool {
	s, ok := inj.(credential.Statuser)
	return ok && s.Status().Name != ""
}

func (m Member) parallel(t *testing.T) {
	store, inj := m.start(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := inj.Inject(context.Background(), Outbound(m.Header)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 20 {
		store.Put(m.values(fmt.Sprint(i)))
	}
	wg.Wait()
	if strings.Contains(fmt.Sprintf("%+v %#v", inj, inj), Marker) {
		t.Error("printing the Injector prints the secret")
	}
}
