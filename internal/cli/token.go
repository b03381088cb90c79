package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/simulate"
)

// tokenOptions are the flags of token.
type tokenOptions struct {
	claims, issuer, subject, keyFile, keyID, jwksFile, newKey string
	audience, claim                                           []string
	life                                                      time.Duration
}

func newToken(std Streams) *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Mint a development JWT and its key set",
		Long: `Mint a JSON Web Token for development, signed by a key of your own or a new one.

The token goes to standard output; the key set that verifies it to --jwks FILE,
or to standard error. Without --key a new RSA key is made for this one token;
--new-key FILE keeps it for the next.`,
		Example: `  postern token --iss solo.io --sub alice --claim 'llms={"openai":["gpt-3.5-turbo"]}' --jwks keys.json`,
		RunE:    func(*cobra.Command, []string) error { return o.run(std) },
	}
	f := cmd.Flags()
	f.StringVar(&o.claims, "claims", "", "all claims as one `JSON` object; the other flags add to it")
	f.StringVar(&o.issuer, "iss", "", "issuer: `TEXT`")
	f.StringVar(&o.subject, "sub", "", "subject: `TEXT`")
	f.StringArrayVar(&o.audience, "aud", nil, "audience: `TEXT`; repeatable")
	f.StringArrayVar(&o.claim, "claim", nil, "one claim: `NAME=VALUE`, where VALUE is JSON or text; repeatable")
	f.DurationVar(&o.life, "expires-in", time.Hour, "`TIME` until exp; 0 leaves it out")
	f.StringVar(&o.keyFile, "key", "", "`FILE` of the private key to sign with, PEM")
	f.StringVar(&o.newKey, "new-key", "", "`FILE` to write the new private key to")
	f.StringVar(&o.keyID, "kid", "", "`ID` of the key, in the token and in the key set")
	f.StringVar(&o.jwksFile, "jwks", "", "`FILE` to write the key set to instead of standard error")
	return cmd
}

func (o *tokenOptions) run(std Streams) error {
	claims, err := o.payload(time.Now())
	if err != nil {
		return usageError{err}
	}
	key, err := o.key()
	if err != nil {
		return err
	}
	token, err := simulate.Mint(simulate.TokenConfig{Claims: claims, Key: key, KeyID: o.keyID})
	if err != nil {
		return err
	}
	if o.jwksFile != "" {
		if err := os.WriteFile(o.jwksFile, append(token.JWKS, '\n'), 0o644); err != nil {
			return fmt.Errorf("write key set: %w", err)
		}
	} else {
		fmt.Fprintf(std.Err, "%s\n", token.JWKS)
	}
	_, err = fmt.Fprintln(std.Out, token.JWT)
	return err
}

// payload puts the claims together.
func (o *tokenOptions) payload(now time.Time) ([]byte, error) {
	claims := map[string]any{}
	if o.claims != "" {
		if err := json.Unmarshal([]byte(o.claims), &claims); err != nil {
			return nil, fmt.Errorf("--claims: want a JSON object: %w", err)
		}
	}
	if o.issuer != "" {
		claims["iss"] = o.issuer
	}
	if o.subject != "" {
		claims["sub"] = o.subject
	}
	switch len(o.audience) {
	case 0:
	case 1:
		claims["aud"] = o.audience[0]
	default:
		claims["aud"] = o.audience
	}
	if _, set := claims["exp"]; !set && o.life != 0 {
		claims["exp"] = now.Add(o.life).Unix()
	}
	for _, c := range o.claim {
		name, text, ok := strings.Cut(c, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--claim %q: want NAME=VALUE", c)
		}
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			v = text
		}
		claims[name] = v
	}
	return json.Marshal(claims)
}

// key reads the private key, or makes one.
func (o *tokenOptions) key() ([]byte, error) {
	if o.keyFile != "" {
		key, err := os.ReadFile(o.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
		return key, nil
	}
	key, err := simulate.NewKey()
	if err == nil && o.newKey != "" {
		if err = os.WriteFile(o.newKey, key, 0o600); err != nil {
			err = fmt.Errorf("--new-key: %w", err)
		}
	}
	return key, err
}
