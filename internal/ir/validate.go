package ir

import (
	"fmt"
	"sort"
)

// Validate reports where c breaks the model's own rules: a union with none or
// several members set, an upstream that is named but not there, a doubled
// listener name. A dialect that follows the rules never sees one; compile
// checks once.
func Validate(c *Config) []error {
	v := &validator{c: c}
	names := map[string]bool{}
	for _, l := range c.Listeners {
		if names[l.Name] {
			v.fail("listener %q: name is used twice", l.Name)
		}
		names[l.Name] = true
		v.listener(l)
		if l.Otherwise != nil {
			v.route(l.Otherwise)
		}
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				v.route(r)
			}
		}
	}
	for _, name := range sortedKeys(c.Upstreams) {
		v.upstream(name, c.Upstreams[name])
	}
	return v.errs
}

// ValidateListener is Validate for a listener without its routes.
func ValidateListener(c *Config, l *Listener) []error {
	v := &validator{c: c}
	v.listener(l)
	return v.errs
}

// ValidateRoute is Validate for one route.
func ValidateRoute(c *Config, r *Route) []error {
	v := &validator{c: c}
	v.route(r)
	return v.errs
}

// ValidateUpstreams is Validate for all upstreams.
func ValidateUpstreams(c *Config) []error {
	v := &validator{c: c}
	for name, u := range c.Upstreams {
		v.upstream(name, u)
	}
	sort.Slice(v.errs, func(i, j int) bool { return v.errs[i].Error() < v.errs[j].Error() })
	return v.errs
}

type validator struct {
	c    *Config
	errs []error
}

func (v *validator) fail(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validator) listener(l *Listener) {
	if l.TLS != nil && l.TLS.Identity && len(l.TLS.Certificates) > 0 {
		v.fail("listener %q: it shows either the workload certificate or others", l.Name)
	}
	if l.Passthrough != nil {
		v.passthrough(l)
	}
	v.steps(l.Name, l.HTTP.Steps)
}

func (v *validator) route(r *Route) {
	v.one(place{owner: r.Name, what: "action"}, r.Action.set()...)
	v.steps(r.Name, r.Steps)
	if f := r.Action.Forward; f != nil {
		for i, b := range f.Backends {
			if len(b.Steps) > 0 {
				v.steps(fmt.Sprintf("%s: backend %d", r.Name, i), b.Steps)
			}
			if b.Closed == nil {
				v.upstreamNamed(r.Name, b.Upstream)
			}
		}
	}
}

func (v *validator) passthrough(l *Listener) {
	if l.TLS != nil || len(l.Hosts) > 0 {
		v.fail("listener %q: its TLS is either passed through or ended", l.Name)
	}
	v.steps(l.Name, l.Passthrough.Policies)
	names := map[string]bool{}
	for _, r := range l.Passthrough.Routes {
		for _, n := range r.ServerNames {
			if names[n] {
				v.fail("listener %q: server name %q is used twice", l.Name, n)
			}
			names[n] = true
		}
		for _, b := range r.Forward.Backends {
			if b.Closed == nil {
				v.upstreamNamed(r.Name, b.Upstream)
			}
		}
	}
}

func (v *validator) steps(owner string, steps []Step) {
	for i, s := range steps {
		if s.Phase < PhasePre || s.Phase > PhaseForward {
			v.fail("%s: step %d (%s): phase %d does not exist", owner, i, s.Slot, s.Phase)
		}
		v.one(place{owner, "step", i, s.Slot}, s.set()...)
		if s.Mirror != nil {
			v.upstreamNamed(owner, s.Mirror.Upstream)
		}
		if s.AuthSet != nil {
			for j, m := range s.AuthSet.Methods {
				v.one(place{owner, "method", j, m.Name}, m.set()...)
			}
			for _, name := range s.AuthSet.Upstreams() {
				v.upstreamNamed(owner, name)
			}
		}
		if s.Authorization != nil {
			for _, name := range s.Authorization.Upstreams() {
				v.upstreamNamed(owner, name)
			}
		}
		if s.Path != nil {
			v.one(place{owner, "path of step", i, s.Slot}, s.Path.set()...)
		}
	}
}

func (v *validator) upstream(name string, u *Upstream) {
	if u.Name != name {
		v.fail("upstream %q is filed under %q", u.Name, name)
	}
	v.steps(name, u.Steps)
	if u.Credential != nil {
		v.credential(name, u.Credential)
	}
	for _, tier := range u.Tiers {
		for _, member := range tier {
			v.upstreamNamed(name, member.Upstream)
			if m := v.c.Upstreams[member.Upstream]; m != nil && len(m.Tiers) > 0 {
				v.fail("upstream %q: member %q has tiers of its own", name, member.Upstream)
			}
		}
	}
}

func (v *validator) upstreamNamed(owner, name string) {
	if v.c.Upstreams[name] == nil {
		v.fail("%s: upstream %q does not exist", owner, name)
	}
}

// place says where a union is; it becomes text only where that is wrong.
type place struct {
	owner, what string
	index       int
	slot        string
}

func (p place) String() string {
	if p.slot == "" {
		return fmt.Sprintf("%s: %s %d", p.owner, p.what, p.index)
	}
	return fmt.Sprintf("%s: %s %d (%s)", p.owner, p.what, p.index, p.slot)
}

// one checks that exactly one alternative of a union is set.
func (v *validator) one(at place, set ...bool) {
	n := 0
	for _, s := range set {
		if s {
			n++
		}
	}
	if n != 1 {
		v.fail("%v: %d alternatives set, want exactly one", at, n)
	}
}

func (a Action) set() []bool {
	return []bool{a.Forward != nil, a.Models != nil, a.Redirect != nil, a.Direct != nil, a.Closed != nil}
}

func (s Step) set() []bool {
	return []bool{
		s.JWT != nil, s.AuthSet != nil, s.ClaimRules != nil, s.AccessRules != nil, s.Authorization != nil, s.Transform != nil, s.CORS != nil, s.Headers != nil, s.Path != nil, s.Host != nil,
		s.Mirror != nil, s.BodyLimit != nil, s.Buffer != nil, s.Timeouts != nil, s.Retry != nil,
		s.Upgrade != nil, s.LLM != nil, s.BodyEdit != nil, s.Direct != nil, s.Closed != nil,
	}
}

func (p PathRewrite) set() []bool {
	return []bool{p.Full != nil, p.Prefix != nil, p.Segments != nil, p.Regex != nil}
}

func (m AuthMethod) set() []bool {
	return []bool{m.APIKey != nil, m.Basic != nil, m.Verified != nil, m.Token != nil, m.External != nil}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
