package gloo

import (
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// tokenKey is the data key of a Secret that holds a provider's key.
const tokenKey = "Authorization"

// credential reads a provider's key. None, or passthrough, shows the provider
// the caller's own.
func (p *options) credential(at string, c *call) *ir.Credential {
	at += ".authToken"
	out := &ir.Credential{Origin: p.Origin(at)}
	s := c.token
	if s == nil {
		s = &authToken{}
	}
	n := 0
	for _, set := range []bool{s.SecretRef != nil, !s.Inline.IsZero(), s.Passthrough.set()} {
		if set {
			n++
		}
	}
	switch {
	case n > 1:
		p.Fail(at, "keep one of them", "secretRef, inline and passthrough exclude each other")
		return nil
	case s.SecretRef != nil:
		r, ok := p.secretKeys(at+".secretRef", *s.SecretRef, []string{tokenKey})
		if !ok {
			return nil
		}
		out.Header = &ir.HeaderCredential{Name: c.header, Prefix: c.prefix, Secret: r[0]}
	case !s.Inline.IsZero():
		out.Header = &ir.HeaderCredential{Name: c.header, Prefix: c.prefix, Secret: s.Inline}
	default:
		out.Passthrough = &ir.PassthroughCredential{Name: c.header, Prefix: c.prefix}
	}
	return out
}

// awsKeys are the data keys of a Secret with AWS credentials, in the forms
// that are in use; the session token, the last, may be missing.
var awsKeys = [][]string{
	{"accessKey", "secretKey", "sessionToken"},
	{"aws_access_key_id", "aws_secret_access_key", "aws_session_token"},
}

func (p *options) awsCredential(at string, s *bedrock) *ir.Credential {
	at += ".credentialProvider"
	aws := &ir.AWSStaticKeys{}
	cp := s.CredentialProvider
	switch {
	case cp == nil || (cp.Inline == nil) == (cp.SecretRef == nil):
		p.Fail(at, "write secretRef", "there is no AWS credential, or two")
		return nil
	case cp.Inline != nil:
		in := cp.Inline
		if in.AccessKeyID.IsZero() || in.SecretAccessKey.IsZero() {
			p.Fail(at+".inline", "write both", "accessKeyId or secretAccessKey is missing")
		}
		aws.AccessKeyID, aws.SecretAccessKey, aws.SessionToken = in.AccessKeyID, in.SecretAccessKey, in.SessionToken
	default:
		keys, ok := p.secretKeys(at+".secretRef", *cp.SecretRef, awsKeys...)
		if !ok {
			return nil
		}
		aws.AccessKeyID, aws.SecretAccessKey = keys[0], keys[1]
		if len(keys) > 2 {
			aws.SessionToken = keys[2]
		}
	}
	return &ir.Credential{
		AWS:    &ir.AWSCredential{Region: s.Region, Service: "bedrock", Keys: ir.AWSKeySource{Static: aws}},
		Origin: p.Origin(at),
	}
}

// secretKeys returns the keys of a Secret by the first of forms that it has;
// a third key of a form may be missing.
func (p *options) secretKeys(at string, r ref, forms ...[]string) ([]secret.Ref, bool) {
	r = r.in(p.Object.Namespace)
	_, s, missing := secretref.Find(p.t.v, p.Object, r.Namespace, r.Name)
	if missing != nil {
		p.Fail(at, missing.Remedy, "%s", missing.What)
		return nil, false
	}
	for _, form := range forms {
		var out []secret.Ref
		for i, key := range form {
			if s.HasKey(key) {
				out = append(out, secretKey(r, key))
			} else if i < 2 {
				out = nil
				break
			}
		}
		if out != nil {
			return out, true
		}
	}
	form := forms[0][:min(2, len(forms[0]))]
	p.Fail(at, "put it into the Secret's data", "secret %v has no key %s", r, strings.Join(form, " and "))
	return nil, false
}
