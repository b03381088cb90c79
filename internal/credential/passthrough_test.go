package credential_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func TestPassthrough(t *testing.T) {
	tests := []struct {
		name, header, prefix string
		caller               http.Header
		want                 []string
		fails                bool
	}{
		{"as the caller wrote it", "Authorization", "Bearer ", http.Header{"Authorization": {"bearer  sk"}}, []string{"bearer  sk"}, false},
		{"own header from the token", "x-api-key", "", http.Header{"Authorization": {"Bearer sk"}}, []string{"sk"}, false},
		{"lower case bearer", "x-api-key", "", http.Header{"Authorization": {"bearer sk"}}, []string{"sk"}, false},
		{"bare token", "api-key", "", http.Header{"Authorization": {"sk"}}, []string{"sk"}, false},
		{"the caller's own header wins", "x-api-key", "", http.Header{"Authorization": {"Bearer sk"}, "X-Api-Key": {"mine"}}, []string{"mine"}, false},
		{"another scheme", "x-api-key", "", http.Header{"Authorization": {"Basic dTpw"}}, nil, false},
		{"no token", "Authorization", "Bearer ", http.Header{}, nil, false},
		{"empty token", "x-api-key", "", http.Header{"Authorization": {"Bearer "}}, nil, false},
		{"two tokens", "x-api-key", "", http.Header{"Authorization": {"Bearer a", "Bearer b"}}, nil, true},
		{"no headers at all", "x-api-key", "", nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &ir.Credential{Passthrough: &ir.PassthroughCredential{Name: tt.header, Prefix: tt.prefix}}
			inj, err := credential.New(cfg, credential.Deps{Store: secret.NewStore()})
			if err != nil {
				t.Fatal(err)
			}
			out := http.Header{"Authorization": {"left over"}, "X-Api-Key": {"left over"}, "X-Other": {"stays"}}
			o := &credential.Outbound{Header: out, Caller: tt.caller}
			if err := inj.Inject(context.Background(), o); (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if tt.fails {
				return
			}
			want := http.Header{"X-Other": {"stays"}}
			if tt.want != nil {
				want[http.CanonicalHeaderKey(tt.header)] = tt.want
			}
			if diff := cmp.Diff(want, out); diff != "" {
				t.Error(diff)
			}
		})
	}
}
