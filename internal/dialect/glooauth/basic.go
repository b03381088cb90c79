package glooauth

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// defaultRealm is the product's.
const defaultRealm = "gloo"

// basic reads basicAuth: apr with users, or encryption with userList.
func (r *reader) basic(at string, s *BasicAuth) *ir.BasicAuth {
	out := &ir.BasicAuth{Realm: cmp.Or(s.Realm, defaultRealm), UserHeader: r.opts.UserHeader}
	if strings.ContainsFunc(out.Realm, func(c rune) bool { return c < ' ' || c == 0x7f || c == '"' || c == '\\' }) {
		r.fail(at+".realm", "write plain words", "the realm holds a quote, backslash or control character")
	}
	list, algorithm, where := s.APR, "apr1", at+".apr"
	if list == nil {
		list, where = s.UserList, at+".userList"
		e := s.Encryption
		switch {
		case e == nil || (e.APR == nil) == (e.SHA1 == nil):
			r.fail(at+".encryption", "write apr or sha1", "nothing says how the passwords are hashed, or two things do")
		case e.SHA1 != nil:
			algorithm = "sha1"
		}
	} else if s.Encryption != nil || s.UserList != nil {
		r.fail(at, "keep encryption with userList", "apr and encryption with userList exclude each other")
	}
	if list == nil || len(list.Users) == 0 {
		r.fail(where, "write users", "there are no users, so nobody could be let in")
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(list.Users)) {
		u := list.Users[name]
		if name == "" || strings.Contains(name, ":") {
			r.fail(where+".users", "name each user, without a colon", "a user's name is empty or holds a colon")
		}
		if u.HashedPassword.IsZero() {
			r.fail(where+".users."+name, "write hashedPassword", "the user has no password")
		}
		out.Users = append(out.Users, ir.BasicUser{Name: name, Algorithm: algorithm, Salt: u.Salt, Hash: u.HashedPassword})
	}
	return out
}
