package filter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
)

// request is an input with something for every operator.
func formatInput() *input {
	e := anonymous("/v1/chat")
	e.RawQuery = "q=1"
	e.Client, e.Peer = netip.MustParseAddr("10.1.2.3"), "10.1.2.3:4711"
	e.Header = http.Header{"X-A": {"abcdef"}, "X-Two": {"1", "2"}}
	e.Identities = append(e.Identities, alice())
	e.Record.Endpoint, e.Record.Upstream, e.Record.Route = "1.2.3.4:443", "openai", "r"
	san, _ := url.Parse("spiffe://td/ns/x/sa/y")
	cert := &x509.Certificate{URIs: []*url.URL{san}}
	e.TLS = &tls.ConnectionState{ServerName: "sni.test", Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 8080}))
	return &input{ctx: ctx, e: e, status: 201, header: http.Header{"X-Up": {"stream"}}}
}

func TestFormat(t *testing.T) {
	hostname, _ := os.Hostname()
	jwt := "envoy.filters.http.jwt_authn:"
	for _, tc := range []struct{ format, want string }{
		{"plain", "plain"},
		{"100%%", "100%"},
		{"%%%REQ(x-a)%%%", "%abcdef%"},
		{"%REQ(x-a)%", "abcdef"},
		{"%REQ(X-A):3%", "abc"},
		{"%REQ(x-none?x-a):2%!", "ab!"},
		{"%REQ(x-none)%", ""},
		{"%REQ(x-two)%", "1,2"},
		{"%REQ(:path)%", "/v1/chat?q=1"},
		{"%REQ(:METHOD)% %REQ(:scheme)%://%REQ(:authority)%", "POST http://gw.test"},
		{"%RESP(x-up)%/%RESP(:status)%", "stream/201"},
		{"%RESPONSE_CODE%", "201"},
		{"%DOWNSTREAM_REMOTE_ADDRESS%", "10.1.2.3:4711"},
		{"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.3"},
		{"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.1.2.3:4711"},
		{"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.3"},
		{"%DOWNSTREAM_LOCAL_ADDRESS%", "10.0.0.9:8080"},
		{"%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "10.0.0.9"},
		{"%DOWNSTREAM_LOCAL_PORT%", "8080"},
		{"%PROTOCOL%", "HTTP/1.1"},
		{"%HOSTNAME%", hostname},
		{"%UPSTREAM_HOST%", "1.2.3.4:443"},
		{"%UPSTREAM_CLUSTER% %ROUTE_NAME%", "openai r"},
		{"%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION%", "sni.test TLSv1.3"},
		{"%DOWNSTREAM_PEER_URI_SAN%", "spiffe://td/ns/x/sa/y"},
		{"%START_TIME%", "2026-01-02T03:04:05.678Z"},
		{"%START_TIME(%Y/%m/%dT%H:%M:%S%z)%", "2026/01/02T03:04:05+0000"},
		{"%START_TIME(%s.%3f %f)%", "1767323045.678 678901234"},
		{"%START_TIME(%F %%)%", "2026-01-02 %"},
		{"%DYNAMIC_METADATA(" + jwt + "principal:sub)%", "alice"},
		{"%DYNAMIC_METADATA(" + jwt + "idp:team:name)%", "red"},
		{"%DYNAMIC_METADATA(" + jwt + "idp:team:size)%", "3"},
		{"%DYNAMIC_METADATA(" + jwt + "idp:admin)%", "true"},
		{"%DYNAMIC_METADATA(" + jwt + "idp:groups)%", `["a","b"]`},
		{"%DYNAMIC_METADATA(" + jwt + "idp:sub):3%", "ali"},
		{"%DYNAMIC_METADATA(" + jwt + "other:sub)%", ""},
		{"%DYNAMIC_METADATA(" + jwt + "idp:none:deeper)%", ""},
	} {
		f, err := parseFormat(tc.format, onResponse)
		if err != nil {
			t.Errorf("%s: %v", tc.format, err)
			continue
		}
		if got := f.render(formatInput()); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.format, got, tc.want)
		}
	}
}

// What is not there comes out empty, also without TLS and without a server.
func TestFormatOfABareExchange(t *testing.T) {
	for _, name := range []string{
		"DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_PORT",
		"REQUESTED_SERVER_NAME", "DOWNSTREAM_PEER_URI_SAN", "REQ(x)", "DYNAMIC_METADATA(envoy.filters.http.jwt_authn:principal:sub)",
	} {
		f, err := parseFormat("%"+name+"%", onRequest)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.render(&input{e: anonymous("/")}); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestFormatErrors(t *testing.T) {
	for format, want := range map[string]string{
		"%":                     "begins no operator",
		"100% sure":             "begins no operator",
		"%REQ(x)":               "not closed",
		"%REQ(x":                "not closed",
		"%PROTOCOL":             "second percent sign is missing",
		"%PROTOCOL:0%":          "second percent sign is missing",
		"%TRAILER(x)%":          "%TRAILER(x)%: this operator is not known",
		"%NOTHING%":             "%NOTHING%: this operator is not known",
		"%PROTOCOL(x)%":         "takes no argument",
		"%REQ()%":               "not the name",
		"%REQ%":                 "not the name",
		"%REQ(:nothing)%":       "pseudo header",
		"%RESP(:path)%":         "pseudo header",
		"%START_TIME(%Q)%":      "%Q is not known",
		"%START_TIME(%3d)%":     "not known",
		"%START_TIME(x%)%":      "percent sign",
		"%DYNAMIC_METADATA(a)%": `metadata "a" is not known`,
		"%DYNAMIC_METADATA(io.solo.transformation)%":         `name a key`,
		"%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:p)%": "name a claim",
		strings.Repeat("x", longestFormat+1):                 "more than",
	} {
		if _, err := parseFormat(format, onResponse); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", format, err, want)
		}
	}
}

// Row25: an accepted token in the query does not come out of %REQ(:path)%.
func TestRow25FormatHasNoToken(t *testing.T) {
	in := formatInput()
	in.e.RawQuery = "access_token=" + marker + "&q=1"
	in.e.Consume(consumedQuery)
	f, err := parseFormat("%REQ(:path)%", onRequest)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.render(in); got != "/v1/chat?q=1" {
		t.Errorf("got %q", got)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("%REQ(x-a?y):3% %% %START_TIME(%Y%m)% %DYNAMIC_METADATA(envoy.filters.http.jwt_authn:idp:sub)%")
	f.Add("%REQ(")
	f.Add("%A:99999999999999999999%")
	f.Fuzz(func(t *testing.T, s string) {
		for _, where := range []side{onRequest, onResponse} {
			parsed, err := parseFormat(s, where)
			if err != nil {
				continue
			}
			got := parsed.render(formatInput())
			if !strings.Contains(s, "%") && got != s {
				t.Errorf("%q came out as %q", s, got)
			}
			if !isFieldValue(got) {
				t.Errorf("%q holds a control byte", got)
			}
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	f, err := parseFormat("%REQ(x-a)% from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% at %START_TIME%", onRequest)
	if err != nil {
		b.Fatal(err)
	}
	in := formatInput()
	b.ReportAllocs()
	for b.Loop() {
		_ = f.render(in)
	}
}
