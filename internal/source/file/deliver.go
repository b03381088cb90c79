package file

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

// ordered returns the files in the order of the paths, and by name.
func (s *Source) ordered() []*file {
	out := make([]*file, 0, len(s.files))
	for _, f := range s.files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.root, b.root), strings.Compare(a.path, b.path))
	})
	return out
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

// update makes the update from what was last delivered to what the files hold
// now, and puts new secrets into the store. It is nil if nothing differs.
func (s *Source) update() *source.Update {
	problems := slices.Clone(s.found.problems)
	kept := map[resource.Key]*resource.Object{}
	owners := map[owner]*file{}
	files := s.ordered()
	for _, f := range files {
		problems = append(problems, f.problems...)
		for _, o := range f.good.Objects {
			if first := kept[o.Key]; first != nil {
				problems = append(problems, resource.Doubled(o, first))
				continue
			}
			kept[o.Key] = o
			if len(f.good.Secrets) > 0 {
				owners[owner{o.GroupKind.String(), o.Namespace, o.Name}] = f
			}
		}
	}
	u := &source.Update{Problems: problems}
	newBytes := s.putSecrets(files, owners, u)
	changed, removed := s.differences(kept)
	if len(changed)+len(removed) > 0 {
		s.set = s.set.With(changed, removed)
		u.Set = s.set
	}
	if u.Set == nil && !newBytes && len(u.Dropped) == 0 && slices.Equal(problems, s.problems) {
		return nil
	}
	s.problems = problems
	return u
}

// differences returns how the objects differ from those last delivered.
func (s *Source) differences(kept map[resource.Key]*resource.Object) (changed []*resource.Object, removed []resource.Key) {
	for _, k := range s.set.Differs(kept) {
		if o := kept[k]; o != nil {
			changed = append(changed, o)
		} else {
			removed = append(removed, k)
		}
	}
	return changed, removed
}

// putSecrets puts the bytes of all kept objects into the store, and reports
// whether any were new. Those that are no longer there go into u.Dropped.
func (s *Source) putSecrets(files []*file, owners map[owner]*file, u *source.Update) bool {
	values := map[secret.Ref]secret.Value{}
	for _, f := range files {
		for ref, v := range f.good.Secrets {
			if owners[owner{ref.Kind, ref.Namespace, ref.Name}] == f {
				values[ref] = v
			}
		}
	}
	for ref := range s.refs {
		if _, ok := values[ref]; !ok {
			u.Dropped = append(u.Dropped, ref)
			delete(s.refs, ref)
		}
	}
	slices.SortFunc(u.Dropped, func(a, b secret.Ref) int { return strings.Compare(a.String(), b.String()) })
	for ref := range values {
		s.refs[ref] = true
	}
	return s.cfg.Store.Put(values)
}
