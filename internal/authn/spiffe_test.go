package authn

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestSPIFFEID(t *testing.T) {
	const id = "spiffe://cluster.local/ns/default/sa/sleep"
	for _, tc := range []struct {
		name   string
		uris   []string
		ca     bool
		id     string
		lax    string // the error without strict; empty: none
		strict string // the error with it
	}{
		{"one", []string{id}, false, id, "", ""},
		{"any path", []string{"spiffe://td-1.example_x/A.b-c_d"}, false, "spiffe://td-1.example_x/A.b-c_d", "", ""},
		{"none", nil, false, "", "", "no URI SAN"},
		{"another scheme", []string{"https://example.com/"}, false, "", "", "does not begin"},
		{"two of another scheme", []string{"https://a/", "https://b/"}, false, "", "", "more than one"},
		{"two", []string{id, id + "2"}, false, "", "more than one", "more than one"},
		{"twice", []string{id, id}, false, "", "more than one", "more than one"},
		{"one beside another scheme", []string{"https://a/", id}, false, "", "more than one", "more than one"},
		{"an authority", []string{id}, true, "", "an authority's own", "an authority's own"},
		{"a trust domain", []string{"spiffe://cluster.local"}, false, "", "no path", "no path"},
		{"a bad one", []string{"spiffe://Cluster.Local/x"}, false, "", "trust domain", "trust domain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cert := &x509.Certificate{IsCA: tc.ca}
			for _, s := range tc.uris {
				u, err := url.Parse(s)
				if err != nil {
					t.Fatal(err)
				}
				cert.URIs = append(cert.URIs, u)
			}
			for strict, want := range map[bool]string{false: tc.lax, true: tc.strict} {
				got, err := SPIFFEID(cert, strict)
				if want == "" && (err != nil || got != tc.id) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || got != "") {
					t.Errorf("strict %v: %q, %v; want %q, %q", strict, got, err, tc.id, want)
				}
			}
		})
	}
}

func TestCheckSPIFFEID(t *testing.T) {
	for _, bad := range []string{
		"", "spiffe:", "spiffe://", "spiffe:///a", "spiffe://td", "spiffe://td/", "spiffe://td/a/", "spiffe://td//a", "SPIFFE://td/a", "https://td/a",
		"spiffe://TD/a", "spiffe://td:80/a", "spiffe://u@td/a", "spiffe://td/a?b", "spiffe://td/a#b", "spiffe://td/a%20", "spiffe://td/./a", "spiffe://td/../a",
		"spiffe://td/a b", "spiffe://td/a\n", "spiffe://td/ä", "spiffe://[::1]/a", "spiffe://td/a;b", "spiffe://td/*",
		"spiffe://" + strings.Repeat("a", 256) + "/a", "spiffe://td/" + strings.Repeat("a", 2048),
	} {
		if err := CheckSPIFFEID(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// FuzzCheckSPIFFEID holds what passes to what every reader of an identity may
// rely on: it is a URI that says the same when it is taken apart and put
// together.
func FuzzCheckSPIFFEID(f *testing.F) {
	for _, s := range []string{"spiffe://td/a", "spiffe://td/ns/a/sa/b", "spiffe://td/a?b", "spiffe://td:1/a%2f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckSPIFFEID(s) != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.String() != s || u.Host == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme+"://"+u.Host+u.Path != s {
			t.Errorf("%q passes: %+v, %v", s, u, err)
		}
		if strings.ContainsAny(s, "%\\\r\n\x00 ,;\"") {
			t.Errorf("%q passes", s)
		}
	})
}
