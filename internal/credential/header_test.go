package credential_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

var keyRef = secret.Ref{Kind: "Secret", Namespace: "apps", Name: "provider", Key: "Authorization"}

func headerConfig(name, prefix string) *ir.Credential {
	return &ir.Credential{Header: &ir.HeaderCredential{Name: name, Prefix: prefix, Secret: keyRef}}
}

func TestHeader(t *testing.T) {
	for _, cfg := range []*ir.Credential{
		headerConfig("Authorization", "Bearer "), headerConfig("x-api-key", ""), headerConfig("API-KEY", ""), headerConfig("x-custom", "Token "),
	} {
		t.Run(cfg.Header.Name, func(t *testing.T) {
			credentialtest.Run(t, credentialtest.Member{
				New: func(s *secret.Store) (credential.Injector, error) {
					return credential.New(cfg, credential.Deps{Store: s})
				},
				Refs: []secret.Ref{keyRef}, Header: cfg.Header.Name,
			})
		})
	}
}

func TestHeaderValue(t *testing.T) {
	tests := []struct{ name, prefix, header, secret, want string }{
		{"bare key", "Bearer ", "Authorization", "sk-1", "Bearer sk-1"},
		{"with prefix", "Bearer ", "Authorization", "Bearer sk-1", "Bearer sk-1"},
		{"prefix in another case", "Bearer ", "Authorization", "bEARER sk-1", "Bearer sk-1"},
		{"line feed at the end", "Bearer ", "Authorization", "Bearer sk-1\n", "Bearer sk-1"},
		{"spaces around", "Bearer ", "Authorization", "  Bearer   sk-1 \r\n", "Bearer sk-1"},
		{"begins like the prefix", "Bearer ", "Authorization", "bearer-of-keys", "Bearer bearer-of-keys"},
		{"own header", "", "x-api-key", "sk-1", "sk-1"},
		{"own header, bearer in the secret", "", "x-api-key", "Bearer sk-1", "sk-1"},
		{"verbatim", "", "Authorization", "Basic dTpw", "Basic dTpw"},
		{"verbatim bearer", "", "Authorization", "Bearer hf", "Bearer hf"},
		{"nothing but the prefix", "Bearer ", "Authorization", "Bearer ", ""},
		{"nothing", "Bearer ", "Authorization", "\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := secret.NewStore()
			store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte(tt.secret))})
			inj, err := credential.New(headerConfig(tt.header, tt.prefix), credential.Deps{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			o := &credential.Outbound{Header: http.Header{}}
			if err := inj.Inject(context.Background(), o); (err != nil) != (tt.want == "") {
				t.Fatalf("error %v", err)
			}
			if got := o.Header.Get(tt.header); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	store := secret.NewStore()
	for name, cfg := range map[string]*ir.Credential{
		"nothing":          {},
		"no name":          headerConfig("", ""),
		"host":             headerConfig("host", ""),
		"framing":          headerConfig("Transfer-Encoding", ""),
		"pseudo header":    headerConfig(":authority", ""),
		"line feed":        headerConfig("x-a\nb", ""),
		"prefix with CR":   headerConfig("x-a", "B\r"),
		"no secret":        {Header: &ir.HeaderCredential{Name: "x-a"}},
		"no region":        {AWS: &ir.AWSCredential{Service: "bedrock", Keys: ir.AWSKeySource{Static: &ir.AWSStaticKeys{AccessKeyID: keyRef, SecretAccessKey: keyRef}}}},
		"no key":           {AWS: &ir.AWSCredential{Service: "bedrock", Region: "us-east-1", Keys: ir.AWSKeySource{Static: &ir.AWSStaticKeys{AccessKeyID: keyRef}}}},
		"passthrough host": {Passthrough: &ir.PassthroughCredential{Name: "Host"}},
	} {
		if _, err := credential.New(cfg, credential.Deps{Store: store}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := credential.New(nil, credential.Deps{Store: store}); err == nil {
		t.Error("nil: no error")
	}
}

func TestRepeats(t *testing.T) {
	sent := http.Header{"Authorization": {"Bearer sk-123456789"}, "X-Api-Key": {"short"}, "X-Amz-Date": {"20260101T000000Z"}}
	for value, want := range map[string]bool{
		"Bearer sk-123456789": true, "sk-123456789": true, "key=sk-123456789;": true,
		"sk-12345678": false, "short": true, "shorter": false, "Bearer": false, "20260101T000000Z": false, "": false,
	} {
		got := credential.Repeats([]string{"Authorization", "X-Api-Key", "X-Amz-Date"}, sent, http.Header{"X-Echo": {"a", value}})
		if (len(got) == 1) != want {
			t.Errorf("%q: %v, want found %v", value, got, want)
		}
	}
}

func BenchmarkHeader(b *testing.B) {
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte("sk-0123456789abcdef0123456789abcdef"))})
	inj, err := credential.New(headerConfig("Authorization", "Bearer "), credential.Deps{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	o := credentialtest.Outbound("Authorization")
	b.ReportAllocs()
	for b.Loop() {
		if err := inj.Inject(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
}
