package filter

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// keyedSet asks for alice's API key; her Secret holds a provider's key too.
func keyedSet(t *testing.T) dataplane.Stage {
	t.Helper()
	ref := func(key string) secret.Ref {
		return secret.Ref{Kind: "Secret", Namespace: "ns", Name: "alice", Key: key}
	}
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{
		ref("api-key"): secret.NewValue([]byte("alices")), ref("provider"): secret.NewValue([]byte(marker)),
	})
	s, err := authn.NewSet(&ir.AuthSet{Methods: []ir.AuthMethod{{Name: "keys", APIKey: &ir.APIKey{
		Headers: []string{"api-key"}, UserHeader: "x-user-id", FromMetadata: []ir.MetadataHeader{{Header: "x-provider", Key: "provider"}},
		Entries: ir.EntriesOf(ir.APIKeyEntry{Namespace: "ns", Name: "alice", Key: ref("api-key"), Metadata: []secret.Ref{ref("provider")}}),
	}}}}, authn.Deps{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return NewAuthenticateSet(s, []string{"X-User-Id"}, "gloo/extauth", policyOrigin)
}

func TestAuthenticateSetAccepts(t *testing.T) {
	g := serve(t, ir.PathMatch{}, keyedSet(t))
	h := upstream(t, g.do(t, "GET /", "api-key: alices", "x-user-id: root", "x-provider: forged")).Header
	if !slices.Equal(h["X-User-Id"], []string{"alice"}) || !slices.Equal(h["X-Provider"], []string{marker}) || h.Get("Api-Key") != "" {
		t.Errorf("%v", h)
	}
	r := g.last()
	if r.Identity.Subject != "alice" || r.Identity.Namespace != "ns" || !slices.Equal(r.Passed, []string{"gloo/extauth VirtualHostOption gloo-system/auth: keys"}) {
		t.Errorf("%+v", r)
	}
	if strings.Contains(fmt.Sprintf("%+v", r), marker) {
		t.Error("the record holds the secret header")
	}
}

// A header made of a secret header is an injected credential, and what it was
// made of does not travel. An answer cannot be made of it.
func TestHeadersMadeOfSecretHeaders(t *testing.T) {
	edit := must(t)(NewHeaders(&ir.HeaderEdit{
		Request:  ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "authorization", Format: "Bearer %REQ(x-provider)%"}}},
		Response: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "x-shown", Format: "%REQ(x-provider)%"}}},
	}, secret.NewStore(), ir.Origin{}))
	res := serve(t, ir.PathMatch{}, keyedSet(t), edit).do(t, "GET /", "api-key: alices", "authorization: Bearer client")
	if got := res.Header.Get("X-Shown"); got != "" {
		t.Errorf("the answer shows %q", got)
	}
	h := upstream(t, res).Header
	if !slices.Equal(h["Authorization"], []string{"Bearer " + marker}) || h.Get("X-Provider") != "" {
		t.Errorf("%v", h)
	}
	removed := must(t)(NewHeaders(&ir.HeaderEdit{Request: ir.HeaderChanges{Remove: []string{"x-provider"}}}, secret.NewStore(), ir.Origin{}))
	if h := upstream(t, serve(t, ir.PathMatch{}, keyedSet(t), removed).do(t, "GET /", "api-key: alices")).Header; h.Get("X-Provider") != "" {
		t.Errorf("removed, it travels: %v", h)
	}
}

// Stages between see the header's name at most.
func TestSecurityRow08StagesSeeNoSecretHeader(t *testing.T) {
	var seen string
	look := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		seen = fmt.Sprintf("%+v %+v %v", e.Header, e.Outbound, e.Record)
		return nil
	})
	serve(t, ir.PathMatch{}, keyedSet(t), look).do(t, "GET /", "api-key: alices")
	if seen == "" || strings.Contains(seen, marker) {
		t.Errorf("seen: %s", seen)
	}
}

func TestAuthenticateSetRefuses(t *testing.T) {
	g := serve(t, ir.PathMatch{}, keyedSet(t))
	for _, header := range []string{"x: y", "api-key: wrong"} {
		res := g.do(t, "GET /", header)
		if body := bodyOf(t, res); res.StatusCode != http.StatusUnauthorized || body != "" || res.Header.Get("WWW-Authenticate") != "API key is missing or invalid" || res.Header.Get("Content-Type") != "" {
			t.Errorf("%q: %d %v %q", header, res.StatusCode, res.Header, body)
		}
		if r := g.last(); r.Verdict != dataplane.Denied || r.Policy != "gloo/extauth" || r.Origin != policyOrigin || r.Cause == "" {
			t.Errorf("%+v", r)
		}
	}
}
