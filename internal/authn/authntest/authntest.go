// Package authntest is the suite that every authenticator passes, whatever its
// method. A member's own test makes the samples and says what is peculiar.
package authntest

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
)

// MinBad is how many bad credentials a member must bring.
const MinBad = 100

// Sample is a request with a credential.
type Sample struct {
	Name    string
	Request *authn.Request
	// Subject that a good credential proves.
	Subject string
	// Secrets are what no error may repeat: the credential, or the part of it
	// that makes it one.
	Secrets []string
}

// Member is an authenticator under test, which requires a credential.
type Member struct {
	// New returns a fresh one.
	New func(t *testing.T) authn.Authenticator
	// Good samples are accepted, Bad are refused; at least MinBad of these.
	Good, Bad []Sample
	// Sanitize is the constant Result.Sanitize.
	Sanitize []string
	// MissingText is the answer to a request without a credential.
	MissingText string
}

// Run runs the suite.
func Run(t *testing.T, m Member) {
	if len(m.Bad) < MinBad || len(m.Good) == 0 {
		t.Fatalf("%d good and %d bad samples, want at least 1 and %d", len(m.Good), len(m.Bad), MinBad)
	}
	t.Run("good", m.good)
	t.Run("missing", m.missing)
	t.Run("SecurityRow04BadCredentials", m.bad)
	t.Run("together", m.together)
}

func (m Member) good(t *testing.T) {
	a := m.New(t)
	for _, s := range m.Good {
		before := copyOf(s.Request)
		for range 2 { // the second may be answered from memory
			got, err := a.Authenticate(t.Context(), s.Request)
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
				continue
			}
			m.wantGood(t, s, got)
		}
		if !reflect.DeepEqual(before, copyOf(s.Request)) {
			t.Errorf("%s: the request was changed", s.Name)
		}
	}
}

func (m Member) wantGood(t *testing.T, s Sample, got authn.Result) {
	t.Helper()
	if len(got.Identities) == 0 {
		t.Errorf("%s: passes, and proves nobody", s.Name)
	}
	for i := range got.Identities {
		id := &got.Identities[i]
		if !id.Proven() || id.Subject != s.Subject {
			t.Errorf("%s: identity %+v, want a proven %q", s.Name, id, s.Subject)
		}
	}
	if !slices.Equal(got.Sanitize, m.Sanitize) {
		t.Errorf("%s: sanitize %q, want %q", s.Name, got.Sanitize, m.Sanitize)
	}
	for _, h := range got.Set {
		if !h.Append && !slices.Contains(m.Sanitize, h.Name) {
			t.Errorf("%s: sets %q, which is not sanitized", s.Name, h.Name)
		}
	}
}

func (m Member) missing(t *testing.T) {
	a := m.New(t)
	for _, r := range []*authn.Request{{}, {Header: http.Header{}}} {
		got, err := a.Authenticate(t.Context(), r)
		f := wantRefused(t, "no credential", got, err)
		if f != nil && (!f.Missing || f.Status != http.StatusUnauthorized || f.Text != m.MissingText) {
			t.Errorf("no credential: %+v", f)
		}
	}
}

func (m Member) bad(t *testing.T) {
	a := m.New(t)
	for _, s := range m.Bad {
		for range 2 { // what was refused stays refused
			got, err := a.Authenticate(t.Context(), s.Request)
			f := wantRefused(t, s.Name, got, err)
			if f == nil {
				continue
			}
			if f.Status != http.StatusUnauthorized && f.Status != http.StatusForbidden {
				t.Errorf("%s: status %d", s.Name, f.Status)
			}
			for _, secret := range s.Secrets {
				if secret != "" && (strings.Contains(err.Error(), secret) || strings.Contains(f.Text, secret)) {
					t.Errorf("%s: the error repeats the credential: %v", s.Name, err)
				}
			}
		}
	}
}

func wantRefused(t *testing.T, name string, got authn.Result, err error) *authn.Failure {
	t.Helper()
	var f *authn.Failure
	if !errors.As(err, &f) {
		t.Errorf("%s: error %v is no refusal", name, err)
	}
	if !reflect.DeepEqual(got, authn.Result{}) {
		t.Errorf("%s: a refusal comes with a result: %+v", name, got)
	}
	return f
}

// together runs good and bad ones at the same time, so that none is taken for
// another.
func (m Member) together(t *testing.T) {
	a := m.New(t)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				good := m.Good[(worker+i)%len(m.Good)]
				if got, err := a.Authenticate(t.Context(), good.Request); err != nil {
					t.Errorf("%s: %v", good.Name, err)
				} else {
					m.wantGood(t, good, got)
				}
				bad := m.Bad[(worker*31+i)%len(m.Bad)]
				got, err := a.Authenticate(t.Context(), bad.Request)
				wantRefused(t, bad.Name, got, err)
			}
		})
	}
	wg.Wait()
}

func copyOf(r *authn.Request) authn.Request {
	c := authn.Request{Header: r.Header.Clone()}
	if r.Query != nil {
		c.Query = map[string][]string(http.Header(r.Query).Clone())
	}
	return c
}
