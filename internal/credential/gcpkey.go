package credential

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-gateway/postern/internal/secret"
)

// The types of Google's credential files.
const (
	gcpServiceAccount  = "service_account"
	gcpExternalAccount = "external_account"
)

// gcpKey is a service account's key.
type gcpKey struct {
	email, tokenURL string
	signer          jose.Signer
	// private is the key as it was written, for what errors must not repeat.
	private secret.Value
}

// keyFile says how a token is got by a service account's key, in a secret. See
// https://developers.google.com/identity/protocols/oauth2/service-account.
func (g *google) keyFile(ref secret.Ref) Renewable[secret.Value] {
	derived := secret.Derive(g.deps.Store, []secret.Ref{ref}, func(v []secret.Value) (*gcpKey, error) {
		key, err := parseGCPKey(v[0].Reveal())
		if err != nil {
			return nil, fmt.Errorf("%v: %w", ref, err)
		}
		return key, nil
	})
	return Renewable[secret.Value]{
		Name: "google service account in " + ref.String(), Refs: derived.Refs(),
		Check: func() error { _, err := derived.Get(); return err },
		Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
			key, err := derived.Get()
			if err != nil {
				return secret.Value{}, time.Time{}, err
			}
			return g.byKey(ctx, key)
		},
	}
}

// byKey trades an assertion that key signs for a token (RFC 7523 section 2.1).
func (g *google) byKey(ctx context.Context, key *gcpKey) (secret.Value, time.Time, error) {
	// Some seconds of difference are no difference.
	now := g.deps.Clock().Add(time.Duration(g.skew.Load()) - 10*time.Second)
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Scope    string `json:"scope"`
		Audience string `json:"aud"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{key.email, strings.Join(g.scopes, " "), key.tokenURL, now.Unix(), now.Add(gcpLife).Unix()})
	if err != nil {
		return secret.Value{}, time.Time{}, errors.New("the assertion cannot be written")
	}
	signed, err := key.signer.Sign(claims)
	if err != nil {
		return secret.Value{}, time.Time{}, errors.New("the private key cannot sign")
	}
	assertion, err := signed.CompactSerialize()
	if err != nil {
		return secret.Value{}, time.Time{}, errors.New("the assertion cannot be written")
	}
	return g.post(ctx, key.tokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	}, key.private, secret.NewValue([]byte(assertion)))
}

// gcpFile is a credential file of Google's, as far as it is read.
type gcpFile struct {
	Type     string `json:"type"`
	Universe string `json:"universe_domain"`
	Email    string `json:"client_email"`
	Private  string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURI string `json:"token_uri"`

	gcpExternal
}

// parseGCPFile reads a credential file, and refuses what it would be of no use
// to read on. Errors quote nothing but the type.
func parseGCPFile(text []byte) (*gcpFile, error) {
	var f gcpFile
	if len(trim(text)) == 0 {
		return nil, errors.New("it is empty")
	}
	if json.Unmarshal(text, &f) != nil {
		return nil, errors.New("it is not the JSON of a Google credential file")
	}
	switch f.Type {
	case "":
		return nil, errors.New("it has no type; want the JSON key of a service account")
	case "authorized_user":
		return nil, errors.New("type authorized_user is refused: a person's login is no credential for a gateway; use a service account's key")
	case "impersonated_service_account":
		return nil, errors.New("type impersonated_service_account is refused: it stands on a person's login; use workload identity federation with impersonation")
	case "gdch_service_account", "external_account_authorized_user":
		return nil, fmt.Errorf("type %s is not supported; use a service account's key", f.Type)
	}
	if f.Universe != "" && f.Universe != "googleapis.com" {
		return nil, errors.New("universe_domain: only googleapis.com is supported")
	}
	return &f, nil
}

// parseGCPKey reads the key of a service account. An external account is
// refused here whatever its source: a secret must neither start a program, nor
// name a file or a server of the gateway's machine to be read.
func parseGCPKey(text []byte) (*gcpKey, error) {
	f, err := parseGCPFile(text)
	switch {
	case err != nil:
		return nil, err
	case f.Type == gcpExternalAccount && f.Source.Executable != nil:
		return nil, errors.New("type external_account with credential_source.executable is refused: it would start a program, which the gateway never does; use workload identity federation")
	case f.Type == gcpExternalAccount:
		return nil, errors.New("type external_account is refused in a secret: it names what the gateway's machine should read; use workload identity federation")
	}
	return f.key()
}

// key makes a key of the file of a service account.
func (f *gcpFile) key() (*gcpKey, error) {
	switch {
	case f.Type != gcpServiceAccount:
		return nil, errors.New("its type is none that is known; want service_account")
	case f.Email == "" || f.Private == "":
		return nil, errors.New("client_email or private_key is missing")
	case strings.ContainsFunc(f.Email+f.KeyID, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("client_email or private_key_id holds a character that it cannot hold")
	}
	tokenURL := cmp.Or(f.TokenURI, gcpTokenURL)
	if err := checkGoogle("token_uri", tokenURL, "oauth2.googleapis.com", "www.googleapis.com", "accounts.google.com"); err != nil {
		return nil, err
	}
	private, err := parseRSA(f.Private)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: f.KeyID}}, options)
	if err != nil {
		return nil, errors.New("private_key: cannot sign")
	}
	return &gcpKey{email: f.Email, tokenURL: tokenURL, signer: signer, private: secret.NewValue([]byte(f.Private))}, nil
}

// parseRSA reads a private key in PEM.
func parseRSA(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("private_key: not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if own, ok := key.(*rsa.PrivateKey); err == nil && ok {
		return own, nil
	}
	return nil, errors.New("private_key: not an RSA key")
}

// checkGoogle refuses a URL of a credential file that is not one of Google's:
// a file may say who the gateway is, and not where its assertions go.
func checkGoogle(what, raw string, hosts ...string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !slices.Contains(hosts, u.Host) {
		return fmt.Errorf("%s is not an https URL of %s; assertions are sent nowhere else", what, strings.Join(hosts, " or "))
	}
	return nil
}
