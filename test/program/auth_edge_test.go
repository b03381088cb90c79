package program

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The AuthConfigs of the edge's tests. The hash is that of "password".
const (
	edgeKey    = "MARKER-edge-key"
	edgeKeys   = "apiKeyAuth: {headerName: api-key, k8sSecretApikeyStorage: {labelSelector: {team: a}}, headersFromMetadataEntry: {x-plan: {name: plan}, x-note: {name: note}}}"
	edgeBasic  = "basicAuth: {realm: edge, apr: {users: {ann: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}"
	edgeSecret = `---
apiVersion: v1
kind: Secret
metadata: {name: caller-a, namespace: elsewhere, labels: {team: a}}
type: extauth.solo.io/apikey
stringData: {api-key: MARKER-edge-key, plan: gold}
---
apiVersion: v1
kind: Secret
metadata: {name: oauth, namespace: apps}
type: extauth.solo.io/oauth
stringData: {client-secret: MARKER-client-secret}
`
)

// oauthServer introspects tokens (RFC 7662): "MARKER-live" is active. It
// counts those who ask without the client's secret.
func oauthServer(t *testing.T) (url string, strangers *atomic.Int64) {
	t.Helper()
	strangers = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if r.Method != http.MethodPost || id != "gateway" || secret != "MARKER-client-secret" {
			strangers.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("token") == "MARKER-live" {
			_, _ = io.WriteString(w, `{"active": true, "sub": "ann", "scope": "read chat"}`)
			return
		}
		_, _ = io.WriteString(w, `{"active": false}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, strangers
}

// edgeConfigs are the AuthConfigs by name.
func edgeConfigs(introspection string) string {
	either := "booleanExpr: k || j, configs: [{name: k, " + edgeKeys + "}, {name: j, jwt: {}}]"
	token := fmt.Sprintf("configs: [{oauth2: {accessTokenValidation: {introspection: {introspectionUrl: %q, clientId: gateway, clientSecretRef: {name: oauth, namespace: apps}, userIdAttributeName: sub}, requiredScopes: {scope: [chat]}}}}]", introspection)
	return authConfig("keys", "configs: [{"+edgeKeys+"}]") + authConfig("basic", "configs: [{"+edgeBasic+"}]") +
		authConfig("either", either) + authConfig("token", token)
}

// edgeOptions are the options of each path; the host's are the key's.
func edgeOptions() map[string]string {
	ref := func(name string) string { return "extauth: {configRef: {name: " + name + ", namespace: apps}}" }
	lenient := strings.TrimSuffix(asks(), "}") + ", validationPolicy: ALLOW_MISSING_OR_FAILED}"
	return map[string]string{
		"keys": "", "free": "extauth: {disable: true}", "basic": ref("basic"), "token": ref("token"),
		"either": ref("either") + ", jwtProvidersStaged: {beforeExtAuth: " + lenient + "}",
	}
}

const hostKeys = "extauth: {configRef: {name: keys, namespace: apps}}"

// edges are the ways to write the same policies.
var edges = []struct {
	name   string
	deploy func() string
}{
	{"VirtualService", func() string {
		var routes []string
		for path, options := range edgeOptions() {
			routes = append(routes, route("/"+path, "up", options))
		}
		return virtualService(hostKeys, routes...)
	}},
	{"HTTPRoute with targetRefs", func() string {
		out := httpGateway("gw", 8080) + optionOf("VirtualHostOption", "host", "{group: gateway.networking.k8s.io, kind: Gateway, name: gw}", hostKeys)
		for path, options := range edgeOptions() {
			out += httpRoute(path, "gw", rule("/"+path, "up", ""))
			if options != "" {
				out += optionOf("RouteOption", path, "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: "+path+"}", options)
			}
		}
		return out
	}},
	{"HTTPRoute with ExtensionRef", func() string {
		out := httpGateway("gw", 8080) + optionOf("VirtualHostOption", "host", "{group: gateway.networking.k8s.io, kind: Gateway, name: gw}", hostKeys)
		var rules []string
		for path, options := range edgeOptions() {
			if options == "" {
				rules = append(rules, rule("/"+path, "up", ""))
				continue
			}
			rules = append(rules, rule("/"+path, "up", "{type: ExtensionRef, extensionRef: {group: gateway.solo.io, kind: RouteOption, name: "+path+"}}"))
			out += optionOf("RouteOption", path, "", options)
		}
		return out + httpRoute("all", "gw", rules...)
	}},
}

// TestAuthEdge asks every kind of AuthConfig of Gloo Gateway, at each place
// that can refer to one.
func TestAuthEdge(t *testing.T) {
	const challenge = "API key is missing or invalid"
	basic := func(pair string) map[string]string {
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	}
	key := func(k string) map[string]string { return map[string]string{"api-key": k} }
	cases := []struct {
		name, path string
		header     map[string]string
		status     int
		challenge  string
		user, plan string
	}{
		{"no key", "/keys", nil, 401, challenge, "", ""},
		{"wrong key", "/keys", key("MARKER-wrong"), 401, challenge, "", ""},
		{"another's password", "/keys", basic("ann:password"), 401, challenge, "", ""},
		{"key", "/keys", key(edgeKey), 200, "", "caller-a", "gold"},
		{"disabled", "/free", nil, 200, "", "", ""},
		{"disabled, with a wrong key", "/free", key("MARKER-wrong"), 200, "", "", ""},
		{"no password", "/basic", nil, 401, `Basic realm="edge"`, "", ""},
		{"wrong password", "/basic", basic("ann:MARKER-no"), 401, `Basic realm="edge"`, "", ""},
		{"the parent's key", "/basic", key(edgeKey), 401, `Basic realm="edge"`, "", ""},
		{"password", "/basic", basic("ann:password"), 200, "", "ann", ""},
		{"neither", "/either", nil, 401, "", "", ""},
		{"wrong key, bad token", "/either", map[string]string{"api-key": "MARKER-wrong", "Authorization": "Bearer a.b.c"}, 401, "", "", ""},
		{"the key of both", "/either", key(edgeKey), 200, "", "caller-a", "gold"},
		{"the token of both", "/either", bearer(caller("")), 200, "", "", ""},
		{"a forged token", "/either", bearer(mint(`{"alg":"RS256"}`, `{"iss":"tests"}`, otherRSA())), 401, "", "", ""},
		{"no access token", "/token", nil, 401, "", "", ""},
		{"dead access token", "/token", bearer("MARKER-dead"), 401, "", "", ""},
		{"live access token", "/token", bearer("MARKER-live"), 200, "", "ann", ""},
	}
	for _, edge := range edges {
		t.Run(edge.name, func(t *testing.T) {
			up := serveOrigin(t, nil)
			oauth, strangers := oauthServer(t)
			p := runOne(t, nil, up.yaml("up"), edgeSecret, edgeConfigs(oauth), edge.deploy())
			for _, tc := range cases {
				for _, spoof := range []bool{false, true} {
					q := request{url: "http://" + p.addr("8080") + tc.path, header: map[string]string{}}
					maps.Copy(q.header, tc.header)
					guarded := tc.path != "/free"
					if spoof && guarded {
						for _, h := range []string{"x-user-id", "x-plan", "x-note"} {
							q.header[h] = "spoofed"
						}
					}
					got := send(t, q)
					if got.status != tc.status {
						t.Errorf("%s: %v, want %d", tc.name, got, tc.status)
						up.requests()
						continue
					}
					if tc.status != 200 {
						if got.header.Get("WWW-Authenticate") != tc.challenge && tc.challenge != "" || tc.challenge == challenge && got.body != "" {
							t.Errorf("%s: %v", tc.name, got)
						}
						if n := len(up.requests()); n != 0 {
							t.Errorf("%s: a refused request reached the upstream", tc.name)
						}
						continue
					}
					saw := up.one(t)
					for h, want := range map[string]string{"x-user-id": tc.user, "x-plan": tc.plan, "x-note": ""} {
						if v := strings.Join(saw.header.Values(h), ","); v != want && (guarded && (h == "x-user-id" || tc.path != "/basic" && tc.path != "/token")) {
							t.Errorf("%s, spoofing %v: the upstream saw %s %q, want %q", tc.name, spoof, h, v, want)
						}
					}
					if guarded && (saw.header.Get("api-key") != "" || saw.header.Get("Authorization") != "") {
						t.Errorf("%s: the caller's credential reached the upstream", tc.name)
					}
				}
			}
			if n := strangers.Load(); n != 0 {
				t.Errorf("the OAuth server was asked %d times by nobody it knows", n)
			}
		})
	}
}

// own are the parts of an answer that differ from one to the next.
var own = regexp.MustCompile(`(?mi)^(date|x-postern-decision|x-request-id): .*\r\n`)

// TestAuthEdgeRefusalsAreOne compares a missing, an empty, a wrong and a
// doubled key by all bytes of their answers, for several methods.
func TestAuthEdgeRefusalsAreOne(t *testing.T) {
	up := serveOrigin(t, nil)
	p := runOne(t, nil, up.yaml("up"), edgeSecret, authConfig("keys", "configs: [{"+edgeKeys+"}]"), virtualService(hostKeys, route("/", "up", "")))
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE"} {
		var answers []string
		for _, header := range []string{"", "api-key:\r\n", "api-key: MARKER-wrong\r\n", "api-key: " + edgeKey + "x\r\n", "api-key: " + edgeKey[:8] + "\r\n", "api-key: " + edgeKey + "\r\napi-key: " + edgeKey + "\r\n"} {
			c := dialRaw(t, p.addr("8080"))
			if _, err := fmt.Fprintf(c, "%s /a?b=c HTTP/1.1\r\nHost: any.example.com\r\n%sConnection: close\r\n\r\n", method, header); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, own.ReplaceAllString(string(b), ""))
		}
		if !strings.HasPrefix(answers[0], "HTTP/1.1 401 ") || !strings.Contains(answers[0], "API key is missing or invalid\r\n") || !strings.HasSuffix(answers[0], "\r\n\r\n") {
			t.Errorf("%s: %q", method, answers[0])
		}
		if len(slices.Compact(answers)) != 1 {
			t.Errorf("%s: refusals differ: %q", method, answers)
		}
	}
	if n := len(up.requests()); n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

// TestAuthEdgeTemplates has templates before and after the question who calls:
// the early one makes a header out of another, the regular ones write headers
// and bodies.
func TestAuthEdgeTemplates(t *testing.T) {
	up := serveOrigin(t, nil)
	stages := func(regular string) string {
		return `stagedTransformations: {early: {requestTransforms: [{requestTransformation: {transformationTemplate: {passthrough: {}, ` +
			`extractors: {who: {header: x-app, regex: 'app (.+)', subgroup: 1}}, headers: {x-early: {text: '{{ who }}{{ header("x-plan") }}'}}}}}]}, ` +
			`regular: {requestTransforms: [{requestTransformation: {transformationTemplate: {` + regular + `}}}]}}`
	}
	p := runOne(t, nil, up.yaml("up"), edgeSecret, authConfig("keys", "configs: [{"+edgeKeys+"}]"), virtualService(hostKeys,
		route("/body", "up", stages(`body: {text: '{"inputs": "{{ prompt }}"}'}`)),
		route("/header", "up", stages(`headers: {x-caller: {text: '{{ header("x-user-id") }} of {{ header("x-plan") }}'}}`)),
		route("/pass", "up", stages(`passthrough: {}, headers: {x-caller: {text: '{{ header("x-user-id") }}'}}`)),
	))
	for _, tc := range []struct {
		name, path, key, body string
		status                int
		sent, caller          string
	}{
		{"body", "/body", edgeKey, `{"prompt":"hi"}`, 200, `{"inputs": "hi"}`, ""},
		{"header", "/header", edgeKey, `{"prompt":"hi"}`, 200, `{"prompt":"hi"}`, "caller-a of gold"},
		{"header, no JSON", "/header", edgeKey, `not json`, 400, "", ""},
		{"passthrough, no JSON", "/pass", edgeKey, `not json`, 200, `not json`, "caller-a"},
		{"body, wrong key", "/body", "MARKER-wrong", `{"prompt":"hi"}`, 401, "", ""},
		{"passthrough, wrong key", "/pass", "MARKER-wrong", `not json`, 401, "", ""},
		{"no key", "/pass", "", `{}`, 401, "", ""},
	} {
		q := request{method: "POST", url: "http://" + p.addr("8080") + tc.path, body: tc.body, header: map[string]string{"x-app": "app one", "x-caller": "spoofed", "x-user-id": "spoofed", "x-plan": "spoofed"}}
		if tc.key != "" {
			q.header["api-key"] = tc.key
		}
		got := send(t, q)
		if got.status != tc.status || tc.status == 400 && !strings.HasPrefix(got.body, "bad request: ") {
			t.Errorf("%s: %v, want %d", tc.name, got, tc.status)
		}
		if seen := up.requests(); tc.status != 200 {
			if len(seen) != 0 {
				t.Errorf("%s: reached the upstream", tc.name)
			}
		} else if len(seen) != 1 || seen[0].body != tc.sent || tc.caller != "" && strings.Join(seen[0].header.Values("x-caller"), ",") != tc.caller ||
			seen[0].header.Get("x-user-id") != "caller-a" || seen[0].header.Get("x-early") != "one" || seen[0].header.Get("api-key") != "" {
			t.Errorf("%s: the upstream saw %+v", tc.name, seen)
		}
	}
}
