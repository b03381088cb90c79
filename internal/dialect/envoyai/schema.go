package envoyai

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// The wire APIs of backends.
const (
	schemaOpenAI       = "OpenAI"
	schemaCohere       = "Cohere"
	schemaAWSBedrock   = "AWSBedrock"
	schemaAzureOpenAI  = "AzureOpenAI"
	schemaGCPVertexAI  = "GCPVertexAI"
	schemaGCPAnthropic = "GCPAnthropic"
	schemaAnthropic    = "Anthropic"
	schemaAWSAnthropic = "AWSAnthropic"
)

var (
	originalSchemas = []string{schemaOpenAI, schemaAWSBedrock}
	allSchemas      = []string{
		schemaOpenAI, schemaCohere, schemaAWSBedrock, schemaAzureOpenAI,
		schemaGCPVertexAI, schemaGCPAnthropic, schemaAnthropic, schemaAWSAnthropic,
	}
)

// knownSchema reports a schema that is none of its generation.
func (p *place) knownSchema(f *backendForm) bool {
	known := allSchemas
	if f.generation == original {
		known = originalSchemas
	}
	switch {
	case f.schema.Name == "":
		p.Fail(f.schemaField, "write one of "+strings.Join(known, ", "), "%s is missing", f.schemaField)
	case !slices.Contains(known, f.schema.Name):
		p.Fail(f.schemaField, "write one of "+strings.Join(known, ", "), "%q is no schema in %v", f.schema.Name, f.generation)
	default:
		return true
	}
	return false
}

// api prepares an upstream for requests in the backend's schema. model, if any,
// replaces the request's.
func (p *place) api(f *backendForm, gcp *gcpCredentials, model string, u *ir.Upstream) {
	s := &f.schema
	switch s.Name {
	case schemaOpenAI, schemaAnthropic:
		u.LLM = &ir.LLM{Schema: strings.ToLower(s.Name), Path: prefixPath(cmp.Or(s.Prefix, "v1")) + "/{api}", Model: model}
	case schemaCohere:
		u.LLM = &ir.LLM{Schema: "cohere", Path: prefixPath(cmp.Or(s.Version, "v2")) + "/{api}", Model: model}
	case schemaAzureOpenAI:
		p.Need("schema.version", s.Version)
		u.LLM = &ir.LLM{Schema: "openai", Path: "/openai/deployments/{model}/{api}?api-version=" + url.QueryEscape(s.Version), Model: model}
	case schemaGCPAnthropic:
		base := p.gcpBase(gcp) + "/publishers/anthropic/models/{model}"
		u.LLM = &ir.LLM{Schema: "anthropic", Path: base + ":rawPredict", StreamPath: base + ":streamRawPredict", Model: model}
		version := cmp.Or(s.Version, "vertex-2023-10-16")
		p.put(u, "schema", ir.Step{BodyEdit: &ir.BodyEdit{Remove: []string{"model"}, Set: []ir.BodyMember{{Name: "anthropic_version", Value: quoteJSON(version)}}}})
	case schemaGCPVertexAI:
		to := p.gcpBase(gcp) + `/publishers/google/models/` + cmp.Or(url.PathEscape(model), `\1`) + `:\2`
		p.put(u, "schema", ir.Step{Path: &ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: `^.*/models/([^/:]+):([A-Za-z]+)$`, Substitution: to}}})
	case schemaAWSBedrock, schemaAWSAnthropic:
		if model != "" {
			p.put(u, "schema", ir.Step{Path: &ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: `^/model/[^/]+/`, Substitution: "/model/" + url.PathEscape(model) + "/"}}})
		}
	}
}

// put adds a step to what runs for each attempt on an upstream.
func (p *place) put(u *ir.Upstream, field string, s ir.Step) {
	s.Phase, s.Slot, s.Origin = ir.PhaseForward, name+"/"+field, p.Origin(field)
	u.Steps = append(u.Steps, s)
}

// prefixPath returns a prefix, with or without slashes, as a path.
func prefixPath(s string) string { return "/" + strings.Trim(s, "/") }

var gcpName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$`)

// gcpBase returns the path of a project's location, which the credential names.
func (p *place) gcpBase(c *gcpCredentials) string {
	if c == nil {
		p.Fail("schema.name", "write a BackendSecurityPolicy of type GCPCredentials for it", "project and region are in the credential, and there is none")
		return ""
	}
	if !gcpName.MatchString(c.ProjectName) || !gcpName.MatchString(c.Region) {
		return "" // the policy tells of it
	}
	return "/v1/projects/" + c.ProjectName + "/locations/" + c.Region
}
