package kube

import (
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// entry is one object as it was decoded.
type entry struct {
	object *resource.Object // nil: it was not understood
	refs   map[secret.Ref]bool
	// values are the bytes of refs until they are delivered: then the Store
	// alone has them.
	values   map[secret.Ref]secret.Value
	problems []status.Problem
	// lean says of a Secret that its bytes were not kept.
	lean bool
	// broken says that it cannot even be told what the object concerns.
	broken bool
}

// update makes the update from what was last delivered to what has arrived
// since, and puts new secrets into the Store. It is nil if nothing differs.
func (s *Source) update() *source.Update {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[resource.Key]*entry{}
	own := s.ownLocked()
	s.held = nil
	s.mu.Unlock()

	e := edit{values: map[secret.Ref]secret.Value{}}
	for k, now := range pending {
		s.take(&e, k, now)
	}
	u := &source.Update{Problems: append(own, s.told()...)}
	newBytes := s.cfg.Store.Put(e.values)
	s.secrets.put(e.values)
	u.Dropped = e.dropped
	slices.SortFunc(u.Dropped, func(a, b secret.Ref) int { return strings.Compare(a.String(), b.String()) })
	if s.first || len(e.changed)+len(e.removed) > 0 {
		s.set = s.set.With(e.changed, e.removed)
		u.Set = s.set
	}
	if a := s.access(); !s.known.Same(a) {
		s.set, s.known = s.set.WithAccess(a), a
		u.Set = s.set
	}
	if u.Set == nil && !newBytes && len(u.Dropped) == 0 && slices.Equal(u.Problems, s.problems) {
		return nil
	}
	if s.first {
		s.first = false
		s.report()
	}
	s.problems = u.Problems
	return u
}

// edit is what an update changes.
type edit struct {
	changed []*resource.Object
	removed []resource.Key
	values  map[secret.Ref]secret.Value
	dropped []secret.Ref
}

// take makes now what is delivered for a key; nil removes it.
func (s *Source) take(e *edit, k resource.Key, now *entry) {
	old := s.delivered[k]
	if old == nil {
		old = &entry{}
	}
	if now == nil {
		now = &entry{}
	} else if now.broken {
		now = &entry{object: old.object, refs: old.refs, problems: now.problems, lean: old.lean}
	}
	switch {
	case now.object == old.object:
	case now.object == nil:
		e.removed = append(e.removed, k)
	case old.object != nil && now.object.Says(old.object):
		if now.object.Generation == old.object.Generation {
			now.object = old.object
			break
		}
		now.object = old.object.Renewed(now.object) // for its status
		e.changed = append(e.changed, now.object)
	default:
		e.changed = append(e.changed, now.object)
	}
	for ref := range old.refs {
		if !now.refs[ref] {
			e.dropped = append(e.dropped, ref)
		}
	}
	maps.Copy(e.values, now.values)
	now.values = nil
	s.deliver(k, now)
	s.secrets.take(k, now)
}

// deliver makes an entry what was delivered for a key.
func (s *Source) deliver(k resource.Key, now *entry) {
	s.delivered[k], s.wrong[k] = now, now.problems
	if len(now.problems) == 0 {
		delete(s.wrong, k)
	}
	if now.object == nil && len(now.problems) == 0 {
		delete(s.delivered, k)
	}
}

// allProblems returns what is wrong with the objects and with reading them.
func (s *Source) allProblems() []status.Problem {
	s.mu.Lock()
	own := s.ownLocked()
	s.mu.Unlock()
	return append(own, s.told()...)
}

// access returns what is known of the reading of Secrets.
func (s *Source) access() *resource.Access {
	a := &resource.Access{Foreign: s.cfg.ForeignSecrets}
	if n := namespaces(s.cfg.SecretNamespaces); !slices.Contains(n, "") {
		a.Namespaces = append([]string{}, n...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.placesLocked() {
		if p.GroupKind == resource.SecretKind && s.watches[p].denied != nil && !slices.Contains(a.Denied, p.namespace) {
			a.Denied = append(a.Denied, p.namespace)
		}
	}
	return a
}

// told returns the problems of the objects, in the order of their keys.
func (s *Source) told() []status.Problem {
	var out []status.Problem
	for _, k := range slices.SortedFunc(maps.Keys(s.wrong), resource.Key.Compare) {
		out = append(out, s.wrong[k]...)
	}
	return out
}

// ownLocked returns the problems of reading itself. Their words stay the same
// while their cause does.
func (s *Source) ownLocked() []status.Problem {
	server := ir.Origin{Kind: "API server", Name: s.api.host}
	var out []status.Problem
	if why := awayFor(s.away); why != "" {
		p := status.Warningf(server, "it %s; what it held last is served", why).Fix("see the log for the reason")
		if apierrors.IsUnauthorized(s.away) {
			p = p.Fix("renew its token or certificate; what stands in the kubeconfig itself is read at the start alone")
		}
		out = append(out, p)
	}
	for _, p := range s.placesLocked() {
		switch w := s.watches[p]; {
		case w.denied == nil:
		case p.GroupKind == resource.SecretKind:
			out = append(out, status.Errorf(server, "%v may not be read, so whatever needs them is closed", p).
				Fix("grant list and watch of secrets there, or leave the namespace out of --secret-namespaces"))
		default:
			out = append(out, status.Errorf(server, "%v may not be read; what it held last is served", p).Fix("grant list and watch of it"))
		}
	}
	return out
}

func (s *Source) reads(gk resource.GroupKind) bool {
	return slices.ContainsFunc(s.cfg.Kinds, func(k resource.Kind) bool { return k.GroupKind == gk })
}
