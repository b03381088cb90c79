// Package policytest runs PolicyTest files: requests, and what is expected to
// become of them under given policies or whole configurations.
//
//	file ──Decode──► Test ──Load──► explain.Target ──each case──► Result
//	                  │ (resources, manifests, a scaffold where    │
//	                  │  there are policies alone)                 ▼
//	                  └─ expect ───────────────────────────► text, JSON, JUnit
//
// Cases are decided by package explain, and so by the stages that serve. What
// resources become, the caller knows: this package reads no dialect.
package policytest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
)

// Kind describes PolicyTest to the decoder.
func Kind() resource.Kind {
	return resource.Kind{
		GroupKind: resource.GroupKind{Group: "postern.dev", Kind: "PolicyTest"},
		Versions:  []string{"v1alpha1"}, Plural: "policytests",
		New: func() any { return new(document) },
	}
}

// document is a PolicyTest's own fields.
type document struct {
	Spec Spec `json:"spec"`
}

// Spec is what a PolicyTest says.
type Spec struct {
	// Now is the time of every request; zero: the present.
	Now *Time `json:"now"`
	// Workload whose policies apply.
	Workload *Workload `json:"workload"`
	// Resources are files and folders, relative to the test's file; Manifests
	// are YAML documents.
	Resources []string `json:"resources"`
	Manifests string   `json:"manifests"`
	// External are answers of outside checks, by the namespace/name of the
	// policy, or of the server, or by the server's host.
	External map[string]Answer `json:"external"`
	// JWKS are key sets by their URLs, in place of being fetched.
	JWKS  map[string]json.RawMessage `json:"jwks"`
	Cases []Case                     `json:"cases"`
}

// Workload is who the gateway is, for policies that select workloads.
type Workload struct {
	Namespace          string            `json:"namespace"`
	Labels             map[string]string `json:"labels"`
	RootNamespace      string            `json:"rootNamespace"`
	TrustDomain        string            `json:"trustDomain"`
	TrustDomainAliases []string          `json:"trustDomainAliases"`
}

// Answer is what an outside check says of every request.
type Answer struct {
	Allow bool `json:"allow"`
	// Status of a refusal; 0: 403.
	Status  int               `json:"status"`
	Headers map[string]Values `json:"headers"`
	// Claims of an introspected token.
	Claims json.RawMessage `json:"claims"`
}

// Case is one request and what is expected of it.
type Case struct {
	Name    string  `json:"name"`
	Request Request `json:"request"`
	Expect  Expect  `json:"expect"`
}

// Request is a request as a test has it; explain.Request says what the fields
// mean.
type Request struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	Host            string            `json:"host"`
	Port            int               `json:"port"`
	Path            string            `json:"path"`
	Headers         map[string]Values `json:"headers"`
	Body            string            `json:"body"`
	Peer            string            `json:"peer"`
	SourceIP        string            `json:"sourceIP"`
	RemoteIP        string            `json:"remoteIP"`
	DestinationIP   string            `json:"destinationIP"`
	DestinationPort int               `json:"destinationPort"`
	SNI             string            `json:"sni"`
	Claims          json.RawMessage   `json:"claims"`
}

// Expect is what should become of a request. Only what is written is compared.
type Expect struct {
	Decision string    `json:"decision"`
	Status   int       `json:"status,omitempty"`
	Policy   string    `json:"policy,omitempty"`
	Rule     *Rule     `json:"rule,omitempty"`
	Identity *Identity `json:"identity,omitempty"`
	Upstream *Upstream `json:"upstream,omitempty"`
}

// Identity is what is expected of a caller.
type Identity struct {
	Subject   string `json:"subject,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Method    string `json:"method,omitempty"`
	Provider  string `json:"provider,omitempty"`
}

// Upstream is what is expected of the request that would be sent.
type Upstream struct {
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
	Host   string `json:"host,omitempty"`
	Name   string `json:"name,omitempty"`
	// Headers by name: "present", "absent", or the value.
	Headers map[string]string `json:"headers,omitempty"`
}

// Values is a text or a list of texts.
type Values []string

var errValues = errors.New("want text or a list of texts, in quotes")

// UnmarshalJSON reads a string or a list of strings.
func (v *Values) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*v = Values{one}
		return nil
	}
	var list []string
	if json.Unmarshal(b, &list) != nil {
		return errValues
	}
	*v = list
	return nil
}

// Rule is a rule by its place in the list, from 0, or by its name.
type Rule struct{ resource.IntOrString }

// MarshalJSON writes what was read.
func (r Rule) MarshalJSON() ([]byte, error) {
	if r.String != "" {
		return json.Marshal(r.String)
	}
	return json.Marshal(r.Int)
}

// Time is a time as RFC 3339 writes it.
type Time struct{ time.Time }

// UnmarshalJSON reads a time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		return errTime
	}
	var err error
	if t.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return errTime
	}
	return nil
}

var errTime = errors.New("want a time, as 2026-01-01T00:00:00Z")
