package credential

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

// awsKeys are one version of an account's or a session's keys. The signer
// caches what it derives from them by their id alone, so each version has its
// own.
type awsKeys struct {
	id, key, session secret.Value
	signer           *v4.Signer
	// skew is how far AWS's clock was ahead of ours when it gave them out.
	skew time.Duration
}

// newKeys makes keys of what somebody sent, and refuses what cannot be keys.
func newKeys(id, key, session string) (*awsKeys, error) {
	if id == "" || key == "" {
		return nil, errors.New("the access key id or the secret access key is missing")
	}
	for _, s := range []string{id, key, session} {
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a key holds a character that no key may hold")
		}
	}
	return &awsKeys{
		id: secret.NewValue([]byte(id)), key: secret.NewValue([]byte(key)), session: secret.NewValue([]byte(session)),
		signer: v4.NewSigner(),
	}, nil
}

func (k *awsKeys) credentials() aws.Credentials {
	return aws.Credentials{
		AccessKeyID:     string(k.id.Reveal()),
		SecretAccessKey: string(k.key.Reveal()),
		SessionToken:    string(k.session.Reveal()),
	}
}

// keySource returns where the keys of cfg come from, and what holds that.
func keySource(cfg *ir.AWSCredential, d Deps) (Source[*awsKeys], *keep.Session, error) {
	what, derived, err := keyRenewable(&cfg.Keys, cfg.Region, d)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Keys.Static != nil && cfg.Keys.Role == nil {
		return static[*awsKeys]{derived}, nil, nil
	}
	kept := cfg.Keys
	if kept.Exchange != nil {
		e := *kept.Exchange
		e.Subject = subjectWithoutOrigins(e.Subject)
		kept.Exchange = &e
	}
	session := d.Keep.Begin()
	r, err := rotated(session, keep.Key("awskeys", []any{cfg.Region, kept}), what, d)
	if err != nil {
		session.Release()
		return nil, nil, err
	}
	return r, session, nil
}

// keyRenewable says how keys are got. Static ones are Derived, too.
func keyRenewable(cfg *ir.AWSKeySource, region string, d Deps) (Renewable[*awsKeys], *secret.Derived[*awsKeys], error) {
	what, derived, err := firstKeys(cfg, region, d)
	if err != nil || cfg.Role == nil {
		return what, derived, err
	}
	what, err = assuming(what, cfg.Role, region, d)
	return what, derived, err
}

// firstKeys says how the keys are got with which a role may be assumed.
func firstKeys(cfg *ir.AWSKeySource, region string, d Deps) (Renewable[*awsKeys], *secret.Derived[*awsKeys], error) {
	switch {
	case cfg.Static != nil:
		return staticKeys(cfg.Static, d)
	case cfg.File != nil:
		what, err := fileKeys(cfg.File, region, d)
		return what, nil, err
	case cfg.Exchange != nil:
		what, err := exchangedKeys(cfg.Exchange, region, d)
		return what, nil, err
	case cfg.Default:
		return defaultKeys(region, d), nil, nil
	}
	return Renewable[*awsKeys]{}, nil, errors.New("no source of keys is set")
}

// lastingLife is how long keys that do not end are taken for fresh.
const lastingLife = 24 * time.Hour

func staticKeys(cfg *ir.AWSStaticKeys, d Deps) (Renewable[*awsKeys], *secret.Derived[*awsKeys], error) {
	if cfg.AccessKeyID.IsZero() || cfg.SecretAccessKey.IsZero() {
		return Renewable[*awsKeys]{}, nil, errors.New("no access key id or no secret access key is named")
	}
	refs := []secret.Ref{cfg.AccessKeyID, cfg.SecretAccessKey}
	if !cfg.SessionToken.IsZero() {
		refs = append(refs, cfg.SessionToken)
	}
	derived := secret.Derive(d.Store, refs, func(v []secret.Value) (*awsKeys, error) { return parseAWSKeys(refs, v) })
	return ofSecret("aws keys in "+cfg.SecretAccessKey.String(), derived, d), derived, nil
}

// ofSecret says how to get keys that are in a secret, as they are.
func ofSecret(name string, derived *secret.Derived[*awsKeys], d Deps) Renewable[*awsKeys] {
	return Renewable[*awsKeys]{
		Name: name, Refs: derived.Refs(),
		Check: func() error { _, err := derived.Get(); return err },
		Fetch: lasting(d, derived.Get),
	}
}

func parseAWSKeys(refs []secret.Ref, values []secret.Value) (*awsKeys, error) {
	parts := make([]string, 3)
	for i := range refs {
		b, err := clean(refs[i], values[i])
		if err != nil {
			return nil, err
		}
		parts[i] = string(b)
	}
	k, err := newKeys(parts[0], parts[1], parts[2])
	if err != nil {
		return nil, fmt.Errorf("%v: %w", refs[0], err)
	}
	return k, nil
}
