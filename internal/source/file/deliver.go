package file

import (
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// ordered returns the files in the order of the paths, and by name.
func (s *Source) ordered() []*file {
	return slices.SortedFunc(maps.Values(s.files), (*file).compare)
}

// deliver applies what has changed, if anything has.
func (s *Source) deliver(apply func(source.Update)) {
	u := s.update()
	if u == nil {
		return
	}
	apply(*u)
}

// owner is an object in the words of a secret.Ref.
type owner struct{ kind, namespace, name string }

func ownerOf(k resource.Key) owner { return owner{k.GroupKind.String(), k.Namespace, k.Name} }

// update makes the update from what was last delivered to what the files hold
// now, and puts new secrets into the store. It is nil if nothing differs.
func (s *Source) update() *source.Update {
	e := s.claims.apply(s.files, s.was)
	s.was = map[string]resource.Result{}
	u := &source.Update{Problems: s.told()}
	newBytes := s.putSecrets(e, u)
	changed, removed := s.differences(e)
	if len(changed)+len(removed) > 0 {
		s.set = s.set.With(changed, removed)
		u.Set = s.set
	}
	if u.Set == nil && !newBytes && len(u.Dropped) == 0 && slices.Equal(u.Problems, s.problems) {
		return nil
	}
	s.problems = u.Problems
	return u
}

// told returns the problems of the scan, and then those of each file in order.
func (s *Source) told() []status.Problem {
	problems := slices.Clone(s.found.problems)
	var files []*file
	for _, f := range s.files {
		if len(f.problems) > 0 || s.claims.losing[f] > 0 {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, (*file).compare)
	for _, f := range files {
		problems = append(problems, f.problems...)
		if s.claims.losing[f] == 0 {
			continue
		}
		for i, o := range f.good.Objects {
			if first := s.claims.first[o.Key]; first.file != f || first.at != i {
				problems = append(problems, resource.Doubled(o, first.object))
			}
		}
	}
	return problems
}

// differences returns how the objects differ from those last delivered, in the
// order of their keys.
func (s *Source) differences(e edit) (changed []*resource.Object, removed []resource.Key) {
	for k := range e.keys {
		now := s.claims.first[k].object
		switch old := s.set.Get(k); {
		case now == old:
		case now == nil:
			removed = append(removed, k)
		default:
			changed = append(changed, now)
		}
	}
	slices.SortFunc(changed, func(a, b *resource.Object) int { return a.Key.Compare(b.Key) })
	slices.SortFunc(removed, resource.Key.Compare)
	return changed, removed
}

// putSecrets puts the bytes that an edit changed into the store, and reports
// whether any were new. Those that are no longer there go into u.Dropped.
func (s *Source) putSecrets(e edit, u *source.Update) bool {
	holders := make(map[owner]*file, len(e.keys)) // nil: nobody any more
	for k := range e.keys {
		holders[ownerOf(k)] = s.claims.first[k].file
	}
	values := map[secret.Ref]secret.Value{}
	var seen []map[secret.Ref]secret.Value
	for f := range e.files {
		seen = append(seen, f.good.Secrets)
		for ref, v := range f.good.Secrets {
			if holders[owner{ref.Kind, ref.Namespace, ref.Name}] == f {
				values[ref] = v
			}
		}
	}
	dropped := map[secret.Ref]bool{}
	for _, secrets := range append(seen, e.before...) {
		for ref := range secrets {
			if _, touched := holders[owner{ref.Kind, ref.Namespace, ref.Name}]; !touched || dropped[ref] || !s.cfg.Store.Has(ref) {
				continue
			}
			if _, ok := values[ref]; !ok {
				u.Dropped = append(u.Dropped, ref)
				dropped[ref] = true
			}
		}
	}
	slices.SortFunc(u.Dropped, func(a, b secret.Ref) int { return strings.Compare(a.String(), b.String()) })
	return s.cfg.Store.Put(values)
}
