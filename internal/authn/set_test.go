package authn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// mixed is a set of three methods with a key, a password and a token step
// before: k, b and j.
func mixed(t testing.TB, expr string) *authn.Set {
	t.Helper()
	store, entries := keysOf("alice/api-key=ka", "alice/team=red")
	hash := secret.Ref{Kind: "AuthConfig", Name: "c", Key: "user"}
	store.Put(map[secret.Ref]secret.Value{hash: secret.NewValue([]byte("8BvzLUO9IfGPGGsPnAgSu1"))})
	s, err := authn.NewSet(&ir.AuthSet{Expr: expr, Methods: []ir.AuthMethod{
		{Name: "k", APIKey: &ir.APIKey{Headers: []string{"api-key"}, Entries: entries, UserHeader: "x-user-id", FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team"}}}},
		{Name: "b", Basic: &ir.BasicAuth{Realm: "r", UserHeader: "x-user-id", Users: []ir.BasicUser{{Name: "user", Algorithm: "apr1", Salt: "TYiryv0/", Hash: hash}}}},
		{Name: "j", Verified: &ir.VerifiedToken{}},
	}}, authn.Deps{Store: store, Cache: authn.NewTokenCache(64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request carries what its letters say: a good key (k), a bad one (K), a good
// password (b), a bad one (B), a verified token (j).
func request(what string) *authn.Request {
	r := &authn.Request{Header: http.Header{}}
	for _, c := range what {
		switch c {
		case 'k':
			r.Header.Set("Api-Key", "ka")
		case 'K':
			r.Header.Set("Api-Key", "no")
		case 'b':
			r.Header["Authorization"] = withPassword("user", "password").Header["Authorization"]
		case 'B':
			r.Header["Authorization"] = withPassword("user", "no").Header["Authorization"]
		case 'j':
			r.Proven = []authn.Identity{{Provider: "idp", Method: authn.MethodJWT, Subject: "ann"}}
		case 'J':
			r.Proven = []authn.Identity{{Method: authn.MethodJWT, Subject: "nobody"}, {Provider: "x", Method: authn.MethodAPIKey}}
		}
	}
	return r
}

func TestSetDecides(t *testing.T) {
	const key, password, token = "API key is missing or invalid", `Basic realm="r"`, ""
	for _, tc := range []struct {
		expr, request string
		by            string // that let pass; or
		challenge     string
		status        int
	}{
		{"", "kbj", "k, b, j", "", 0},
		{"", "kb", "", token, 401},
		{"", "kBj", "", password, 401},
		{"", "bj", "", key, 401},
		{"", "", "", key, 401},
		{"j && k", "", "", token, 401},
		{"k || b", "k", "k", "", 0},
		{"k || b", "b", "b", "", 0},
		{"k || b", "kb", "k", "", 0},
		{"k || b", "kB", "k", "", 0},
		{"k || b", "KB", "", key, 401},
		{"b || k", "KB", "", password, 401},
		{"b || k", "", "", password, 401},
		{"k || j", "j", "j", "", 0},
		{"k || j", "J", "", key, 401},
		{"(k || b) && j", "bj", "b, j", "", 0},
		{"(k || b) && j", "b", "", token, 401},
		{"k && b || j", "kj", "j", "", 0},
		{"k && b || j", "k", "", password, 401},
		{"!k", "", "", "", 0},
		{"!k", "K", "", "", 0},
		{"!k", "k", "", "", 403},
		{"!!k", "k", "", "", 0},
		{"!!k", "", "", "", 403},
		{"b && !k", "b", "b", "", 0},
		{"b && !k", "bk", "", "", 403},
		{"!(k || b)", "j", "", "", 0},
		{"!(k || b)", "b", "", "", 403},
		{"k && k && (k || b)", "k", "k", "", 0},
	} {
		name := fmt.Sprintf("%q of %q", tc.expr, tc.request)
		got, err := mixed(t, tc.expr).Authenticate(t.Context(), request(tc.request))
		if tc.status == 0 {
			if err != nil || got.By != tc.by {
				t.Errorf("%s: by %q, %v; want %q", name, got.By, err, tc.by)
			}
			if !slices.Equal(got.Sanitize, []string{"X-Team", "X-User-Id"}) {
				t.Errorf("%s: sanitize %q", name, got.Sanitize)
			}
			continue
		}
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != tc.status || f.Header.Get("WWW-Authenticate") != tc.challenge || len(got.Identities) > 0 {
			t.Errorf("%s: %+v, %+v; want %d %q", name, got, err, tc.status, tc.challenge)
		}
	}
}

// What was proven in a part that failed counts for nothing; its credential is
// dropped all the same. So is a good one that was not asked for.
func TestSetCredentialsAndIdentities(t *testing.T) {
	for _, tc := range []struct {
		expr, request, subjects, consumed string
	}{
		{"k || b", "kb", "alice", "Api-Key Authorization"},
		{"b || k", "kb", "user", "Authorization Api-Key"},
		{"j || k", "kj", "", "Api-Key"},
		{"j || k", "Kj", "", ""},
		{"j || b", "bj", "", "Authorization"},
		{"k && b || j", "kj", "", "Api-Key"},
		{"k && b", "kb", "alice user", "Api-Key Authorization"},
		{"b && k", "kb", "alice user", "Api-Key Authorization"},
		{"!(k && b)", "k", "", "Api-Key"},
	} {
		got, err := mixed(t, tc.expr).Authenticate(t.Context(), request(tc.request))
		if err != nil {
			t.Errorf("%q: %v", tc.expr, err)
			continue
		}
		var subjects, consumed []string
		for _, id := range got.Identities {
			subjects = append(subjects, id.Subject)
		}
		for _, l := range got.Consumed {
			consumed = append(consumed, l.Header)
		}
		if strings.Join(subjects, " ") != tc.subjects || strings.Join(consumed, " ") != tc.consumed {
			t.Errorf("%q of %q: %q, consumed %q; want %q, %q", tc.expr, tc.request, subjects, consumed, tc.subjects, tc.consumed)
		}
		if (len(got.Secrets) > 0) != strings.Contains(tc.subjects, "alice") {
			t.Errorf("%q of %q: secrets %v", tc.expr, tc.request, got.Secrets)
		}
	}
}

// A server that is down is neither a yes nor a no: its negation refuses too.
func TestSetWithAServerDown(t *testing.T) {
	store, entries := keysOf("alice/api-key=ka")
	var answer error
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) {
		if answer != nil {
			return nil, answer
		}
		return no(nil), nil
	})
	set := func(expr string) *authn.Set {
		s, err := authn.NewSet(&ir.AuthSet{Expr: expr, Methods: []ir.AuthMethod{
			{Name: "k", APIKey: &ir.APIKey{Headers: []string{"api-key"}, Entries: entries}},
			{Name: "x", External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: c.addr}, StatusOnError: 503}},
		}}, authn.Deps{Store: store, External: dialing(c.addr)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	for _, tc := range []struct {
		expr, key string
		refuses   int // the server refuses; 0: passes
		down      int // the server is down
	}{
		{"x", "", 403, 503}, {"!x", "", 0, 503}, {"!!x", "", 403, 503}, {"k || x", "ka", 0, 0}, {"k || x", "no", 401, 401},
		{"x || k", "ka", 0, 0}, {"x || k", "no", 403, 503}, {"!(k || x)", "no", 0, 401}, {"!(x || k)", "no", 0, 503}, {"!(k && x)", "no", 0, 0},
		{"k && !x", "ka", 0, 503}, {"k && !x", "no", 401, 401},
	} {
		for _, down := range []bool{false, true} {
			answer = nil
			want := tc.refuses
			if down {
				answer, want = errors.New("down"), tc.down
			}
			r := called(http.Header{"Api-Key": {tc.key}}, "")
			_, err := set(tc.expr).Authenticate(t.Context(), r)
			got := 0
			var f *authn.Failure
			if errors.As(err, &f) {
				got = f.Status
			}
			if got != want {
				t.Errorf("%q, down %v: %d (%v), want %d", tc.expr, down, got, err, want)
			}
		}
	}
}

func TestSetSuite(t *testing.T) {
	s := mixed(t, "(k || b)")
	bad := append(badKeys(aliceKey), badPasswords()...)
	authntest.Run(t, authntest.Member{
		New:      func(t *testing.T) authn.Authenticator { return mixed(t, "(k || b) && !j") },
		Good:     []authntest.Sample{{Name: "key", Request: request("k"), Subject: "alice"}, {Name: "password", Request: request("b"), Subject: "user"}},
		Bad:      bad,
		Sanitize: s.SanitizeHeaders(),
	})
}

func TestSetConfigurationIsChecked(t *testing.T) {
	v := func(names ...string) (out []ir.AuthMethod) {
		for _, n := range names {
			out = append(out, ir.AuthMethod{Name: n, Verified: &ir.VerifiedToken{}})
		}
		return out
	}
	var many []string
	for i := range 70 {
		many = append(many, fmt.Sprint("m", i))
	}
	for name, cfg := range map[string]ir.AuthSet{
		"empty": {}, "no name": {Methods: v("")}, "doubled": {Methods: v("a", "a")}, "unknown": {Methods: v("a"), Expr: "b"}, "malformed": {Methods: v("a"), Expr: "a &&"},
		"many": {Methods: v(many...)}, "no kind": {Methods: []ir.AuthMethod{{Name: "a"}}},
		"a method's own":   {Methods: []ir.AuthMethod{{Name: "a", APIKey: &ir.APIKey{}}}},
		"after a good one": {Methods: []ir.AuthMethod{{Name: "x", External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: "a:1"}}}, {Name: "a", APIKey: &ir.APIKey{}}}},
	} {
		if _, err := authn.NewSet(&cfg, authn.Deps{Store: secret.NewStore(), External: dialing("127.0.0.1:1")}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	s := mixed(b, "k || j")
	for name, r := range map[string]*authn.Request{"key": request("k"), "token": request("j"), "none": request("")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Authenticate(context.Background(), r)
			}
		})
	}
}
