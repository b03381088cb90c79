package deploy

import (
	"reflect"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// secretNeeds tells of which namespaces each Gateway needs Secrets: the others
// its pods may not read. Whoever may start pods in a Gateway's namespace may
// act as its pods do.
type secretNeeds struct {
	config *ir.Config
	needs  map[string]map[string]bool // Gateway → namespaces
	// found are the needs of routes and upstreams: what is the same pointer is
	// the same thing.
	found map[any]*need
}

// need is what a piece of configuration leads to.
type need struct {
	namespaces map[string]bool
	upstreams  map[string]bool // by name; their own needs apart
}

// has reports whether a Gateway needs Secrets of a namespace.
func (s secretNeeds) has(gateway, namespace string) bool { return s.needs[gateway][namespace] }

// look brings the needs in line with a configuration.
func (s *secretNeeds) look(c *ir.Config) {
	if c == nil || c == s.config {
		return
	}
	next := secretNeeds{config: c, needs: map[string]map[string]bool{}, found: map[any]*need{}}
	visited := map[string]map[string]bool{} // upstreams, by Gateway
	for _, l := range c.Listeners {
		if next.needs[l.Gateway] == nil {
			next.needs[l.Gateway], visited[l.Gateway] = map[string]bool{}, map[string]bool{}
		}
		add := func(n *need) { next.add(next.needs[l.Gateway], visited[l.Gateway], n, s) }
		own := *l
		own.Hosts, own.Otherwise = nil, nil
		add(needOf(own))
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				add(next.of(r, s))
			}
		}
		if l.Otherwise != nil {
			add(next.of(l.Otherwise, s))
		}
	}
	*s = next
}

// of returns the need of a piece that is a pointer, as it was if it was there
// before.
func (s *secretNeeds) of(piece any, before *secretNeeds) *need {
	n := s.found[piece]
	if n == nil {
		n = before.found[piece]
	}
	if n == nil {
		n = needOf(piece)
	}
	s.found[piece] = n
	return n
}

// add adds a need to those of a Gateway, and those of the upstreams that it
// leads to.
func (s *secretNeeds) add(all, visited map[string]bool, n *need, before *secretNeeds) {
	for name := range n.namespaces {
		all[name] = true
	}
	for name := range n.upstreams {
		if u := s.config.Upstreams[name]; u != nil && !visited[name] {
			visited[name] = true
			s.add(all, visited, s.of(u, before), before)
		}
	}
}

// needOf walks through a piece of configuration, whatever it is made of: a
// reference that it does not find would be a credential that is not there.
func needOf(v any) *need {
	n := &need{namespaces: map[string]bool{}, upstreams: map[string]bool{}}
	n.walk(reflect.ValueOf(v))
	return n
}

func (n *need) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			n.walk(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			n.walk(v.Index(i))
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			n.walk(k)
			n.walk(e)
		}
	case reflect.Struct:
		n.structure(v)
	}
}

// structure looks for references, and for names of upstreams, which all fields
// of the model are called that hold one.
func (n *need) structure(v reflect.Value) {
	if v.Type() == reflect.TypeFor[secret.Ref]() {
		if namespace := v.FieldByName("Namespace").String(); namespace != "" && v.FieldByName("Kind").String() == "Secret" {
			n.namespaces[namespace] = true
		}
		return
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.String && v.Type().Field(i).Name == "Upstream" {
			n.upstreams[f.String()] = true
			continue
		}
		n.walk(f)
	}
}
