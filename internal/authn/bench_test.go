package authn_test

import (
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
)

func benchmark(b *testing.B, j *authn.JWT, r *authn.Request) {
	b.Helper()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Authenticate(ctx, r); err != nil {
			b.Fatal(err)
		}
	}
}

func benchJWT(b *testing.B, cache *authn.TokenCache) *authn.JWT {
	b.Helper()
	p := inline(testdata(b, "selfminted.pem"))
	p.Issuer = "solo.io"
	return newJWT(b, authn.Deps{Cache: cache}, p)
}

func BenchmarkCacheHit(b *testing.B) {
	benchmark(b, benchJWT(b, authn.NewTokenCache(1024)), bearer(testdata(b, "alice.jwt")))
}

func BenchmarkCacheHitParallel(b *testing.B) {
	j, r := benchJWT(b, authn.NewTokenCache(1024)), bearer(testdata(b, "alice.jwt"))
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := j.Authenticate(ctx, r); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkVerifyRS256(b *testing.B) {
	benchmark(b, benchJWT(b, nil), bearer(testdata(b, "alice.jwt")))
}

func BenchmarkVerifyES256(b *testing.B) {
	j := newJWT(b, authn.Deps{}, inline(pemOf(ecKey().Public())))
	benchmark(b, j, bearer(mint(`{"alg":"ES256"}`, `{"iss":"tester","sub":"ann"}`, ecKey())))
}

// A hit is the usual case under load; it must leave the collector alone.
func TestCacheHitAllocatesNothing(t *testing.T) {
	p := inline(testdata(t, "selfminted.pem"))
	p.Issuer = "solo.io"
	j := newJWT(t, authn.Deps{Cache: authn.NewTokenCache(16)}, p)
	r, ctx := bearer(testdata(t, "alice.jwt")), t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = j.Authenticate(ctx, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
