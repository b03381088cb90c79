package istioauth

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

const (
	maxAccounts     = 16
	maxAccountBytes = 320
)

func (r *reader) errorf(field, remedy, what string) status.Problem {
	return status.Errorf(r.o.Origin(field), "%s", what).Fix("%s", remedy)
}

// field is a field of a source or an operation with its negative.
type field struct {
	name      string
	attribute ir.AccessAttribute
	any, none []string
	parse     func(string) ([]ir.AccessValue, error)
	// proven says that it looks at who calls.
	proven bool
}

// negative is the name of the field that excludes.
func (f *field) negative() string { return "not" + strings.ToUpper(f.name[:1]) + f.name[1:] }

// source reads one source. What cannot be read of it matches everybody; the
// rule is dropped where that would let more through.
func (r *reader) source(at string, s *Source) ir.AccessConjunct {
	if s == nil {
		r.fault(at, "write what the source is", "there is no source")
		return nil
	}
	fields := []field{
		{"principals", ir.PeerID, s.Principals, s.NotPrincipals, r.principal, true},
		{"requestPrincipals", ir.TokenPrincipal, s.RequestPrincipals, s.NotRequestPrincipals, requestPrincipal, true},
		{"namespaces", ir.PeerNamespace, s.Namespaces, s.NotNamespaces, glob, true},
		{"serviceAccounts", ir.PeerServiceAccount, s.ServiceAccounts, s.NotServiceAccounts, r.serviceAccount, true},
		{"trustDomains", ir.PeerTrustDomain, s.TrustDomains, s.NotTrustDomains, r.trustDomain, true},
		{"ipBlocks", ir.PeerAddress, s.IPBlocks, s.NotIPBlocks, network, false},
		{"remoteIpBlocks", ir.ClientAddress, s.RemoteIPBlocks, s.NotRemoteIPBlocks, network, false},
	}
	accounts := s.ServiceAccounts != nil || s.NotServiceAccounts != nil
	if accounts && (s.Principals != nil || s.NotPrincipals != nil || s.Namespaces != nil || s.NotNamespaces != nil) {
		r.fault(at, "write either", "serviceAccounts stand beside principals or namespaces")
		return nil
	}
	for _, list := range [][]string{s.ServiceAccounts, s.NotServiceAccounts} {
		if len(list) > maxAccounts {
			r.fault(at, "split the source", "there are more than %d service accounts", maxAccounts)
			return nil
		}
	}
	return r.conjunct(at, fields)
}

func (r *reader) operation(at string, s *Operation) ir.AccessConjunct {
	if s == nil {
		r.fault(at, "write what the operation is", "there is no operation")
		return nil
	}
	return r.conjunct(at, []field{
		{"hosts", ir.RequestHost, s.Hosts, s.NotHosts, pattern, false},
		{"ports", ir.LocalPort, s.Ports, s.NotPorts, port, false},
		{"methods", ir.RequestMethod, s.Methods, s.NotMethods, pattern, false},
		{"paths", ir.RequestPath, s.Paths, s.NotPaths, path, false},
	})
}

// conjunct reads the fields of a source or an operation.
func (r *reader) conjunct(at string, fields []field) ir.AccessConjunct {
	var out ir.AccessConjunct
	there := false
	for i := range fields {
		f := &fields[i]
		if f.any == nil && f.none == nil {
			continue
		}
		there = true
		if r.unproven(at+"."+f.name, f.proven) {
			continue
		}
		t := ir.AccessTest{
			Attribute: f.attribute,
			Any:       r.values(at+"."+f.name, f.any, f.parse),
			None:      r.values(at+"."+f.negative(), f.none, f.parse),
		}
		if len(t.Any)+len(t.None) > 0 {
			out = append(out, t)
		}
	}
	if !there {
		r.fault(at, "write one of its fields", "it is empty")
	}
	return out
}

// unproven reports what looks at who calls in a policy that is asked before
// anybody knows.
func (r *reader) unproven(at string, proven bool) bool {
	if r.action == ir.AccessAsk && proven {
		r.fault(at, "remove it", "a CUSTOM policy cannot look at who calls")
		return true
	}
	return false
}

// values reads a list of texts.
func (r *reader) values(at string, list []string, parse func(string) ([]ir.AccessValue, error)) []ir.AccessValue {
	if list != nil && len(list) == 0 {
		r.fault(at, "write a value, or remove the field", "the list is empty")
	}
	var out []ir.AccessValue
	for i, text := range list {
		here := fmt.Sprintf("%s[%d]", at, i)
		if text == "" {
			r.fault(here, "write a value", "it is empty")
			continue
		}
		v, err := parse(text)
		if err != nil {
			r.fault(here, "correct it", "%v", err)
			continue
		}
		if inner := strings.Trim(text, "*"); strings.Contains(inner, "*") && literalStar(v) {
			r.warn(here, "put the wildcard at one end", `the "*" in the middle stands for itself`)
		}
		out = append(out, v...)
	}
	return out
}

// literalStar reports whether a "*" in a value stands for itself.
func literalStar(list []ir.AccessValue) bool {
	for _, v := range list {
		if strings.Contains(v.Value, "*") && v.Kind != ir.AccessGlob && v.Kind != ir.AccessTemplate {
			return true
		}
	}
	return false
}

// condition reads one condition.
func (r *reader) condition(at string, s *Condition) ir.AccessConjunct {
	if s.Key == "" {
		r.fault(at+".key", "write a key", "the condition has no key")
		return nil
	}
	c, ok := r.keyOf(s.Key)
	if !ok {
		r.fault(at+".key", "look the key up", "there is no key %q", s.Key)
		return nil
	}
	if s.Values == nil && s.NotValues == nil {
		r.fault(at, "write values or notValues", "the condition has no values")
		return nil
	}
	if r.unproven(at+".key", c.proven) {
		return nil
	}
	t := ir.AccessTest{
		Attribute: c.attribute, Key: c.key,
		Any:  r.values(at+".values", s.Values, c.parse),
		None: r.values(at+".notValues", s.NotValues, c.parse),
	}
	if len(t.Any)+len(t.None) == 0 {
		return nil
	}
	return ir.AccessConjunct{t}
}

// conditionKey is what a condition's key stands for.
type conditionKey struct {
	attribute ir.AccessAttribute
	key       []string
	parse     func(string) ([]ir.AccessValue, error)
	proven    bool
}

func (r *reader) keyOf(name string) (conditionKey, bool) {
	switch name {
	case "source.ip":
		return conditionKey{ir.PeerAddress, nil, network, false}, true
	case "remote.ip":
		return conditionKey{ir.ClientAddress, nil, network, false}, true
	case "destination.ip":
		return conditionKey{ir.LocalAddress, nil, network, false}, true
	case "destination.port":
		return conditionKey{ir.LocalPort, nil, port, false}, true
	case "source.namespace":
		return conditionKey{ir.PeerNamespace, nil, glob, true}, true
	case "source.principal":
		return conditionKey{ir.PeerID, nil, r.principal, true}, true
	case "source.serviceAccount":
		return conditionKey{ir.PeerServiceAccount, nil, r.serviceAccount, true}, true
	case "source.trustDomain":
		return conditionKey{ir.PeerTrustDomain, nil, r.trustDomain, true}, true
	case "request.auth.principal":
		return conditionKey{ir.TokenPrincipal, nil, requestPrincipal, true}, true
	case "request.auth.audiences":
		return conditionKey{ir.TokenClaim, []string{"aud"}, pattern, true}, true
	case "request.auth.presenter":
		return conditionKey{ir.TokenClaim, []string{"azp"}, pattern, true}, true
	case "connection.sni":
		return conditionKey{ir.ServerName, nil, pattern, false}, true
	}
	if rest, ok := strings.CutPrefix(name, "request.headers"); ok {
		key, ok := brackets(rest)
		return conditionKey{ir.RequestHeader, key, pattern, false}, ok && len(key) == 1 && isHeader(key[0])
	}
	if rest, ok := strings.CutPrefix(name, "request.auth.claims"); ok {
		key, ok := brackets(rest)
		return conditionKey{ir.TokenClaim, key, pattern, true}, ok
	}
	return conditionKey{}, false
}

// brackets reads "[a][b]". A name may hold anything but brackets.
func brackets(s string) ([]string, bool) {
	var out []string
	for s != "" {
		rest, ok := strings.CutPrefix(s, "[")
		name, rest, closing := strings.Cut(rest, "]")
		if !ok || !closing || name == "" || strings.Contains(name, "[") {
			return nil, false
		}
		out, s = append(out, name), rest
	}
	return out, len(out) > 0
}

// isHeader tells a token of RFC 9110 section 5.6.2, or a pseudo header of HTTP/2.
func isHeader(s string) bool {
	switch strings.ToLower(s) {
	case ":authority", ":method", ":path", ":scheme":
		return true
	}
	return reading.IsToken(s)
}
