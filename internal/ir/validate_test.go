package ir

import (
	"reflect"
	"strings"
	"testing"
)

// TestUnionsAreCounted holds the hand-written lists of alternatives against
// the structs: each pointer field is an alternative.
func TestUnionsAreCounted(t *testing.T) {
	for _, u := range []struct {
		name  string
		typ   any
		count int
	}{
		{"Action", Action{}, len(Action{}.set())},
		{"Step", Step{}, len(Step{}.set())},
		{"PathRewrite", PathRewrite{}, len(PathRewrite{}.set())},
		{"AuthMethod", AuthMethod{}, len(AuthMethod{}.set())},
		{"Credential", Credential{}, len(Credential{}.set()) + 1}, // Override is no alternative
	} {
		pointers := 0
		for i := range reflect.TypeOf(u.typ).NumField() {
			if reflect.TypeOf(u.typ).Field(i).Type.Kind() == reflect.Pointer {
				pointers++
			}
		}
		if pointers != u.count {
			t.Errorf("%s has %d alternatives, set() lists %d", u.name, pointers, u.count)
		}
	}
}

func TestValidate(t *testing.T) {
	path := "/x"
	good := func() *Config {
		return &Config{
			Listeners: []*Listener{{Name: "l", Hosts: []*VirtualHost{{Hostname: "*", Routes: []*Route{{
				Name:   "r",
				Steps:  []Step{{Phase: PhaseFilter, Path: &PathRewrite{Full: &path}}},
				Action: Action{Forward: &Forward{Backends: []Backend{{Upstream: "u", Weight: 1}}}},
			}}}}}},
			Upstreams: map[string]*Upstream{"u": {Name: "u"}},
		}
	}
	route := func(c *Config) *Route { return c.Listeners[0].Hosts[0].Routes[0] }
	for _, tc := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"good", func(*Config) {}, ""},
		{"no action", func(c *Config) { route(c).Action = Action{} }, "0 alternatives"},
		{"two actions", func(c *Config) { route(c).Action.Direct = &Direct{} }, "2 alternatives"},
		{"empty step", func(c *Config) { route(c).Steps[0].Path = nil }, "0 alternatives"},
		{"no phase", func(c *Config) { route(c).Steps[0].Phase = 0 }, "phase 0"},
		{"empty path rewrite", func(c *Config) { route(c).Steps[0].Path = &PathRewrite{} }, "path of step 0: 0 alternatives"},
		{"unknown upstream", func(c *Config) { delete(c.Upstreams, "u") }, `upstream "u" does not exist`},
		{"misfiled upstream", func(c *Config) { c.Upstreams["u"].Name = "w" }, "filed under"},
		{"unknown member", func(c *Config) { c.Upstreams["u"].Tiers = [][]TierMember{{{Upstream: "x"}}} }, `upstream "x" does not exist`},
		{"doubled listener", func(c *Config) { c.Listeners = append(c.Listeners, &Listener{Name: "l"}) }, "used twice"},
	} {
		c := good()
		tc.spoil(c)
		errs := Validate(c)
		if tc.want == "" {
			if len(errs) != 0 {
				t.Errorf("%s: %v", tc.name, errs)
			}
			continue
		}
		if len(errs) == 0 || !strings.Contains(errs[0].Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, errs, tc.want)
		}
	}
}
