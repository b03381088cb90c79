package kube

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
)

// watch begins and ends watches of Secrets as they are wanted, and waits until
// the new ones have been read.
func (s *secrets) watch(ctx context.Context, d *resource.Demand) {
	if s.none {
		return
	}
	want := s.places(d)
	begun := false
	for p := range want {
		s.src.mu.Lock()
		there := s.src.watches[p] != nil
		seen := s.src.coveredLocked(p)
		s.src.mu.Unlock()
		if there {
			continue
		}
		begun = true
		w := s.src.begin(ctx, p, secretResource, seen)
		s.src.mu.Lock()
		s.src.watches[p] = w
		s.src.mu.Unlock()
	}
	if begun {
		s.settle(ctx)
	}
	s.retire(want)
}

// places returns what is to be watched: a namespace as a whole where Secrets
// are wanted by label, or many by name, and where it is watched already.
func (s *secrets) places(d *resource.Demand) map[place]bool {
	names := map[string][]place{}
	for k := range d.Names() {
		scope, ok := s.scope(k.Namespace, d)
		if ok {
			names[scope] = append(names[scope], place{resource.SecretKind, k.Namespace, k.Name})
		}
	}
	scopes := namespaces(s.src.cfg.SecretNamespaces)
	if s.apart(d) {
		scopes = slices.Sorted(maps.Keys(names))
	}
	want := map[place]bool{}
	for _, scope := range scopes {
		whole := place{GroupKind: resource.SecretKind, namespace: scope}
		s.src.mu.Lock()
		watched := s.src.watches[whole] != nil
		s.src.mu.Unlock()
		if watched || d.Broad() || len(names[scope]) > fewSecrets {
			want[whole] = true
			continue
		}
		for _, p := range names[scope] {
			want[p] = true
		}
	}
	return want
}

// apart reports whether all namespaces are permitted, and each is watched for
// itself.
func (s *secrets) apart(d *resource.Demand) bool {
	return s.src.cfg.Referred && (d == nil || !d.Broad()) && slices.Contains(namespaces(s.src.cfg.SecretNamespaces), "")
}

// scope returns the permitted scope that a namespace is in: itself, or all.
func (s *secrets) scope(namespace string, d *resource.Demand) (string, bool) {
	if s.apart(d) {
		return namespace, true
	}
	for _, n := range namespaces(s.src.cfg.SecretNamespaces) {
		if n == "" || n == namespace {
			return n, true
		}
	}
	return "", false
}

// coveredLocked returns what other watches have seen of a place of Secrets.
func (s *Source) coveredLocked(p place) map[resource.Key]string {
	seen := map[resource.Key]string{}
	for q, w := range s.watches {
		if q.within(p) {
			maps.Copy(seen, w.seen)
		}
	}
	return seen
}

// within reports whether p is a single object of q.
func (p place) within(q place) bool {
	return p.GroupKind == q.GroupKind && p.name != "" && q.name == "" && (q.namespace == "" || q.namespace == p.namespace)
}

// retire ends the watches that are not wanted. Where another has taken over,
// it ends them once that has been read; otherwise their objects are gone.
func (s *secrets) retire(want map[place]bool) {
	s.src.mu.Lock()
	var ended []*watch
	for p, w := range s.src.watches {
		if p.GroupKind != resource.SecretKind || want[p] {
			continue
		}
		by := s.src.takenOverLocked(p)
		if by != nil && !by.synced {
			continue
		}
		ended = append(ended, w)
		delete(s.src.watches, p)
	}
	s.src.mu.Unlock()
	for _, w := range ended {
		w.stop()
		s.src.mu.Lock()
		if s.src.takenOverLocked(w.place) == nil {
			for k := range maps.Clone(w.seen) {
				w.dropLocked(k)
			}
		}
		s.src.mu.Unlock()
	}
}

// takenOverLocked returns the watch of what a place is a part of, or nil.
func (s *Source) takenOverLocked(p place) *watch {
	for q, w := range s.watches {
		if p.within(q) {
			return w
		}
	}
	return nil
}

// settle waits until every watch of Secrets has been read or refused.
func (s *secrets) settle(ctx context.Context) {
	defer s.src.signal() // what else has come is delivered later
	var limit <-chan time.Time
	if s.ready {
		t := time.NewTimer(supplyLimit)
		defer t.Stop()
		limit = t.C
	}
	for !s.settled() {
		select {
		case <-ctx.Done():
			return
		case <-limit:
			return
		case <-s.src.dirty:
		}
	}
}

func (s *secrets) settled() bool {
	s.src.mu.Lock()
	defer s.src.mu.Unlock()
	for p, w := range s.src.watches {
		if p.GroupKind == resource.SecretKind && !w.synced && w.denied == nil {
			return false
		}
	}
	return true
}
