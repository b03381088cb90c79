package authn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// count is how many hits and misses a call adds.
func count(c *authn.TokenCache, f func()) (hits, misses uint64) {
	h, m := c.Hits(), c.Misses()
	f()
	return c.Hits() - h, c.Misses() - m
}

func TestSecurityRow05EqualBeginnings(t *testing.T) {
	c := authn.NewTokenCache(64)
	j := newJWT(t, authn.Deps{Cache: c}, inline(pemOf(rsaKey().Public())))
	good := rs256("")
	wantText(t, "good", j, bearer(good), "")
	for cut := range 40 {
		r := inQuery(good[:len(good)-1-cut*5] + "AAAAA")
		if _, err := j.Authenticate(t.Context(), r); err == nil {
			t.Errorf("%d letters are enough", len(good)-1-cut*5)
		}
	}
	bob := mint(`{"alg":"RS256","typ":"JWT"}`, `{"iss":"tester","sub":"bob"}`, rsaKey())
	for range 2 {
		got, err := j.Authenticate(t.Context(), bearer(bob))
		if err != nil || got.Identities[0].Subject != "bob" {
			t.Errorf("bob is %+v, %v", got.Identities, err)
		}
	}
}

func TestSecurityRow05Reloads(t *testing.T) {
	c := authn.NewTokenCache(64)
	a, b := jwkOf(rsaKey().Public(), "kid=a"), jwkOf(ecKey().Public(), "kid=b")
	base := inline(jwks(a, b))
	base.Audiences = []string{"x"}
	edit := func(f func(p *ir.JWTProvider)) ir.JWTProvider { p := base; f(&p); return p }
	token := mint(`{"alg":"RS256","kid":"a"}`, `{"iss":"tester","aud":"x"}`, rsaKey())
	wantText(t, "first", newJWT(t, authn.Deps{Cache: c}, base), bearer(token), "")

	tests := []struct {
		name string
		p    ir.JWTProvider
		hit  bool
		want string
	}{
		{"nothing changed", base, true, ""},
		{"moved to another line", edit(func(p *ir.JWTProvider) { p.Origin = ir.Origin{Name: "elsewhere"} }), true, ""},
		{"key removed", edit(func(p *ir.JWTProvider) { p.Keys.Inline = jwks(b) }), false, "Jwks doesn't have key to match kid or alg from Jwt"},
		{"key replaced under its kid", edit(func(p *ir.JWTProvider) { p.Keys.Inline = jwks(jwkOf(otherRSA().Public(), "kid=a")) }), false, "Jwt verification fails"},
		{"another audience", edit(func(p *ir.JWTProvider) { p.Audiences = []string{"y"} }), false, "Audiences in Jwt are not allowed"},
		{"another issuer", edit(func(p *ir.JWTProvider) { p.Issuer = "z" }), false, "Jwt issuer is not configured"},
		{"another name", edit(func(p *ir.JWTProvider) { p.Name = "other" }), false, ""},
		{"kept from now on", edit(func(p *ir.JWTProvider) { p.KeepToken = true }), false, ""},
		{"as before again", base, true, ""},
	}
	for _, tt := range tests {
		j := newJWT(t, authn.Deps{Cache: c}, tt.p)
		hits, misses := count(c, func() { wantText(t, tt.name, j, bearer(token), tt.want) })
		if (hits == 1) != tt.hit || (misses == 0) != tt.hit {
			t.Errorf("%s: %d hits, %d misses", tt.name, hits, misses)
		}
	}
}

func TestSecurityRow05EntriesEnd(t *testing.T) {
	clk, c := newClock(), authn.NewTokenCache(64)
	p := inline(pemOf(rsaKey().Public()))
	p.ClockSkew = 10 * time.Second
	j := newJWT(t, authn.Deps{Cache: c, Clock: clk.Now}, p)
	start := clk.Now()
	token := rs256(fmt.Sprintf(`,"nbf":%d,"exp":%d`, start.Unix(), start.Unix()+100))
	steps := []struct {
		name  string
		after time.Duration
		hit   bool
		want  string
	}{
		{"first", 0, false, ""},
		{"again", 0, true, ""},
		{"before nbf, by a clock set back", -11 * time.Second, false, "Jwt not yet valid"},
		{"in time again", 50 * time.Second, true, ""},
		{"within the skew of exp", 109 * time.Second, true, ""},
		{"at the end", 110 * time.Second, false, "Jwt is expired"},
		{"in time, by a clock set back", 50 * time.Second, false, ""},
	}
	for _, s := range steps {
		clk.set(start.Add(s.after))
		hits, _ := count(c, func() { wantText(t, s.name, j, bearer(token), s.want) })
		if (hits == 1) != s.hit {
			t.Errorf("%s: %d hits", s.name, hits)
		}
	}
}

func TestRefusalsAreNotCached(t *testing.T) {
	c := authn.NewTokenCache(64)
	j := newJWT(t, authn.Deps{Cache: c}, inline(pemOf(rsaKey().Public())))
	for i := range 20 {
		wantText(t, "forged", j, bearer(mint(`{"alg":"RS256"}`, fmt.Sprintf(`{"iss":"tester","n":%d}`, i), otherRSA())), "Jwt verification fails")
	}
	if n, b := c.Len(); n != 0 || b != 0 {
		t.Errorf("%d entries of %d bytes", n, b)
	}
}

// TestSecurityRow26CacheIsBounded fills a cache with more, and larger, tokens
// than it may hold.
func TestSecurityRow26CacheIsBounded(t *testing.T) {
	c := authn.NewTokenCache(64)
	j := newJWT(t, authn.Deps{Cache: c}, inline(jwkOf(octKey)))
	hs := func(i, size int) *authn.Request {
		return bearer(mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"iss":"tester","i":%d,"pad":"%s"}`, i, strings.Repeat("x", size)), octKey))
	}
	for i := range 500 {
		wantText(t, "small", j, hs(i, 0), "")
	}
	if n, _ := c.Len(); n > 64 || n < 32 {
		t.Errorf("%d entries, want about 64", n)
	}
	for i := range 200 {
		wantText(t, "large", j, hs(i, 11_000), "")
	}
	if n, b := c.Len(); b > 16*(70<<10) || n > 32 {
		t.Errorf("%d entries of %d bytes", n, b)
	}
}

// What is asked for again and again stays while others pass through.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := authn.NewTokenCache(256)
	j := newJWT(t, authn.Deps{Cache: c}, inline(jwkOf(octKey)))
	hs := func(i int) *authn.Request {
		return bearer(mint(`{"alg":"HS256"}`, fmt.Sprintf(`{"iss":"tester","i":%d}`, i), octKey))
	}
	regular := hs(-1)
	wantText(t, "regular", j, regular, "")
	lost := uint64(0)
	for i := range 2000 {
		wantText(t, "passing", j, hs(i), "")
		_, misses := count(c, func() { wantText(t, "regular", j, regular, "") })
		lost += misses
	}
	if lost != 0 {
		t.Errorf("the regular was forgotten %d times", lost)
	}
}
