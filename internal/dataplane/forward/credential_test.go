package forward

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// An upstream whose credential cannot be fetched is asked for nothing: its
// requests get 503, or go to the next tier if there is one. Its health does
// not suffer: nothing was sent.
func TestCredentialThatIsUnavailable(t *testing.T) {
	asked := 0
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Own-Key") != "" {
			t.Error("the next tier sees a credential that is not for it")
		}
	})
	store, _ := keys("a", "b")
	first := upstream(t, Deps{Store: store}, func(u *ir.Upstream) {
		u.Name = "first"
		u.Credential = &ir.Credential{
			Token:    &ir.TokenCredential{Source: ir.TokenSource{Client: &ir.OAuthClient{TokenURL: "https://idp.example.com/t", ClientID: "c"}}},
			Override: &ir.CredentialOverride{Header: "x-own-key"},
		}
	}, addr)
	second := upstream(t, Deps{}, func(u *ir.Upstream) { u.Name = "second" }, addr)

	g := newGate(t, stageTo(t, first, Settings{}, Deps{}))
	if resp, text := g.get("/"); resp.StatusCode != 503 || !strings.Contains(text, "no valid credential") || strings.Contains(text, "idp") || asked != 0 {
		t.Errorf("alone: %d %q, asked %d times", resp.StatusCode, text, asked)
	}
	r := g.last(1)
	if !strings.Contains(r.Cause, "oauth client c at https://idp.example.com/t: no valid credential") {
		t.Errorf("the record says %q", r.Cause)
	}
	for range 20 {
		g.get("/")
	}
	for _, e := range first.Health() {
		if !e.Healthy {
			t.Error("the endpoint is blamed")
		}
	}

	st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{first}, {second}}}}, Settings{}, Deps{})
	must(t, err)
	g = newGate(t, st)
	if resp, text := g.get("/"); resp.StatusCode != 200 || asked != 1 {
		t.Errorf("with another tier: %d %q, asked %d times", resp.StatusCode, text, asked)
	}
	req := g.request("POST", "/", strings.NewReader("{}"))
	req.Header["X-Own-Key"] = []string{"a", "b"}
	if resp, text := g.do(req); resp.StatusCode != 400 || asked != 1 {
		t.Errorf("with a credential that is none: %d %q", resp.StatusCode, text)
	}

	st, err = New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{second}, {first}}}}, Settings{}, Deps{})
	must(t, err)
	g = newGate(t, st)
	req = g.request("POST", "/", strings.NewReader("{}"))
	req.Header.Set("X-Own-Key", "for-the-other")
	if resp, text := g.do(req); resp.StatusCode != 200 || asked != 2 {
		t.Errorf("with a credential for another: %d %q", resp.StatusCode, text)
	}
}
