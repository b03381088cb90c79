package file

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// claim is an object at a place in a file. Of several with one key the first
// in the order of the files holds.
type claim struct {
	file   *file
	at     int // among the file's objects
	object *resource.Object
}

func (c claim) compare(d claim) int { return cmp.Or(c.file.compare(d.file), cmp.Compare(c.at, d.at)) }

// compare orders files by the paths that they were found under, and by name.
func (f *file) compare(g *file) int {
	return cmp.Or(cmp.Compare(f.root, g.root), strings.Compare(f.path, g.path))
}

// claims knows who claims each key, as of the last update. It is changed file
// by file: what nobody touched among 100,000 objects costs nothing.
type claims struct {
	first map[resource.Key]claim
	more  map[resource.Key][]claim // of keys with several: all but the first
	// losing counts, for each file, the objects of which another comes first.
	losing map[*file]int
}

func newClaims() claims {
	return claims{first: map[resource.Key]claim{}, more: map[resource.Key][]claim{}, losing: map[*file]int{}}
}

// all returns the claims to a key, the one that holds first.
func (c *claims) all(k resource.Key) []claim {
	first, ok := c.first[k]
	if !ok {
		return nil
	}
	return append([]claim{first}, c.more[k]...)
}

func (c *claims) add(n claim) {
	k := n.object.Key
	if _, ok := c.first[k]; !ok {
		c.first[k] = n
		return
	}
	c.put(k, append(c.all(k), n))
}

// drop takes away what a file claims of a key.
func (c *claims) drop(k resource.Key, path string) {
	if len(c.more[k]) == 0 {
		if c.first[k].file != nil && c.first[k].file.path == path {
			delete(c.first, k)
		}
		return
	}
	c.put(k, slices.DeleteFunc(c.all(k), func(n claim) bool { return n.file.path == path }))
}

// put replaces the claims to a key.
func (c *claims) put(k resource.Key, list []claim) {
	for _, n := range c.more[k] {
		if c.losing[n.file]--; c.losing[n.file] == 0 {
			delete(c.losing, n.file)
		}
	}
	delete(c.more, k)
	delete(c.first, k)
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, claim.compare)
	c.first[k] = list[0]
	if len(list) == 1 {
		return
	}
	c.more[k] = list[1:]
	for _, n := range list[1:] {
		c.losing[n.file]++
	}
}

// edit is what the files changed since the last update.
type edit struct {
	keys map[resource.Key]bool
	// before are the changed files' secrets of then, and files those of now
	// that may have to do with the keys.
	before []map[secret.Ref]secret.Value
	files  map[*file]bool
}

// apply brings the claims up to date with the files that have changed since
// the last update, of which was tells the contents of then.
func (c *claims) apply(files map[string]*file, was map[string]resource.Result) edit {
	e := edit{keys: map[resource.Key]bool{}, files: map[*file]bool{}}
	for path, old := range was {
		e.before = append(e.before, old.Secrets)
		for _, o := range old.Objects {
			for _, n := range c.all(o.Key) {
				e.files[n.file] = true
			}
			c.drop(o.Key, path)
			e.keys[o.Key] = true
		}
	}
	for path := range was {
		f := files[path]
		if f == nil {
			continue
		}
		e.files[f] = true
		for i, o := range f.good.Objects {
			c.add(claim{f, i, o})
			e.keys[o.Key] = true
		}
	}
	for k := range c.more {
		if e.keys[k] {
			for _, n := range c.all(k) {
				e.files[n.file] = true
			}
		}
	}
	for f := range e.files {
		if files[f.path] != f { // forgotten: its secrets are among those before
			delete(e.files, f)
		}
	}
	return e
}
