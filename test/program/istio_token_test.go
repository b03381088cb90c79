package program

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// TestIstioTokens asks behind a RequestAuthentication: a token that is there
// must be good, and a policy says who may use the provider.
func TestIstioTokens(t *testing.T) {
	all, flags := dashScope(t)
	key, err := simulate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	mint := func(claims string) simulate.Token {
		token, err := simulate.Mint(simulate.TokenConfig{Key: key, Claims: []byte(claims)})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	alice := mint(`{"iss":"https://idp.example.com","sub":"alice","exp":4102444800}`)
	bob := mint(`{"iss":"https://idp.example.com","sub":"bob","exp":4102444800}`)
	old := mint(`{"iss":"https://idp.example.com","sub":"alice","exp":1000}`)
	stranger := mint(`{"iss":"https://other.example.com","sub":"alice","exp":4102444800}`)
	p := run(t, map[string]string{
		"gw.yaml": istioGateway, "provider.yaml": qwen, "route.yaml": qwenRoute,
		"idp.yaml": "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: idp, namespace: istio-system}\nspec:\n" +
			"  selector: {matchLabels: {istio: egressgateway}}\n  jwtRules:\n  - issuer: https://idp.example.com\n    jwks: '" + strings.TrimSpace(string(alice.JWKS)) + "'\n",
		"alice.yaml": `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: alice, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: egressgateway}}
  rules:
  - from: [{source: {requestPrincipals: ["https://idp.example.com/alice"]}}]
    to: [{operation: {methods: [POST], hosts: [dashscope.aliyuncs.com]}}]
`,
	}, settings{args: flags, env: map[string]string{"API_KEY": dashScopeKey}})
	base := "http://" + p.addr("8080")
	for _, tc := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"alice", alice.JWT, 200, "chat.completion"},
		{"bob, who may not", bob.JWT, 403, "RBAC: access denied"},
		{"nobody", "", 403, "RBAC: access denied"},
		{"expired", old.JWT, 401, "Jwt is expired"},
		{"another issuer", stranger.JWT, 401, "Jwt issuer is not configured"},
		{"no token at all", "x", 401, "Jwt is not in the form"},
	} {
		all.Clear()
		header := map[string]string{"Host": "dashscope.aliyuncs.com", "Content-Type": "application/json"}
		if tc.token != "" {
			header["Authorization"] = "Bearer " + tc.token
		}
		got := send(t, request{method: "POST", url: base + "/", body: tellMe, header: header})
		if got.status != tc.status || !strings.Contains(got.body, tc.body) {
			t.Errorf("%s: %v, want %d with %q", tc.name, got, tc.status, tc.body)
		}
		for _, r := range all.Requests() {
			if tc.status != 200 || !r.HeaderIs("Authorization", "Bearer "+dashScopeKey) {
				t.Errorf("%s: the provider saw %v", tc.name, r.Headers)
			}
		}
	}
}
