package program

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// earlySpecs are auth specs by path, each with the header that it looks in.
var earlySpecs = map[string]string{
	"key":   "configs: [{" + edgeKeys + "}]",
	"basic": "configs: [{" + edgeBasic + "}]",
}

// earlyGloo and earlyMesh guard the paths of earlySpecs, behind a template that
// makes api-key of a bearer token, and Authorization of x-login.
func earlyGloo(up *origin, template string) string {
	var routes []string
	out := up.yaml("up")
	for name, spec := range earlySpecs {
		routes = append(routes, route("/"+name, "up", fmt.Sprintf("extauth: {configRef: {name: %s, namespace: apps}}", name)))
		out += authConfig(name, spec)
	}
	return out + virtualService("stagedTransformations: {early: {requestTransforms: [{requestTransformation: {transformationTemplate: {"+template+"}}}]}}", routes...)
}

func earlyMesh(up *origin, template string) string {
	out := meshFamily(up, earlySpecs, "")
	for name := range earlySpecs {
		out += fmt.Sprintf(`---
apiVersion: trafficcontrol.policy.gloo.solo.io/v2
kind: TransformationPolicy
metadata: {name: early-%[1]s, namespace: apps}
spec: {applyToRoutes: [{route: {labels: {route: %[1]s}}}], config: {phase: {preAuthz: {priority: 0}}, request: {injaTemplate: {%[2]s}}}}
`, name, template)
	}
	return out
}

// TestAuthEarlyTemplateFeedsTheMethods has an early template write the header
// in which a method looks. What it writes there is a secret, which the method
// consumes: nothing of it goes upstream.
func TestAuthEarlyTemplateFeedsTheMethods(t *testing.T) {
	const template = `passthrough: {}, extractors: {token: {header: authorization, regex: 'Bearer (.+)', subgroup: 1}, login: {header: x-login, regex: '.+'}}, ` +
		`headers: {api-key: {text: '{{ token }}'}, authorization: {text: '{% if login != "" %}Basic {{ login }}{% endif %}'}}`
	login := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, deploy := range map[string]func(*origin, string) string{"gloo": earlyGloo, "gloomesh": earlyMesh} {
		t.Run(name, func(t *testing.T) {
			up := serveOrigin(t, nil)
			p := runOne(t, nil, edgeSecret, deploy(up, template))
			for _, tc := range []struct {
				name, path string
				header     map[string]string
				status     int
				user       string
			}{
				{"key", "/key", bearer(edgeKey), 200, "caller-a"},
				{"another's key", "/key", bearer("MARKER-wrong"), 401, ""},
				{"no token", "/key", nil, 401, ""},
				{"an empty token beside a good key", "/key", map[string]string{"api-key": edgeKey}, 401, ""},
				{"a bad token beside a good key", "/key", map[string]string{"api-key": edgeKey, "Authorization": "Bearer MARKER-wrong"}, 401, ""},
				{"password", "/basic", map[string]string{"x-login": login("ann:password")}, 200, "ann"},
				{"wrong password", "/basic", map[string]string{"x-login": login("ann:MARKER-wrong")}, 401, ""},
				{"no password", "/basic", nil, 401, ""},
			} {
				got := send(t, request{url: "http://" + p.addr("8080") + tc.path, header: tc.header})
				seen := up.requests()
				if got.status != tc.status || (len(seen) == 1) != (tc.status == 200) {
					t.Errorf("%s: %v, want %d; %d requests upstream", tc.name, got, tc.status, len(seen))
					continue
				}
				if tc.status != 200 {
					continue
				}
				h := seen[0].header
				if h.Get("x-user-id") != tc.user || h.Get("api-key") != "" || h.Get("Authorization") != "" {
					t.Errorf("%s: the upstream saw %v", tc.name, h)
				}
			}
		})
	}
}

// TestAuthSpoofedNames has clients name themselves in x-user-id where no
// method does: where a verified token is enough, and where auth is off. A name
// that a JWT policy writes there stays.
func TestAuthSpoofedNames(t *testing.T) {
	up := serveOrigin(t, nil)
	before := func(more string) string { return "jwtProvidersStaged: {beforeExtAuth: " + jwtOf(rsaKey(), more) + "}" }
	const off, claim = "extauth: {disable: true}", ", claimsToHeaders: [{claim: sub, header: x-user-id}]"
	verified := "extauth: {configRef: {name: verified, namespace: apps}}"
	p := runOne(t, nil, edgeSecret, up.yaml("up"), authConfig("keys", "configs: [{"+edgeKeys+"}]"), authConfig("verified", "configs: [{jwt: {}}]"),
		virtualService(hostKeys,
			route("/verified", "up", verified+", "+before("")),
			route("/claim", "up", verified+", "+before(claim)),
			route("/off", "up", off),
			route("/named", "up", off+", "+before(claim)),
		))
	for _, tc := range []struct{ path, want string }{{"/verified", ""}, {"/claim", "ann"}, {"/off", ""}, {"/named", "ann"}} {
		h := bearer(caller(""))
		if tc.path == "/off" {
			h = map[string]string{}
		}
		h["X-User-Id"] = "root"
		got := send(t, request{url: "http://" + p.addr("8080") + tc.path, header: h})
		seen := up.requests()
		if got.status != 200 || len(seen) != 1 || strings.Join(seen[0].header.Values("x-user-id"), ",") != tc.want {
			t.Errorf("%s: %v; the upstream saw %+v, want x-user-id %q", tc.path, got, seen, tc.want)
		}
	}
}
