package authn

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// MethodBasic is the Method of an identity that a password proved.
const MethodBasic = "basic"

// Bounds on what is hashed: the work of apr1 grows with it.
const (
	maxUserName = 256
	maxPassword = 256
)

// Basic authenticates by user name and password (RFC 7617), against salted
// hashes. An unknown user costs the hashing that a known one does. A good
// password is remembered, beside the tokens that were verified; what bad ones
// cost is bounded by how many are hashed at one time.
type Basic struct {
	name     string
	users    []ir.BasicUser
	file     secret.Ref // zero: none
	origin   ir.Origin  // of the file
	user     string     // header
	sanitize []string
	refused  [2]*Failure // wrong; missing
	cache    *TokenCache
	clock    func() time.Time
	key      []byte // of the digests in the cache, and of the choice of decoys
	config   [sha256.Size]byte
	places   chan struct{}

	table  atomic.Pointer[userTable]
	follow *secret.Follower
}

var _ Authenticator = (*Basic)(nil)

// userTable is what the hashes' bytes came to.
type userTable struct {
	users map[string]*basicUser
	// decoys stand for unknown users: one of each algorithm that is in use.
	decoys  []*basicUser
	version [sha256.Size]byte // of the bytes
	faults  []status.Problem
}

type basicUser struct {
	hash passwordHash
	want []byte
}

var basicConsumed = []Location{{Header: "Authorization"}}

// NewBasic makes cfg ready, and follows its hashes in deps.Store. name is how
// identities refer to it.
func NewBasic(name string, cfg *ir.BasicAuth, deps Deps) (*Basic, error) {
	b := &Basic{
		name: name, users: cfg.Users, file: cfg.File, origin: cfg.Origin, cache: deps.Cache, clock: deps.Clock, key: make([]byte, sha256.Size),
		places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	if b.clock == nil {
		b.clock = time.Now
	}
	if err := checkUsers(cfg.Users); err != nil {
		return nil, err
	}
	if cfg.UserHeader != "" {
		if !validHeaderName(cfg.UserHeader) {
			return nil, fmt.Errorf("%q is no header name", cfg.UserHeader)
		}
		b.user = http.CanonicalHeaderKey(cfg.UserHeader)
		b.sanitize = []string{b.user}
	}
	if !validHeaderValue(cfg.Realm) {
		return nil, errors.New("the realm holds a control byte")
	}
	h := http.Header{"Www-Authenticate": {"Basic realm=" + quotedString(cfg.Realm)}}
	b.refused[0] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("user or password is wrong")}
	b.refused[1] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("there is no user and password"), Missing: true}
	_, _ = rand.Read(b.key) // never fails, by its documentation
	text, err := json.Marshal([]any{name, cfg})
	if err != nil {
		return nil, err
	}
	b.config = sha256.Sum256(text)
	b.follow = secret.Follow(deps.Store, len(cfg.Users)+1, func(i int) secret.Ref {
		if i == len(cfg.Users) {
			return cfg.File
		}
		return cfg.Users[i].Hash
	}, b.update)
	return b, nil
}

func checkUsers(users []ir.BasicUser) error {
	seen := map[string]bool{}
	for _, u := range users {
		if u.Name == "" || strings.Contains(u.Name, ":") || len(u.Name) > maxUserName || !validHeaderValue(u.Name) || seen[u.Name] {
			return fmt.Errorf("user %q: the name is malformed or doubled", u.Name)
		}
		seen[u.Name] = true
		if _, err := newPasswordHash(u.Algorithm, u.Salt); err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
	}
	return nil
}

// quotedString is a quoted-string of RFC 9110 section 5.6.4.
func quotedString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// update makes the table anew. A hash that is missing or malformed takes its
// user out, and nobody else.
func (b *Basic) update(_ []int, read secret.Read) {
	t := &userTable{users: map[string]*basicUser{}}
	decoys := map[string]*basicUser{"": {}}
	sum := sha256.New()
	for i := range b.users {
		u := &b.users[i]
		v, _ := read(i)
		fmt.Fprintf(sum, "%d:%s", len(v.Reveal()), v.Reveal())
		h, _ := newPasswordHash(u.Algorithm, u.Salt)
		want, err := h.parse(string(v.Reveal()))
		if err != nil {
			t.faults = append(t.faults, status.Errorf(u.Origin, "user %q is let in by no password: %v", u.Name, err).Fix("correct the hash"))
			continue
		}
		t.users[u.Name] = &basicUser{h, want}
		decoys[u.Algorithm] = &basicUser{h, make([]byte, len(want))}
	}
	if !b.file.IsZero() {
		v, _ := read(len(b.users))
		fmt.Fprintf(sum, "%d:%s", len(v.Reveal()), v.Reveal())
		b.readFile(t, decoys, v)
	}
	if delete(decoys, ""); len(decoys) == 0 {
		decoys["apr1"] = &basicUser{passwordHash{"apr1", "00000000"}, make([]byte, apr1Len)}
	}
	for _, algorithm := range slices.Sorted(maps.Keys(decoys)) {
		t.decoys = append(t.decoys, decoys[algorithm])
	}
	copy(t.version[:], sum.Sum(nil))
	b.table.Store(t)
}

// Problems tells which users no password lets in, and why.
func (b *Basic) Problems() []status.Problem { return b.table.Load().faults }

// SanitizeHeaders is what every Result's Sanitize holds.
func (b *Basic) SanitizeHeaders() []string { return b.sanitize }

// InputHeaders are the headers that may hold the credential.
func (b *Basic) InputHeaders() []string { return []string{"Authorization"} }

// Spare tells of a user and password in a request that passed without it.
func (b *Basic) Spare(r *Request) []Location {
	if _, _, ok := basicCredentials(r); !ok {
		return nil
	}
	return basicConsumed
}

// Authenticate compares the password that r carries. It may wait for its turn
// to hash.
func (b *Basic) Authenticate(ctx context.Context, r *Request) (Result, error) {
	user, password, ok := basicCredentials(r)
	if !ok {
		missing := 1
		if len(r.values("Authorization")) > 0 {
			missing = 0
		}
		return Result{}, b.refused[missing]
	}
	t := b.table.Load()
	key := cacheKey{token: b.mac(user, password), config: b.config, keys: t.version}
	if b.cache != nil {
		if v := b.cache.get(key, b.clock()); v != nil {
			return b.result(v), nil
		}
	}
	select {
	case b.places <- struct{}{}:
		defer func() { <-b.places }()
	case <-ctx.Done():
		return Result{}, &Failure{Status: http.StatusServiceUnavailable, Header: noHeader, Unavailable: true, Cause: ctx.Err()}
	}
	known := t.users[user]
	against := known
	if known == nil {
		choice := b.mac(user, "")
		against = t.decoys[int(choice[0])%len(t.decoys)]
	}
	if subtle.ConstantTimeCompare(against.hash.of(password), against.want) != 1 || known == nil {
		return Result{}, b.refused[0]
	}
	v := &verified{identities: []Identity{{Provider: b.name, Method: MethodBasic, Subject: user}}, expires: never, size: len(user)}
	if b.user != "" {
		v.set = []HeaderSet{{Name: b.user, Value: user}}
	}
	if b.cache != nil {
		b.cache.put(key, v, b.clock())
	}
	return b.result(v), nil
}

func (b *Basic) result(v *verified) Result {
	return Result{Identities: v.identities, Set: v.set, Consumed: basicConsumed, Sanitize: b.sanitize}
}

// mac stands for a user and password. Passwords are guessable, so their bare
// hash would be as good as they are.
func (b *Basic) mac(user, password string) (d [sha256.Size]byte) {
	m := hmac.New(sha256.New, b.key)
	fmt.Fprintf(m, "%d:%s%s", len(user), user, password)
	m.Sum(d[:0])
	return d
}

// basicCredentials reads the user-id and password (RFC 7617 section 2). Of two
// Authorization headers, neither counts.
func basicCredentials(r *Request) (user, password string, ok bool) {
	values := r.values("Authorization")
	if len(values) != 1 {
		return "", "", false
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	if err != nil || len(b) > maxUserName+1+maxPassword {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(b), ":")
	return user, password, ok && len(user) <= maxUserName && len(password) <= maxPassword
}
