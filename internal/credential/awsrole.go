package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// sessionName is what a session is called that nobody names.
const sessionName = "postern"

// checkRole refuses what STS would refuse each time.
func checkRole(r *ir.AWSRole) error {
	parts := strings.SplitN(r.ARN, ":", 6)
	switch {
	case r.ARN == "":
		return errors.New("no role is named to assume")
	case len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || !strings.HasPrefix(parts[5], "role/"):
		return fmt.Errorf("%q is not the ARN of a role, such as arn:aws:iam::123456789012:role/name", short(r.ARN))
	case r.Endpoint != "":
		return checkURL("STS endpoint", r.Endpoint)
	case r.Duration != 0 && r.Duration < time.Second:
		return errors.New("the duration of a session is less than a second")
	}
	return nil
}

// roles assumes roles at one endpoint of STS. It is kept from one fetch to the
// next: its client learns how far the clocks are apart.
type roles struct {
	client *sts.Client
	deps   Deps
}

// newRoles returns roles of a region, or at another endpoint if that is not
// empty. Nothing is repeated here: the Rotator backs off.
func newRoles(region, endpoint string, d Deps) *roles {
	o := sts.Options{Region: region, Retryer: aws.NopRetryer{}, Credentials: aws.AnonymousCredentials{}, HTTPClient: d.Client, HTTPSignerV4: forgetful{}}
	if endpoint != "" {
		o.BaseEndpoint = aws.String(endpoint)
	}
	return &roles{sts.New(o), d}
}

// forgetful signs by a signer of its own each time. The SDK's keeps what it
// derives by the id of the keys alone, also where their secret was corrected.
type forgetful struct{}

// SignHTTP signs r.
func (forgetful) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) error {
	return v4.NewSigner().SignHTTP(ctx, c, r, hash, service, region, at, o...)
}

// assuming says how keys of a role are got, given how those of who assumes it
// are.
func assuming(base Renewable[*awsKeys], role *ir.AWSRole, region string, d Deps) (Renewable[*awsKeys], error) {
	if err := checkRole(role); err != nil {
		return base, err
	}
	what, at := base, newRoles(region, role.Endpoint, d)
	what.Name = "aws role " + role.ARN + " by " + base.Name
	what.Fetch = func(ctx context.Context) (*awsKeys, time.Time, error) {
		keys, _, err := base.Fetch(ctx)
		if err != nil {
			return nil, time.Time{}, err
		}
		return at.assume(ctx, keys, role)
	}
	return what, nil
}

// assume is AssumeRole, signed with keys.
func (at *roles) assume(ctx context.Context, keys *awsKeys, role *ir.AWSRole) (*awsKeys, time.Time, error) {
	in := &sts.AssumeRoleInput{RoleArn: &role.ARN, RoleSessionName: aws.String(cmp.Or(role.SessionName, sessionName)), DurationSeconds: seconds(role.Duration)}
	if role.ExternalID != "" {
		in.ExternalId = &role.ExternalID
	}
	for _, name := range slices.Sorted(maps.Keys(role.Tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(name), Value: aws.String(role.Tags[name])})
	}
	began := at.deps.Clock()
	out, err := at.client.AssumeRole(ctx, in, func(o *sts.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys.credentials(), nil })
	})
	if err != nil {
		return nil, time.Time{}, stsError("assume role "+role.ARN, err, keys.key, keys.session)
	}
	return received("assume role "+role.ARN, out.Credentials, out.ResultMetadata, began)
}

// exchangedKeys says how a token is traded for keys.
func exchangedKeys(cfg *ir.AWSExchange, region string, d Deps) (Renewable[*awsKeys], error) {
	var what Renewable[*awsKeys]
	if err := checkRole(&cfg.Role); err != nil {
		return what, err
	}
	subject, err := subjectToken(&cfg.Subject, d)
	if err != nil {
		return what, err
	}
	at := newRoles(region, cfg.Role.Endpoint, d)
	what.Name, what.Refs, what.Check = "aws role "+cfg.Role.ARN+" by "+subject.Name, subject.Refs, subject.Check
	what.Fetch = func(ctx context.Context) (*awsKeys, time.Time, error) {
		token, _, err := subject.Fetch(ctx)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("%s: %w", subject.Name, err)
		}
		return at.exchange(ctx, token, &cfg.Role)
	}
	return what, nil
}

// exchange is AssumeRoleWithWebIdentity, which is not signed.
func (at *roles) exchange(ctx context.Context, token secret.Value, role *ir.AWSRole) (*awsKeys, time.Time, error) {
	in := &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &role.ARN, RoleSessionName: aws.String(cmp.Or(role.SessionName, sessionName)),
		WebIdentityToken: aws.String(string(token.Reveal())), DurationSeconds: seconds(role.Duration),
	}
	began := at.deps.Clock()
	out, err := at.client.AssumeRoleWithWebIdentity(ctx, in)
	if err != nil {
		return nil, time.Time{}, stsError("assume role "+role.ARN+" with a web identity", err, token)
	}
	return received("assume role "+role.ARN+" with a web identity", out.Credentials, out.ResultMetadata, began)
}

func seconds(d time.Duration) *int32 {
	if d <= 0 {
		return nil
	}
	return aws.Int32(int32(min(d/time.Second, 1<<31-1)))
}

// received checks what STS gave out.
func received(what string, c *types.Credentials, m middleware.Metadata, began time.Time) (*awsKeys, time.Time, error) {
	if c == nil || c.Expiration == nil || aws.ToString(c.SessionToken) == "" {
		return nil, time.Time{}, fmt.Errorf("%s: the answer lacks credentials, their session token or their expiration", what)
	}
	keys, err := newKeys(aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), *c.SessionToken)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", what, err)
	}
	date, _ := awsmiddleware.GetServerTime(m)
	keys.skew = skewOf(date, began)
	return keys, localEnd(*c.Expiration, date, began), nil
}

// skewOf returns how far a server's clock is ahead of ours; 0 if by no more
// than what a request may take.
func skewOf(date, began time.Time) time.Duration {
	if skew := date.Sub(began); !date.IsZero() && skew.Abs() > time.Minute {
		return skew
	}
	return 0
}

// stsError says what went wrong. AWS's message says what is missing in a trust
// policy, so it is repeated, unless there is something in it of what was sent.
func stsError(what string, err error, sent ...secret.Value) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%s: %s", what, withoutSecrets(plainCause(err), sent))
	}
	text := withoutSecrets(api.ErrorMessage(), sent)
	if code := word(api.ErrorCode()); code != "" && code != "UnknownError" {
		text = strings.TrimSuffix(code+": "+text, ": ")
	}
	return fmt.Errorf("%s: %s", what, cmp.Or(text, "refused without a reason"))
}

// plainCause returns the innermost reason of an SDK's error, whose outer ones
// repeat the whole URL or body.
func plainCause(err error) string {
	for {
		var next error
		switch e := err.(type) {
		case *smithy.DeserializationError:
			return "the answer is not what STS answers"
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// withoutSecrets returns what a server said if it is one line of plain text in
// which no part of a secret is.
func withoutSecrets(text string, sent []secret.Value) string {
	const part = 10 // bytes of a secret that no message holds by chance
	text = short(strings.ToValidUTF8(text, "?"))
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "the server's message holds what cannot be shown"
	}
	for i := 0; i+part <= len(text); i++ {
		for _, v := range sent {
			if strings.Contains(string(v.Reveal()), text[i:i+part]) {
				return "the server's message repeats a secret"
			}
		}
	}
	return text
}
