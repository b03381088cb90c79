package compile

import (
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// TestCompileSharesUnchangedHosts changes the routes of one host of two: the
// other is the same value in both snapshots, and a host of which a match cannot
// be compiled is compiled, and reported, each time.
func TestCompileSharesUnchangedHosts(t *testing.T) {
	b := newBench(t, ExposedWarn)
	u := provider(t)
	still := &ir.Route{Name: "still", Matches: prefix("/a", 1), Action: forwardTo("u")}
	broken := &ir.Route{Name: "broken", Action: forwardTo("u"), Matches: []ir.Match{{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "/b("}, Order: ir.Order{2}}}}
	compile := func(routes ...*ir.Route) *Compiled {
		cfg := config(u, routes...)
		cfg.Listeners[0].Hosts = append(cfg.Listeners[0].Hosts,
			&ir.VirtualHost{Hostname: "still.example.com", Routes: []*ir.Route{still}},
			&ir.VirtualHost{Hostname: "broken.example.com", Routes: []*ir.Route{broken}})
		return b.Compile(cfg)
	}
	host := func(c *Compiled, name string) *dataplane.VirtualHost {
		h, _ := c.Snapshot.Sockets[0].Listeners[0].Hosts.Find(name)
		return h
	}
	one := compile(&ir.Route{Name: "first", Matches: prefix("/a", 1), Action: forwardTo("u")})
	two := compile(&ir.Route{Name: "first", Matches: prefix("/c", 1), Action: forwardTo("u")})
	if host(one, "still.example.com") != host(two, "still.example.com") {
		t.Error("a host whose routes did not change was compiled anew")
	}
	if host(one, "x") == host(two, "x") {
		t.Error("a host whose routes changed was not")
	}
	if one, two := len(one.Report().Problems), len(two.Report().Problems); one == 0 || one != two {
		t.Errorf("%d problems, and then %d", one, two)
	}
	if got := get(t, two, "/c"); got != 200 {
		t.Errorf("the changed host: %d", got)
	}
	one.Snapshot.Release()
	two.Snapshot.Release()
}
