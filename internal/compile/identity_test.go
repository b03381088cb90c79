package compile

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// TestIdentityIsThereOrNot compiles what needs a workload certificate where
// there is none, where one is given and not there yet, and where resources are
// only looked at.
func TestIdentityIsThereOrNot(t *testing.T) {
	for _, tc := range []struct {
		name     string
		identity Identity
		compiled string // what the report says
		secrets  string // what is said of the bytes
	}{
		{"none", IdentityNone, "run with --identity", ""},
		{"given", IdentityGiven, "", "secret not found"},
		{"assumed", IdentityAssumed, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, ExposedWarn)
			b.deps.Identity = tc.identity
			u := &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{{Host: "127.0.0.1", Port: 1}}, TLS: &ir.ClientTLS{Identity: true}}
			cfg := config(u, &ir.Route{Name: "r", Matches: prefix("/", 0), Action: forwardTo("u")})
			cfg.Listeners[0].TLS = &ir.ServerTLS{Identity: true}
			got := b.Compile(cfg)
			said := func(where, want string, n int, text string) {
				if (want == "") != (n == 0) || !strings.Contains(text, want) {
					t.Errorf("%s: %s, want %q", where, text, want)
				}
			}
			var report, bytes []string
			for _, p := range got.Report().Problems {
				report = append(report, p.String())
			}
			for _, p := range got.SecretProblems() {
				bytes = append(bytes, p.String())
			}
			said("report", tc.compiled, len(report), strings.Join(report, "\n"))
			said("bytes", tc.secrets, len(bytes), strings.Join(bytes, "\n"))
			if tc.identity == IdentityNone && len(report) != 2 {
				t.Errorf("want a problem of the listener and one of the route: %v", report)
			}
		})
	}
}

// TestExposureBehindClientCertificates warns of a route that carries a
// credential and asks nobody only where someone without a client certificate
// reaches it.
func TestExposureBehindClientCertificates(t *testing.T) {
	open := &ir.Listener{Name: "open", Port: 8080}
	asks := &ir.Listener{Name: "asks", Port: 8443, TLS: &ir.ServerTLS{Identity: true}}
	may := &ir.Listener{Name: "may", Port: 8444, TLS: &ir.ServerTLS{Identity: true, ClientOptional: true}}
	for _, tc := range []struct {
		name      string
		listeners []*ir.Listener
		exposed   int
	}{
		{"plain", []*ir.Listener{open}, 1},
		{"certificates", []*ir.Listener{asks}, 0},
		{"certificates as one likes", []*ir.Listener{may}, 1},
		{"both", []*ir.Listener{asks, open}, 1},
		{"certificates again", []*ir.Listener{asks}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, ExposedWarn)
			b.deps.Identity = IdentityAssumed
			u := provider(t)
			rt := &ir.Route{Name: "r", Matches: prefix("/", 0), Action: forwardTo("u"), Steps: []ir.Step{
				{Phase: ir.PhaseFilter, Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "Authorization", Secret: tokenRef}}}}},
			}}
			cfg := &ir.Config{Upstreams: map[string]*ir.Upstream{u.Name: u}}
			for _, l := range tc.listeners {
				own := *l
				own.Hosts = []*ir.VirtualHost{{Hostname: "*", Routes: []*ir.Route{rt}}}
				cfg.Listeners = append(cfg.Listeners, &own)
			}
			for range 2 { // built, and found built
				if got := b.Compile(cfg); got.Exposed != tc.exposed {
					t.Errorf("%d exposed, want %d: %v", got.Exposed, tc.exposed, got.Report().Problems)
				}
			}
		})
	}
}
