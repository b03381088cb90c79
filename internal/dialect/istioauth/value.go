package istioauth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// match reads a text as every field has it: "*" is any text that is not empty,
// "*x" ends with x, "x*" begins with it; a "*" elsewhere stands for itself.
func match(text string) ir.AccessValue {
	switch {
	case text == "*":
		return ir.AccessValue{Kind: ir.AccessPresent}
	case strings.HasPrefix(text, "*"):
		return ir.AccessValue{Kind: ir.AccessSuffix, Value: text[1:]}
	case strings.HasSuffix(text, "*"):
		return ir.AccessValue{Kind: ir.AccessPrefix, Value: text[:len(text)-1]}
	}
	return ir.AccessValue{Value: text}
}

func pattern(text string) ([]ir.AccessValue, error) { return []ir.AccessValue{match(text)}, nil }

// glob reads a namespace, in which every "*" is any text.
func glob(text string) ([]ir.AccessValue, error) {
	if text == "*" || !strings.Contains(text, "*") {
		return pattern(text)
	}
	return []ir.AccessValue{{Kind: ir.AccessGlob, Value: text}}, nil
}

// network reads an address or a CIDR.
func network(text string) ([]ir.AccessValue, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() && p.Bits() < 96 {
			return nil, fmt.Errorf("%q is no CIDR", text)
		}
	} else if a, err := netip.ParseAddr(text); err != nil || a.Zone() != "" {
		return nil, fmt.Errorf("%q is no IP address", text)
	}
	return []ir.AccessValue{{Kind: ir.AccessNetwork, Value: text}}, nil
}

func port(text string) ([]ir.AccessValue, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q is no port", text)
	}
	return []ir.AccessValue{{Value: strconv.FormatUint(n, 10)}}, nil
}

// path reads a path, or a template of one.
func path(text string) ([]ir.AccessValue, error) {
	if !strings.Contains(text, "{*}") && !strings.Contains(text, "{**}") {
		if strings.ContainsAny(text, "{}") {
			return nil, fmt.Errorf("%q holds a brace, and no {*} or {**}", text)
		}
		return pattern(text)
	}
	rest := false
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("the template %q does not begin with a slash", text)
	}
	for segment := range strings.SplitSeq(text[1:], "/") {
		operator := segment == "{*}" || segment == "{**}"
		switch {
		case operator && rest:
			return nil, fmt.Errorf("the template %q has an operator after {**}", text)
		case !operator && strings.ContainsAny(segment, "{}*"):
			return nil, fmt.Errorf("the template %q has an operator that is no whole segment", text)
		}
		rest = rest || segment == "{**}"
	}
	return []ir.AccessValue{{Kind: ir.AccessTemplate, Value: text}}, nil
}

// requestPrincipal reads ISSUER/SUBJECT, of which both must match. What stands
// between them is the last slash.
func requestPrincipal(text string) ([]ir.AccessValue, error) {
	present := ir.AccessValue{Kind: ir.AccessPresent}
	issuer, subject := "", text
	slash := strings.LastIndexByte(text, '/')
	if slash >= 0 {
		issuer, subject = text[:slash], text[slash+1:]
	}
	pair := func(issuer, subject ir.AccessValue) ([]ir.AccessValue, error) {
		subject.In = &issuer
		return []ir.AccessValue{subject}, nil
	}
	switch {
	case text == "*":
		return pair(present, present)
	case strings.HasPrefix(text, "*") && slash < 0:
		return pair(present, ir.AccessValue{Kind: ir.AccessSuffix, Value: text[1:]})
	case slash < 0 && strings.HasSuffix(text, "*"):
		return pair(ir.AccessValue{Kind: ir.AccessPrefix, Value: text[:len(text)-1]}, present)
	case slash < 0:
		return nil, fmt.Errorf("%q is not an issuer and a subject with a slash between", text)
	case issuer == "" || subject == "":
		return nil, fmt.Errorf("%q has an empty issuer or subject", text)
	case strings.HasPrefix(text, "*"):
		return pair(match(issuer), ir.AccessValue{Value: subject})
	case subject == "*":
		return pair(ir.AccessValue{Value: issuer}, present)
	case strings.HasSuffix(text, "*"):
		return pair(ir.AccessValue{Value: issuer}, match(subject))
	}
	return pair(ir.AccessValue{Value: issuer}, ir.AccessValue{Value: subject})
}

// serviceAccount reads NAMESPACE/NAME, or NAME in the policy's namespace.
func (r *reader) serviceAccount(text string) ([]ir.AccessValue, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok {
		namespace, name = r.o.Namespace, text
	}
	switch {
	case len(text) > maxAccountBytes:
		return nil, fmt.Errorf("it is longer than %d characters", maxAccountBytes)
	case strings.Contains(text, "*"):
		return nil, fmt.Errorf("%q: a service account takes no wildcard", text)
	case namespace == "" || name == "" || strings.Contains(name, "/"):
		return nil, fmt.Errorf("%q is no service account", text)
	}
	return []ir.AccessValue{{Value: name, In: &ir.AccessValue{Value: namespace}}}, nil
}

// trustDomain reads a trust domain; one of the mesh's own stands for all of
// them.
func (r *reader) trustDomain(text string) ([]ir.AccessValue, error) {
	if strings.Contains(text, "/") {
		return nil, errors.New("a trust domain holds no slash")
	}
	return matches(r.mesh.sameTrustDomains(text)), nil
}

// principal reads a SPIFFE ID without its scheme.
func (r *reader) principal(text string) ([]ir.AccessValue, error) {
	return matches(r.mesh.samePrincipals(text)), nil
}

func matches(list []string) []ir.AccessValue {
	out := make([]ir.AccessValue, len(list))
	for i, text := range list {
		out[i] = match(text)
	}
	return out
}
