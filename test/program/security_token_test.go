package program

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// everyRoute runs a gateway that asks for a token in each way that there is
// to ask for one, and returns where each is.
func everyRoute(t *testing.T, o *origin) map[string]string {
	t.Helper()
	staged := "jwtProvidersStaged: {afterExtAuth: " + asks() + "}"
	const gatewayRef, routeRef = "{group: gateway.networking.k8s.io, kind: Gateway, name: %s}", "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: %s}"
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0", "--port", "8082=127.0.0.1:0"}, o.yaml("up"),
		virtualService("jwt: "+asks(), route("/vs", "up", ""), "{matchers: [{prefix: /rt}], delegateAction: {ref: {name: child, namespace: apps}}}"),
		"---\napiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {name: child, namespace: apps}\nspec: {routes: ["+route("/rt", "up", "")+"]}\n",
		httpGateway("host", 8081), optionOf("VirtualHostOption", "host", fmt.Sprintf(gatewayRef, "host"), "jwt: "+asks()), httpRoute("plain", "host", rule("/", "up", "")),
		httpGateway("route", 8082), optionOf("RouteOption", "target", fmt.Sprintf(routeRef, "targeted"), staged), httpRoute("targeted", "route", rule("/target", "up", "")),
		optionOf("RouteOption", "ext", "", staged), httpRoute("extended", "route", rule("/ext", "up", "{type: ExtensionRef, extensionRef: {group: gateway.solo.io, kind: RouteOption, name: ext}}")))
	return map[string]string{
		"VirtualService": "http://" + p.addr("8080") + "/vs", "RouteTable": "http://" + p.addr("8080") + "/rt",
		"VirtualHostOption": "http://" + p.addr("8081") + "/", "RouteOption by targetRef": "http://" + p.addr("8082") + "/target",
		"RouteOption by ExtensionRef": "http://" + p.addr("8082") + "/ext",
	}
}

// badTokens returns a hundred tokens and more that nobody should believe.
func badTokens() []string {
	good := caller("")
	parts := strings.Split(good, ".")
	const head = `{"alg":"RS256","typ":"JWT"}`
	out := []string{
		"x", ".", "..", "...", "a.b.c", good + ".", "." + good, good + "." + parts[2], parts[0] + "." + parts[1], parts[0] + "." + parts[1] + ".",
		parts[0] + ".." + parts[2], "." + parts[1] + "." + parts[2], strings.ToUpper(good), strings.ReplaceAll(good, ".", ","), good + "=", good + "==", good + " x", good + "\t" + good, good + "," + good, "\"" + good + "\"",
		b64([]byte(good)), good[:16], strings.Repeat("a.", 1000), strings.Repeat(".", 1000), "null", "undefined", "{}", "e30.e30.e30", "[object Object]", "true",
	}
	for _, claims := range []string{
		`{"iss":"tests","sub":"ann","exp":1}`, `{"iss":"tests","sub":"ann","nbf":9999999999}`, `{"iss":"other","sub":"ann"}`, `{"sub":"ann"}`, `{"iss":""}`, `{"iss":null}`, `{"iss":["tests"]}`, `{"iss":{"tests":1}}`,
		`{"iss":"tests "}`, `{"iss":"Tests"}`, `{"iss":"tests\u0000"}`, `{"iss":"tests","exp":"9999999999"}`, `{"iss":"tests","exp":null}`, `{"iss":"tests","exp":-1}`, `{"iss":"tests","exp":true}`, `{"iss":"tests","nbf":"x"}`, `{"iss":"tests","aud":1}`,
		`{"iss":"other","iss":"tests"}`, `{"ISS":"tests"}`, `[]`, `null`, `""`, `1`, ``, `{`, `{"iss":"tests"}{}`, `{"iss":"tests",}`, `{"iss":"tests"` + strings.Repeat(" ", 20<<10) + `}`, `{"iss":"tests","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
	} {
		out = append(out, mint(head, claims, rsaKey()))
	}
	for _, header := range []string{`{"alg":"RS384"}`, `{"alg":"PS256"}`, `{"alg":"ES256"}`, `{"alg":"HS256"}`, `{"alg":"none"}`, `{"alg":"None"}`, `{"alg":""}`, `{"alg":null}`, `{"alg":1}`, `{}`, `[]`, ``, `{"alg":"RS256","crit":["x"]}`, `{"alg":"RS256","alg":"none"}`, `{"alg":"RS256","kid":1}`} {
		out = append(out, mint(header, `{"iss":"tests","sub":"ann"}`, rsaKey()))
	}
	out = append(out, mint(head, `{"iss":"tests","sub":"ann"}`, otherRSA()), mint(head, `{"iss":"tests","sub":"ann","exp":9999999999}`, otherRSA()))
	for i := 0; i < len(good) && len(out) < 130; i += len(good)/45 + 1 { // one letter changed, and cut off there
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		out = append(out, good[:i]+string(c)+good[i+1:])
		if i > 0 {
			out = append(out, good[:i])
		}
	}
	return out
}

// TestSecurityRow04BadTokens: no bad token passes on any kind of route, and
// none is an identity of any kind.
func TestSecurityRow04BadTokens(t *testing.T) {
	o := serveOrigin(t, nil)
	routes := everyRoute(t, o)
	tokens := badTokens()
	if len(tokens) < 100 {
		t.Fatalf("only %d tokens", len(tokens))
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(url string, header http.Header) int {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for kind, url := range routes {
		for _, token := range tokens {
			if status := ask(url, http.Header{"Authorization": {"Bearer " + token}}); status != 401 {
				t.Errorf("%s: %.80q: %d, want 401", kind, token, status)
			}
		}
		for _, values := range [][]string{{"Basic " + caller("")}, {caller("")}, {"Bearer"}, {"Bearer "}, {""}, {"bearer"}, {"Token " + caller("")}} {
			if status := ask(url, http.Header{"Authorization": values}); status != 401 {
				t.Errorf("%s: %.20q: %d, want 401", kind, values, status)
			}
		}
		// Every token must be good: a bad one beside a good one is refused.
		if status := ask(url+"?access_token="+tokens[len(tokens)-1], http.Header{"Authorization": {"Bearer " + caller("")}}); status != 401 {
			t.Errorf("%s: a good and a bad token: %d, want 401", kind, status)
		}
		if n := len(o.requests()); n != 0 {
			t.Errorf("%s: %d requests upstream", kind, n)
		}
		if status := ask(url, http.Header{"Authorization": {"Bearer " + caller("")}}); status != 200 || len(o.requests()) != 1 {
			t.Errorf("%s: the good token: %d", kind, status)
		}
	}
}

// TestSecurityRow05LikeTokens: tokens that begin, or end, alike are told apart
// under load; and one that was believed a moment ago vouches for no other.
func TestSecurityRow05LikeTokens(t *testing.T) {
	o := serveOrigin(t, nil)
	rules := "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {role: admin}}}]}}}"
	vs := virtualService("jwt: "+asks(), route("/", "up", rules))
	p := runOne(t, nil, o.yaml("up"), vs)
	long := `,"filler":"` + strings.Repeat("x", 600) + `","role":`
	admin, user := caller(long+`"admin"`), caller(long+`"user"`)
	if admin[:700] != user[:700] {
		t.Fatal("the tokens do not begin alike")
	}
	a, u := strings.Split(admin, "."), strings.Split(user, ".")
	want := map[string]int{
		admin: 200, user: 403,
		u[0] + "." + u[1] + "." + a[2]: 401, a[0] + "." + a[1] + "." + u[2]: 401,
		admin[:len(admin)-4]: 401, admin + "A": 401, a[0] + "." + a[1] + "." + b64(make([]byte, 256)): 401,
	}
	base := "http://" + p.addr("8080") + "/"
	var work sync.WaitGroup
	for token, status := range want {
		for range 4 {
			work.Go(func() {
				for range 10 {
					if got := send(t, request{url: base, header: bearer(token)}); got.status != status {
						t.Errorf("%.20s…%s: %d, want %d", token, token[len(token)-10:], got.status, status)
					}
				}
			})
		}
	}
	work.Wait()
	if hits := p.metric("postern_token_cache_hits_total"); hits == 0 {
		t.Error("the cache was never used")
	}

	// An unrelated change of resources keeps what is known; a removed key does
	// not.
	before := p.metric("postern_token_cache_misses_total")
	p.write("other.yaml", staticUpstream("other", "127.0.0.1", 9))
	p.await("the reload", func() bool { return strings.Contains(p.err.String(), "postern: reloaded") })
	if got := send(t, request{url: base, header: bearer(admin)}); got.status != 200 {
		t.Errorf("after an unrelated change: %v", got)
	}
	if after := p.metric("postern_token_cache_misses_total"); after != before {
		t.Errorf("an unrelated change emptied the cache: %v misses, before %v", after, before)
	}
	p.write("all.yaml", o.yaml("up")+strings.Replace(vs, asks(), jwtOf(otherRSA(), ""), 1))
	p.await("the removed key", func() bool { return send(t, request{url: base, header: bearer(admin)}).status == 401 })
}

// TestSecurityRow06Forgeries are the classical ones; each answer is the one
// that is documented.
func TestSecurityRow06Forgeries(t *testing.T) {
	o, trap := serveOrigin(t, nil), serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), route("/", "up", "")))
	at := fmt.Sprintf("http://%s:%d/keys", trap.host, trap.port)
	const claims = `{"iss":"tests","sub":"ann"}`
	const fails, unsupported, form = "Jwt verification fails", "Jwt header [alg] is not supported", "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	parts := strings.Split(caller(""), ".")
	pub := publicPEM(rsaKey())
	for _, tc := range []struct {
		name, token string
		status      int
		text        string
	}{
		{"none, without signature", b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", 401, form},
		{"none, with one", b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], 401, unsupported},
		{"nOnE", b64([]byte(`{"alg":"nOnE"}`)) + "." + parts[1] + "." + parts[2], 401, unsupported},
		{"HS256 with the public key", hs256(claims, []byte(pub)), 401, fails},
		{"HS256 with the trimmed public key", hs256(claims, []byte(strings.TrimSpace(pub))), 401, fails},
		{"HS256 with nothing", hs256(claims, nil), 401, fails},
		{"jku", mint(`{"alg":"RS256","jku":"`+at+`"}`, claims, otherRSA()), 401, fails},
		{"x5u", mint(`{"alg":"RS256","x5u":"`+at+`"}`, claims, otherRSA()), 401, fails},
		{"jwk", mint(`{"alg":"RS256","jwk":{"kty":"oct","k":"AAAA"}}`, claims, otherRSA()), 401, fails},
		{"kid as a path", mint(`{"alg":"RS256","kid":"../../../dev/null"}`, claims, otherRSA()), 401, fails},
		{"crit", mint(`{"alg":"RS256","crit":["exp"]}`, claims, rsaKey()), 401, fails},
		{"another's signature", mint(`{"alg":"RS256"}`, claims, otherRSA()), 401, fails},
		{"expired, another's signature", mint(`{"alg":"RS256"}`, `{"iss":"tests","exp":1}`, otherRSA()), 401, "Jwt is expired"},
		{"another issuer", mint(`{"alg":"RS256"}`, `{"iss":"else"}`, rsaKey()), 401, "Jwt issuer is not configured"},
	} {
		got := send(t, request{url: "http://" + p.addr("8080") + "/", header: bearer(tc.token)})
		challenge := fmt.Sprintf("Bearer realm=\"http://%s/\", error=\"invalid_token\"", p.addr("8080"))
		if got.status != tc.status || got.body != tc.text || got.header.Get("Content-Type") != "text/plain" || got.header.Get("WWW-Authenticate") != challenge {
			t.Errorf("%s: %v, want %d %q and %s", tc.name, got, tc.status, tc.text, challenge)
		}
	}
	if n, m := len(o.requests()), len(trap.requests()); n+m != 0 {
		t.Errorf("%d requests upstream, %d to the address in a token", n, m)
	}
}

// TestSecurityRow06Audience: another's token is 403, with its own text.
func TestSecurityRow06Audience(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+jwtOf(rsaKey(), ", audiences: [llm]"), route("/", "up", "")))
	for claims, status := range map[string]int{`,"aud":"llm"`: 200, `,"aud":["x","llm"]`: 200, `,"aud":"other"`: 403, ``: 403, `,"aud":[]`: 403, `,"aud":"LLM"`: 403, `,"aud":"llm2"`: 403} {
		got := send(t, request{url: "http://" + p.addr("8080") + "/", header: bearer(caller(claims))})
		if got.status != status || status == 403 && got.body != "Audiences in Jwt are not allowed" {
			t.Errorf("%q: %v, want %d", claims, got, status)
		}
	}
}

// TestSecurityRow17OneAnswer: how near a token comes to a good one, the answer
// does not tell.
func TestSecurityRow17OneAnswer(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), route("/", "up", "")))
	good := caller("")
	sig := good[strings.LastIndexByte(good, '.')+1:]
	first := ""
	for _, i := range []int{0, 1, 10, len(sig) / 2, len(sig) - 2} {
		c := byte('A')
		if sig[i] == c {
			c = 'B'
		}
		got := send(t, request{url: "http://" + p.addr("8080") + "/", header: bearer(good[:len(good)-len(sig)] + sig[:i] + string(c) + sig[i+1:])})
		for _, k := range []string{"Date", "X-Request-Id", "X-Postern-Decision"} {
			got.header.Del(k)
		}
		if first == "" {
			first = got.String()
		}
		if got.status != 401 || got.String() != first {
			t.Errorf("letter %d: %v, another: %s", i, got, first)
		}
	}
}
