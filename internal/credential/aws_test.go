package credential_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func awsRef(key string) secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: "apps", Name: "aws", Key: key}
}

func awsConfig(service string, session bool) *ir.Credential {
	keys := &ir.AWSStaticKeys{AccessKeyID: awsRef("id"), SecretAccessKey: awsRef("key")}
	if session {
		keys.SessionToken = awsRef("session")
	}
	return &ir.Credential{AWS: &ir.AWSCredential{Region: "us-east-1", Service: service, Keys: ir.AWSKeySource{Static: keys}}}
}

// suiteTime is the time of AWS's published test vectors.
func suiteTime() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }

func TestAWS(t *testing.T) {
	for _, session := range []bool{false, true} {
		cfg := awsConfig("bedrock", session)
		refs := []secret.Ref{awsRef("id"), awsRef("key"), awsRef("session")}
		if !session {
			refs = refs[:2]
		}
		m := credentialtest.Member{
			New: func(s *secret.Store) (credential.Injector, error) {
				return credential.New(cfg, credential.Deps{Store: s, Clock: suiteTime})
			},
			Refs: refs, Header: "Authorization",
		}
		t.Run(fmt.Sprintf("session=%v", session), func(t *testing.T) { credentialtest.Run(t, m) })
	}
}

const (
	suiteID  = "AKIDEXAMPLE"
	suiteKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func suiteInjector(tb testing.TB, service, session string) credential.Injector {
	tb.Helper()
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{
		awsRef("id"):      secret.NewValue([]byte(suiteID)),
		awsRef("key"):     secret.NewValue([]byte(suiteKey)),
		awsRef("session"): secret.NewValue([]byte(session)),
	})
	inj, err := credential.New(awsConfig(service, session != ""), credential.Deps{Store: store, Clock: suiteTime})
	if err != nil {
		tb.Fatal(err)
	}
	return inj
}

// The signatures of the cases get-vanilla, get-vanilla-query-order-key-case
// and post-vanilla of AWS's Signature Version 4 test suite.
func TestAWSPublishedVectors(t *testing.T) {
	for _, tt := range []struct{ method, query, signature string }{
		{"GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		o := &credential.Outbound{Method: tt.method, Scheme: "https", Host: "example.amazonaws.com",
			URL: &url.URL{Path: "/", RawQuery: tt.query}, Header: http.Header{}}
		if err := suiteInjector(t, "service", "").Inject(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + tt.signature
		if got := o.Header.Get("Authorization"); got != want {
			t.Errorf("%s ?%s:\n got %s\nwant %s", tt.method, tt.query, got, want)
		}
	}
}

// TestAWSAsReceived recomputes the signature from what a server would see, by
// the documented steps and without the SDK.
func TestAWSAsReceived(t *testing.T) {
	tests := []struct {
		name, host, rawURL, session string
		body                        []byte
	}{
		{"plain", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse", "", []byte(`{}`)},
		{"colon in the model", "h.example", "/model/anthropic.claude-3-5-sonnet-20240620-v1:0/converse", "", []byte(`{}`)},
		{"escaped colon", "h.example", "/model/anthropic.claude-v1%3A0/converse", "", []byte(`{}`)},
		{"escaped slash and space", "h.example", "/model/arn%3Aaws%2Fx%20y/converse", "tok", nil},
		{"not ASCII", "h.example", "/model/m%C3%BC/converse", "", nil},
		{"query", "h.example", "/p?b=2&a=x%20y&a=+&empty", "", nil},
		{"port", "h.example:8443", "/", "", nil},
		{"default port", "h.example:443", "/", "", nil},
		{"no path", "h.example", "", "", nil},
		{"10 MB", "h.example", "/p", "tok", bytes.Repeat([]byte("0123456789"), 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.rawURL)
			if err != nil {
				t.Fatal(err)
			}
			o := &credential.Outbound{Method: "POST", Scheme: "https", Host: tt.host, URL: u, Body: tt.body, Header: http.Header{
				"Content-Type": {"application/json"}, "X-Amz-Date": {"20000101T000000Z"}, "X-Amz-Security-Token": {"callers"},
				"X-Amz-Meta-X": {"callers"}, "Authorization": {"AWS4-HMAC-SHA256 callers"},
			}}
			if err := suiteInjector(t, "bedrock", tt.session).Inject(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			got := o.Header.Get("Authorization")
			if want := recompute(o); !strings.HasSuffix(got, "Signature="+want) {
				t.Errorf("got %s, a server computes %s", got, want)
			}
			if token := o.Header.Get("X-Amz-Security-Token"); token != tt.session {
				t.Errorf("session token is not the configured one")
			}
			if o.Header.Get("X-Amz-Meta-X") != "" || o.Header.Get("X-Amz-Date") != "20150830T123600Z" {
				t.Errorf("the caller's X-Amz headers travel on: %v", o.Header)
			}
		})
	}
}

// recompute follows "Create a signed AWS API request" of the IAM user guide.
func recompute(o *credential.Outbound) string {
	names := []string{"content-type", "host", "x-amz-date"}
	if o.Header.Get("X-Amz-Security-Token") != "" {
		names = append(names, "x-amz-security-token")
	}
	var headers strings.Builder
	for _, n := range names {
		v := o.Header.Get(n)
		if n == "host" {
			v = o.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", n, v)
	}
	body := sha256.Sum256(o.Body)
	canonical := strings.Join([]string{o.Method, escapeAgain(o.URL.EscapedPath()), o.URL.RawQuery, headers.String(), strings.Join(names, ";"), hex.EncodeToString(body[:])}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	scope := "20150830/us-east-1/bedrock/aws4_request"
	text := "AWS4-HMAC-SHA256\n20150830T123600Z\n" + scope + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + suiteKey)
	for _, part := range append(strings.Split(scope, "/"), text) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// escapeAgain is the second URI-encoding that every service but S3 wants.
func escapeAgain(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c == '/' || strings.IndexByte("-_.~", c) >= 0 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestAWSQueryIsSentAsSigned(t *testing.T) {
	o := &credential.Outbound{Method: "GET", Scheme: "https", Host: "h.example", URL: &url.URL{Path: "/", RawQuery: "b=2&a=x+y"}, Header: http.Header{}}
	if err := suiteInjector(t, "bedrock", "").Inject(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if o.URL.RawQuery != "a=x%20y&b=2" {
		t.Errorf("query is %q", o.URL.RawQuery)
	}
}

func BenchmarkAWS(b *testing.B) {
	inj := suiteInjector(b, "bedrock", "")
	for _, size := range []int{400, 10 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			o := credentialtest.Outbound("Authorization")
			o.Body = make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				if err := inj.Inject(context.Background(), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
