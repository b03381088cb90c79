package authn_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// TestBasicFile holds that the lines of a file let their users in, and the
// others nobody, and that the file's new bytes count at once.
func TestBasicFile(t *testing.T) {
	store := secret.NewStore()
	ref := secret.Ref{Kind: "Secret", Namespace: "ns", Name: "users", Key: ".htpasswd"}
	write := func(text string) {
		store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte(text))})
	}
	const sha = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=" // password
	write("# users\nann:" + sha + "\r\n\nbob:$apr1$TYiryv0/$8BvzLUO9IfGPGGsPnAgSu1\nann:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\ncarol:$2y$05$abc\ndan\n:" + sha + "\neve:{SHA}MARKER\n")
	b, err := authn.NewBasic("b", &ir.BasicAuth{Realm: "r", File: ref}, authn.Deps{Store: store, Cache: authn.NewTokenCache(100)})
	if err != nil {
		t.Fatal(err)
	}
	passes := func(user string) bool {
		r, err := b.Authenticate(context.Background(), withPassword(user, "password"))
		if err == nil && (len(r.Identities) != 1 || r.Identities[0].Subject != user) {
			t.Errorf("%s: %+v", user, r)
		}
		return err == nil
	}
	for user, want := range map[string]bool{"ann": true, "bob": true, "carol": false, "dan": false, "": false, "eve": false, "# users": false} {
		if passes(user) != want {
			t.Errorf("%q passes: %v", user, !want)
		}
	}
	text := ""
	for _, p := range b.Problems() {
		text += p.What + "\n"
	}
	for _, want := range []string{"line 5", "line 6", "line 7", "line 8", "line 9"} {
		if !strings.Contains(text, want+" ") {
			t.Errorf("no problem of %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "MARKER") || strings.Contains(text, "W6ph5") {
		t.Errorf("security row 8: %s", text)
	}
	write("bob:" + sha + "\n")
	if passes("ann") || !passes("bob") || len(b.Problems()) > 0 {
		t.Errorf("after a change: ann %v, bob %v, %v", passes("ann"), passes("bob"), b.Problems())
	}
	store.Drop([]secret.Ref{ref})
	if passes("bob") || len(b.Problems()) != 1 {
		t.Errorf("without the file: bob %v, %v", passes("bob"), b.Problems())
	}
}

// TestAPIKeyElsewhere finds keys in the query and in cookies, after headers.
func TestAPIKeyElsewhere(t *testing.T) {
	store := secret.NewStore()
	ref := secret.Ref{Kind: "Secret", Namespace: "ns", Name: "s", Key: "ann"}
	store.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte("MARKER-key"))})
	cfg := &ir.APIKey{
		Headers: []string{"x-key"}, QueryParams: []string{"key"}, Cookies: []string{"session"},
		Entries: ir.EntriesOf(ir.APIKeyEntry{Namespace: "ns", Name: "ann", Key: ref}),
	}
	a, err := authn.NewAPIKey("k", cfg, authn.NewKeyRing(cfg, store))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, header, query, cookie string
		want                        bool
	}{
		{"header", "MARKER-key", "", "", true},
		{"query", "", "a=b&key=MARKER-key", "", true},
		{"cookie", "", "", "a=b; session=MARKER-key", true},
		{"a wrong header counts first", "wrong", "key=MARKER-key", "", false},
		{"a wrong parameter counts before cookies", "", "key=wrong", "session=MARKER-key", false},
		{"two parameters", "", "key=MARKER-key&key=MARKER-key", "", false},
		{"two cookies", "", "", "session=MARKER-key; session=MARKER-key", false},
		{"another case", "", "Key=MARKER-key", "", false},
		{"nothing", "", "", "", false},
	} {
		r := &authn.Request{Header: http.Header{}}
		if tc.header != "" {
			r.Header.Set("X-Key", tc.header)
		}
		if tc.cookie != "" {
			r.Header.Set("Cookie", tc.cookie)
		}
		r.Query, _ = url.ParseQuery(tc.query)
		res, err := a.Authenticate(context.Background(), r)
		if (err == nil) != tc.want {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err == nil && len(res.Consumed) != 3 {
			t.Errorf("%s: left out upstream: %v", tc.name, res.Consumed)
		}
	}
	bad := &ir.APIKey{Cookies: []string{"a b"}}
	if _, err := authn.NewAPIKey("k", bad, authn.NewKeyRing(bad, store)); err == nil {
		t.Error("a cookie's name with a space is taken")
	}
}
