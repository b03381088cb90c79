package ir

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/secret"
)

func TestCredentialSaysWhatItIsMadeOf(t *testing.T) {
	ref := secret.Ref{Kind: "Secret", Namespace: "ns", Name: "s", Key: "k"}
	client := &OAuthClient{ClientID: "c", ClientSecret: ref}
	keys := func(k AWSKeySource) *Credential { return &Credential{AWS: &AWSCredential{Keys: k}} }
	token := func(s TokenSource) *Credential { return &Credential{Token: &TokenCredential{Source: s}} }
	const arn = "arn:aws:iam::1:role/x"
	for _, tt := range []struct {
		name string
		c    *Credential
		want string
	}{
		{"none", nil, ""},
		{"passthrough", &Credential{Passthrough: &PassthroughCredential{}}, ""},
		{"header", &Credential{Header: &HeaderCredential{Secret: ref}}, "Secret ns/s[k]"},
		{"header, or the request's own", &Credential{Header: &HeaderCredential{Secret: ref}, Override: &CredentialOverride{Header: "x"}}, "Secret ns/s[k]"},
		{"the request's own alone", &Credential{Header: &HeaderCredential{Secret: ref}, Override: &CredentialOverride{Header: "x", Required: true}}, ""},
		{"static", keys(AWSKeySource{Static: &AWSStaticKeys{SecretAccessKey: ref}}), "Secret ns/s[k]"},
		{"role", keys(AWSKeySource{Static: &AWSStaticKeys{SecretAccessKey: ref}, Role: &AWSRole{ARN: arn}}), arn + " by Secret ns/s[k]"},
		{"file", keys(AWSKeySource{File: &AWSFile{Contents: ref, Profile: "p"}}), "Secret ns/s[k] profile p"},
		{"exchange", keys(AWSKeySource{Exchange: &AWSExchange{Subject: SubjectToken{Client: client}, Role: AWSRole{ARN: arn}}}), arn + " by client c with Secret ns/s[k]"},
		{"exchange of a file", keys(AWSKeySource{Exchange: &AWSExchange{Subject: SubjectToken{File: "/t"}, Role: AWSRole{ARN: arn}}}), arn + " by the token in /t"},
		{"default", keys(AWSKeySource{Default: true}), "the gateway's own AWS identity"},
		{"client", token(TokenSource{Client: client}), "client c with Secret ns/s[k]"},
		{"azure", token(TokenSource{Azure: &AzureToken{ClientID: "a", ClientSecret: ref}}), "Azure client a with Secret ns/s[k]"},
		{"azure, federated", token(TokenSource{Azure: &AzureToken{ClientID: "a", Federated: &SubjectToken{SPIFFE: &SPIFFEToken{}}}}), "Azure client a by the gateway's SPIFFE token"},
		{"azure, managed", token(TokenSource{Azure: &AzureToken{ManagedIdentity: true}}), "the machine's Azure identity"},
		{"gcp", token(TokenSource{GCP: &GCPToken{KeyFile: ref}}), "Secret ns/s[k]"},
		{"gcp, default", token(TokenSource{GCP: &GCPToken{Default: true}}), "the machine's Google identity"},
		{"gcp, federated", token(TokenSource{GCP: &GCPToken{Federation: &GCPFederation{Audience: "aud", Subject: SubjectToken{File: "/t"}}}}), "aud by the token in /t"},
	} {
		if got := tt.c.Secret(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestValidateCredentials(t *testing.T) {
	for name, tt := range map[string]struct {
		c    Credential
		want string
	}{
		"good":             {Credential{AWS: &AWSCredential{Keys: AWSKeySource{Default: true}}}, ""},
		"no kind":          {Credential{}, "kind 0: 0 alternatives"},
		"no keys":          {Credential{AWS: &AWSCredential{}}, "keys 0: 0 alternatives"},
		"two sources":      {Credential{AWS: &AWSCredential{Keys: AWSKeySource{Default: true, File: &AWSFile{}}}}, "keys 0: 2 alternatives"},
		"no subject":       {Credential{AWS: &AWSCredential{Keys: AWSKeySource{Exchange: &AWSExchange{}}}}, "subject token 0: 0 alternatives"},
		"no source":        {Credential{Token: &TokenCredential{}}, "token source 0: 0 alternatives"},
		"azure, nothing":   {Credential{Token: &TokenCredential{Source: TokenSource{Azure: &AzureToken{}}}}, "azure 0: 0 alternatives"},
		"gcp, two subject": {Credential{Token: &TokenCredential{Source: TokenSource{GCP: &GCPToken{Federation: &GCPFederation{Subject: SubjectToken{File: "a", Client: &OAuthClient{}}}}}}}, "subject token 0: 2 alternatives"},
		"override":         {Credential{Passthrough: &PassthroughCredential{}, Override: &CredentialOverride{}}, "override 0: 0 alternatives"},
	} {
		text := ""
		for _, err := range Validate(&Config{Upstreams: map[string]*Upstream{"u": {Name: "u", Credential: &tt.c}}}) {
			text += err.Error() + "\n"
		}
		if tt.want == "" && text != "" || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %q, want %q", name, text, tt.want)
		}
	}
}
