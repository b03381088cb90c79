package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// jwksOf mints a token and returns the key set that verifies it.
func jwksOf(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(command(t, "", "token").err)
}

// guarded is a VirtualService that asks for a token of solo.io that key
// verifies.
func guarded(jwks string) string {
	return fmt.Sprintf(`apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: guarded}
spec:
  virtualHost:
    domains: ["*"]
    options: {jwt: {providers: {solo: {issuer: solo.io, audiences: [postern], jwks: %s}}}}
    routes:
    - directResponseAction: {status: 202}
      options: {rbac: {policies: {viewer: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-3.5-turbo}, matcher: LIST_CONTAINS}}]}}}}
`, jwks)
}

// TestToken holds that run accepts what token mints, and nothing else.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	key, jwks := filepath.Join(dir, "key.pem"), filepath.Join(dir, "jwks.json")
	mint := func(args ...string) string {
		t.Helper()
		r := command(t, "", append([]string{"token", "--jwks", jwks}, args...)...)
		if r.code != 0 || r.err != "" || strings.Count(r.out, ".") != 2 {
			t.Fatalf("token %v: %+v", args, r)
		}
		return strings.TrimSpace(r.out)
	}
	const models = `llms={"openai":["gpt-3.5-turbo"]}`
	alice := mint("--iss", "solo.io", "--sub", "alice", "--aud", "postern", "--claim", models, "--new-key", key, "--kid", "one")
	set, err := os.ReadFile(jwks)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key's file: %v, %v", info, err)
	}
	if strings.Contains(string(set), `"d"`) {
		t.Error("the key set holds the private key")
	}
	with := func(args ...string) string { return mint(append(args, "--key", key, "--kid", "one")...) }
	tokens := []struct {
		name, token string
		status      int
	}{
		{"as minted", alice, 202},
		{"all claims at once", with("--claims", `{"iss": "solo.io", "aud": "postern", "llms": {"openai": ["gpt-3.5-turbo"]}}`), 202},
		{"of several audiences", with("--iss", "solo.io", "--aud", "other", "--aud", "postern", "--claim", models), 202},
		{"another issuer", with("--iss", "other", "--aud", "postern", "--claim", models), 401},
		{"another audience", with("--iss", "solo.io", "--aud", "other", "--claim", models), 403},
		{"expired", with("--iss", "solo.io", "--aud", "postern", "--claim", models, "--expires-in", "-2h"), 401},
		{"without the claim", with("--iss", "solo.io", "--aud", "postern"), 403},
		{"another key", mint("--iss", "solo.io", "--aud", "postern", "--claim", models), 401},
	}
	r := serve(t, "", "-f", folder(t, map[string]string{"a.yaml": guarded(fmt.Sprintf("{local: {key: %q}}", set))}))
	for _, tc := range tokens {
		if got := get(t, "http://"+r.at("8080")+"/", "Authorization", "Bearer "+tc.token); got != tc.status {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.status)
		}
	}
	if got := get(t, "http://"+r.at("8080")+"/"); got != 401 {
		t.Errorf("no token: %d", got)
	}
}

// TestCheckOnline holds that --online fetches what the resources point to, and
// that check without it does not.
func TestCheckOnline(t *testing.T) {
	set, fetched := jwksOf(t), 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fetched++; r.URL.Path != "/jwks" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, set)
	}))
	t.Cleanup(s.Close)
	check := func(url string, args ...string) result {
		dir := folder(t, map[string]string{"a.yaml": guarded(fmt.Sprintf("{remote: {url: %q}}", url))})
		r := command(t, "", append([]string{"check", "-f", dir}, args...)...)
		r.out = strings.ReplaceAll(r.out, dir+"/", "")
		return r
	}
	if r := check(s.URL+"/no-such", "-o", "text"); r.code != 0 || fetched != 0 {
		t.Errorf("offline: %+v, %d fetches", r, fetched)
	}
	if r := check(s.URL+"/jwks", "--online"); r.code != 0 || r.out != "" || fetched != 1 {
		t.Errorf("reachable: %+v, %d fetches", r, fetched)
	}
	for _, url := range []string{s.URL + "/no-such", "http://127.0.0.1:1/jwks"} {
		r := check(url, "--online")
		if r.code != 1 || !strings.HasPrefix(r.out, "error: a.yaml:7: VirtualService default/guarded: ") ||
			!strings.Contains(r.out, "key set "+url) || !strings.Contains(r.out, "; make it reachable from here, or correct the URL") {
			t.Errorf("%s: %+v", url, r)
		}
	}
}
