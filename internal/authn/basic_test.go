package authn_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func withPassword(user, password string) *authn.Request {
	return &authn.Request{Header: http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}}
}

// basicUsers are the example of Gloo's documentation, hashes that openssl
// made, and some that cannot be used.
func basicUsers() (*secret.Store, *ir.BasicAuth) {
	store := secret.NewStore()
	cfg := &ir.BasicAuth{Realm: `gloo "x"`, UserHeader: "x-user-id"}
	add := func(name, algorithm, salt, hash string) {
		ref := secret.Ref{Kind: "AuthConfig", Name: "c", Key: name}
		if hash != "" {
			store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte(hash))})
		}
		cfg.Users = append(cfg.Users, ir.BasicUser{Name: name, Algorithm: algorithm, Salt: salt, Hash: ref})
	}
	add("user", "apr1", "TYiryv0/", "8BvzLUO9IfGPGGsPnAgSu1") // password
	add("long", "apr1", "saltsalt", "$apr1$saltsalt$"+longHash)
	add("empty", "apr1", "s", emptyHash)
	add("sha", "sha1", "", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=")              // password
	add("hex", "sha1", "pepper", "0b8ca7a4bb5a3a8ed5e0c6de7a0c2a5ef2a8d1b1") // of nothing known
	add("broken", "apr1", "abc", "not a hash")
	add("gone", "apr1", "abc", "")
	return store, cfg
}

const (
	longPassword = "correct horse battery staple, correct horse battery staple"
	longHash     = "QvFSLYRnLiMcMa6giSvLX1"
	emptyHash    = "e2aCb9PLCjZ2t55SoAxXn."
)

func newBasic(t testing.TB, cache *authn.TokenCache) *authn.Basic {
	t.Helper()
	store, cfg := basicUsers()
	b, err := authn.NewBasic("b", cfg, authn.Deps{Store: store, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func badPasswords() []authntest.Sample {
	var out []authntest.Sample
	add := func(name string, r *authn.Request, secrets ...string) {
		out = append(out, authntest.Sample{Name: name, Request: r, Secrets: secrets})
	}
	for _, user := range []string{"user", "sha", "long", "nobody", "User", "", "gone", "broken", "hex", "user "} {
		for _, password := range []string{"", "passwor", "password ", "Password", "passworD", "password\x00", longPassword + ".", "8BvzLUO9IfGPGGsPnAgSu1", "$apr1$TYiryv0/$8BvzLUO9IfGPGGsPnAgSu1", strings.Repeat("p", 300)} {
			add(fmt.Sprintf("%s:%.20s", user, password), withPassword(user, password), password+"\x00never")
		}
	}
	for name, value := range map[string]string{
		"no scheme": "dXNlcjpwYXNzd29yZA==", "Bearer": "Bearer dXNlcjpwYXNzd29yZA==", "not base64": "Basic user:password",
		"no colon": "Basic dXNlcg==", "cut": "Basic dXNlcjpwYXNzd29yZA", "empty": "Basic ", "blank": "",
	} {
		add(name, &authn.Request{Header: http.Header{"Authorization": {value}}}, "dXNlcjpwYXNzd29yZA")
	}
	twice := withPassword("user", "password")
	twice.Header.Add("Authorization", twice.Header.Get("Authorization"))
	add("twice", twice)
	return out
}

func TestBasicSuite(t *testing.T) {
	for name, cache := range map[string]*authn.TokenCache{"without cache": nil, "with cache": authn.NewTokenCache(64)} {
		t.Run(name, func(t *testing.T) {
			authntest.Run(t, authntest.Member{
				New: func(t *testing.T) authn.Authenticator { return newBasic(t, cache) },
				Good: []authntest.Sample{
					{Name: "Gloo's example", Request: withPassword("user", "password"), Subject: "user"},
					{Name: "long", Request: withPassword("long", longPassword), Subject: "long"},
					{Name: "empty password", Request: withPassword("empty", ""), Subject: "empty"},
					{Name: "sha1", Request: withPassword("sha", "password"), Subject: "sha"},
					{Name: "any case", Request: &authn.Request{Header: http.Header{"Authorization": {"bAsIc dXNlcjpwYXNzd29yZA=="}}}, Subject: "user"},
				},
				Bad: badPasswords(), Sanitize: []string{"X-User-Id"},
			})
		})
	}
}

func TestBasicAnswerAndProblems(t *testing.T) {
	b := newBasic(t, nil)
	for _, r := range []*authn.Request{{}, withPassword("user", "x"), withPassword("nobody", "x")} {
		_, err := b.Authenticate(t.Context(), r)
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != 401 || f.Text != "" || f.Header.Get("WWW-Authenticate") != `Basic realm="gloo \"x\""` {
			t.Errorf("%+v", err)
		}
	}
	var names []string
	for _, p := range b.Problems() {
		names = append(names, p.What)
	}
	if len(names) != 2 || !strings.Contains(names[0], "broken") || !strings.Contains(names[1], "gone") {
		t.Errorf("%q", names)
	}
}

// Row 5: what is remembered of a password ends with its hash.
func TestBasicForgetsChangedHashes(t *testing.T) {
	store, cfg := basicUsers()
	cache := authn.NewTokenCache(64)
	b, err := authn.NewBasic("b", cfg, authn.Deps{Store: store, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	good := withPassword("user", "password")
	for range 2 {
		if _, err := b.Authenticate(t.Context(), good); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := cache.Len(); n != 1 {
		t.Errorf("%d entries", n)
	}
	store.Put(map[secret.Ref]secret.Value{cfg.Users[0].Hash: secret.NewValue([]byte(longHash))})
	if _, err := b.Authenticate(t.Context(), good); err == nil {
		t.Error("the old password lives on")
	}
	store.Drop([]secret.Ref{cfg.Users[0].Hash})
	if _, err := b.Authenticate(t.Context(), good); err == nil {
		t.Error("a user without a hash gets in")
	}
}

func TestBasicConfigurationIsChecked(t *testing.T) {
	for name, cfg := range map[string]*ir.BasicAuth{
		"algorithm": {Users: []ir.BasicUser{{Name: "u", Algorithm: "md5"}}},
		"salt":      {Users: []ir.BasicUser{{Name: "u", Algorithm: "apr1", Salt: "123456789"}}},
		"no salt":   {Users: []ir.BasicUser{{Name: "u", Algorithm: "apr1"}}},
		"colon":     {Users: []ir.BasicUser{{Name: "u:v", Algorithm: "sha1"}}},
		"control":   {Users: []ir.BasicUser{{Name: "u\n", Algorithm: "sha1"}}},
		"twice":     {Users: []ir.BasicUser{{Name: "u", Algorithm: "sha1"}, {Name: "u", Algorithm: "sha1"}}},
		"realm":     {Realm: "a\r\nb"},
		"header":    {UserHeader: "a b"},
	} {
		if _, err := authn.NewBasic("b", cfg, authn.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// SecurityRow17: that a user exists is not told by the time it takes.
func TestSecurityRow17BasicTiming(t *testing.T) {
	store, cfg := basicUsers()
	cfg.Users = cfg.Users[:3] // all of one algorithm
	b, err := authn.NewBasic("b", cfg, authn.Deps{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	even(t, b, 0.15, map[string]*authn.Request{
		"known, wrong password": withPassword("user", "passwore"),
		"unknown":               withPassword("uses", "passwore"),
		"unknown, long name":    withPassword("nobody-of-that-name", "password"),
	})
}

func BenchmarkBasic(b *testing.B) {
	good := withPassword("user", "password")
	for name, cache := range map[string]*authn.TokenCache{"hashed": nil, "remembered": authn.NewTokenCache(64)} {
		a := newBasic(b, cache)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), good); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
