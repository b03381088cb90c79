package envoyai

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// The types of BackendSecurityPolicies, each called as its field but for case.
const (
	typeAPIKey          = "APIKey"
	typeAWS             = "AWSCredentials"
	typeAzureAPIKey     = "AzureAPIKey"
	typeAzure           = "AzureCredentials"
	typeGCP             = "GCPCredentials"
	typeAnthropicAPIKey = "AnthropicAPIKey"
)

var (
	originalTypes = []string{typeAPIKey, typeAWS}
	allTypes      = []string{typeAPIKey, typeAWS, typeAzureAPIKey, typeAzure, typeGCP, typeAnthropicAPIKey}
)

// backendSecurity reports a policy. What it does shows at its backends.
func (p *place) backendSecurity(s *backendSecurityPolicySpec) {
	g := s.generation(p.Object.Version)
	if g != today {
		p.Note("", "name its backends in targetRefs", "%v or of v0.1: it holds for the backends that name it", original)
	}
	_, closed := p.credential()
	out := status.Outcome{Object: p.Object.Key.Status(), Condition: "Ready", OK: true, Reason: "Ready"}
	if c := faulty(p.Object); c != nil {
		closed = c
	}
	if closed != nil {
		out.OK, out.Reason, out.Message = false, "NotReady", closed.Reason
	}
	p.t.report.Outcome(out)
	for i, t := range s.TargetRefs {
		at := p.in("targetRefs[%d]", i)
		key := targetKey(t, p.Object.Namespace)
		switch {
		case key.GroupKind != aiServiceBackendKind:
			at.Fail("", "name an AIServiceBackend", "a target of kind %v is not supported", key.GroupKind)
		case p.t.v.Get(key.GroupKind, key.Namespace, key.Name) == nil:
			at.unresolved("name", p.suggest(key), "no AIServiceBackend %q in %s; the policy gives its credential to nobody there", t.Name, p.Object.Namespace)
		}
	}
	if len(s.TargetRefs) > maxMutations {
		p.Fail("targetRefs", "make two policies of it", "there are %d targets, and at most %d are taken", len(s.TargetRefs), maxMutations)
	}
}

// generation tells the form of a policy by what it says.
func (s *backendSecurityPolicySpec) generation(version string) generation {
	if version == versionStable || len(s.TargetRefs) > 0 || s.CredentialOverride != nil ||
		s.AzureAPIKey != nil || s.AnthropicAPIKey != nil || s.Azure != nil || s.GCP != nil {
		return today
	}
	return original
}

// mechanisms lists the fields of a policy that hold a credential.
func (s *backendSecurityPolicySpec) mechanisms() []string {
	var out []string
	for _, m := range []struct {
		field string
		set   bool
	}{
		{"apiKey", s.APIKey != nil},
		{"awsCredentials", s.AWS != nil},
		{"azureAPIKey", s.AzureAPIKey != nil},
		{"azureCredentials", s.Azure != nil},
		{"gcpCredentials", s.GCP != nil},
		{"anthropicAPIKey", s.AnthropicAPIKey != nil},
	} {
		if m.set {
			out = append(out, m.field)
		}
	}
	return out
}

// credential reads what a policy shows to its backends. closed says why there
// is none: a fault, or a body that the original form lets be missing.
func (p *place) credential() (c *ir.Credential, closed *ir.Closed) {
	mark := p.Mark()
	s := &p.Object.Spec.(*backendSecurityPolicy).Spec
	g := s.generation(p.Object.Version)
	if !p.typed(s, g) {
		return nil, p.Since(mark)
	}
	field := fieldOf(s.Type)
	if !slices.Contains(s.mechanisms(), field) {
		if g == today {
			p.Fail(field, "write it", "when type is %s, %s must be set", s.Type, field)
			return nil, p.Since(mark)
		}
		return nil, p.notReady(field, "write it", "type is %s, and %s is missing: the policy is not ready, and what needs it is closed", s.Type, field)
	}
	c, closed = p.in("%s", field).mechanism(s, g)
	p.override(s, c)
	if c != nil {
		c.Origin = p.Origin(field)
	}
	if at := faulty(p.Object); at != nil {
		closed = at
	}
	if at := p.Since(mark); at != nil {
		closed = at
	}
	return c, closed
}

// notReady reports, as a warning, what the form accepts and nothing can be made
// of.
func (p *place) notReady(field, remedy, format string, args ...any) *ir.Closed {
	p.Warn(field, remedy, format, args...)
	last := p.t.report.Problems[len(p.t.report.Problems)-1]
	return &ir.Closed{Reason: last.What, Origin: last.Origin}
}

// typed checks that a policy has a type, and no mechanism of another.
func (p *place) typed(s *backendSecurityPolicySpec, g generation) bool {
	types := allTypes
	if g == original {
		types = originalTypes
	}
	all := strings.Join(types, ", ")
	found := s.mechanisms()
	switch {
	case s.Type == "":
		p.Fail("type", "write one of "+all, "type is missing")
	case !slices.Contains(types, s.Type):
		p.Fail("type", "write one of "+all, "%q is no type of policy", s.Type)
	case g == original && len(found) > 1:
		p.Fail(found[1], "keep the one of its type", "the policy has %d mechanisms, %s, and at most one is taken", len(found), strings.Join(found, " and "))
	case g == today && slices.ContainsFunc(found, func(f string) bool { return f != fieldOf(s.Type) }):
		for _, f := range found {
			if f != fieldOf(s.Type) {
				p.Fail(f, "remove it, or change the type", "when type is %s, only %s should be set", s.Type, fieldOf(s.Type))
			}
		}
	default:
		return true
	}
	return false
}

// fieldOf returns the field of a type.
func fieldOf(kind string) string {
	switch kind {
	case typeAPIKey:
		return "apiKey"
	case typeAWS:
		return "awsCredentials"
	case typeAzureAPIKey:
		return "azureAPIKey"
	case typeAzure:
		return "azureCredentials"
	case typeGCP:
		return "gcpCredentials"
	}
	return "anthropicAPIKey"
}

// mechanism reads the field of the policy's type, at which p is.
func (p *place) mechanism(s *backendSecurityPolicySpec, g generation) (*ir.Credential, *ir.Closed) {
	switch s.Type {
	case typeAPIKey:
		return p.key(s.APIKey, "Authorization", "Bearer "), nil
	case typeAzureAPIKey:
		return p.key(s.AzureAPIKey, "api-key", ""), nil
	case typeAnthropicAPIKey:
		return p.key(s.AnthropicAPIKey, "x-api-key", ""), nil
	case typeAzure:
		return p.azure(s.Azure), nil
	case typeGCP:
		return p.gcp(s.GCP), nil
	}
	return p.aws(s.AWS, g)
}

// apiKeyData is the data key that holds an API key.
const apiKeyData = "apiKey"

func (p *place) key(s *secretKey, header, prefix string) *ir.Credential {
	ref := p.secretKey("secretRef", s.SecretRef, apiKeyData)
	return &ir.Credential{Header: &ir.HeaderCredential{Name: header, Prefix: prefix, Secret: ref}}
}

// override reads where a request may bring a credential of its own.
func (p *place) override(s *backendSecurityPolicySpec, c *ir.Credential) {
	o := s.CredentialOverride
	if o == nil || c == nil {
		return
	}
	at := p.in("credentialOverride")
	if p.Object.Version != versionStable {
		p.Fail("credentialOverride", "write apiVersion: "+aiGroup+"/"+versionStable, "%s has no credentialOverride", p.Object.Version)
	}
	header, metadata := o.FromRequestHeaders, o.FromDynamicMetadata
	if (header == nil) == (metadata == nil) {
		at.Fail("", "write one of fromRequestHeaders and fromDynamicMetadata", "exactly one source is wanted")
		return
	}
	usual := overrideHeaders[s.Type]
	if header != nil {
		c.Override = &ir.CredentialOverride{Header: usual, Required: header.required()}
		if header.Header != "" {
			c.Override.Header = header.Header
		}
		at.headerName("fromRequestHeaders.header", c.Override.Header)
		at.Ignore("fromRequestHeaders.namespace", present(header.Namespace+header.Key != ""))
		return
	}
	key := metadata.Key
	if key == "" {
		key = usual
		if s.Type == typeAWS {
			key += "credentials"
		}
	}
	at.Need("fromDynamicMetadata.namespace", metadata.Namespace)
	at.Ignore("fromDynamicMetadata.header", present(metadata.Header != ""))
	c.Override = &ir.CredentialOverride{Metadata: &ir.MetadataKey{Namespace: metadata.Namespace, Key: key}, Required: metadata.required()}
}

func (o *overrideSource) required() bool {
	return o.FallbackToConfigured != nil && !*o.FallbackToConfigured
}

// overrideHeaders are where requests bring their own credentials by default;
// AWS's is the beginning of three names.
var overrideHeaders = map[string]string{
	typeAPIKey:          "x-aigw-api-key",
	typeAnthropicAPIKey: "x-aigw-anthropic-api-key",
	typeAzureAPIKey:     "x-aigw-azure-api-key",
	typeAzure:           "x-aigw-azure-access-token",
	typeGCP:             "x-aigw-gcp-access-token",
	typeAWS:             "x-aigw-aws-",
}
