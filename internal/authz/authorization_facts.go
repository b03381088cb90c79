package authz

import (
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// facts are what tests compare, worked out once for each Input.
type facts struct {
	in *Input
	// id is PeerID without its scheme; trustDomain, namespace and account are
	// parts of it, empty where it has no such part.
	id, trustDomain, namespace, account string
	// token is the first verified JWT; nil: there is none.
	token           *authn.Identity
	issuer, subject string
}

const spiffeScheme = "spiffe://"

func (f *facts) of(in *Input) {
	f.in = in
	if id, ok := strings.CutPrefix(in.PeerID, spiffeScheme); ok {
		f.id = id
		f.readID()
	}
	for i := range in.Identities {
		if id := &in.Identities[i]; id.Proven() && id.Method == authn.MethodJWT {
			f.token, f.issuer, f.subject = id, id.Issuer, id.Subject
			break
		}
	}
}

// readID finds the parts of td/ns/NAMESPACE/sa/ACCOUNT. Further segments may
// stand between and around them; of several the first counts, so that an ID
// has one namespace and one account.
func (f *facts) readID() {
	domain, rest, ok := strings.Cut(f.id, "/")
	if !ok {
		return
	}
	f.trustDomain = domain
	rest, found := after(rest, "ns")
	if !found {
		return
	}
	namespace, rest, ok := strings.Cut(rest, "/")
	if !ok || namespace == "" {
		return
	}
	f.namespace = namespace
	if rest, found = after(rest, "sa"); found {
		f.account, _, _ = strings.Cut(rest, "/")
	}
}

// after returns what follows the first segment with a name.
func after(path, name string) (rest string, found bool) {
	for {
		segment, rest, more := strings.Cut(path, "/")
		if !more {
			return "", false
		}
		if segment == name {
			return rest, true
		}
		path = rest
	}
}

// text returns an attribute that is a plain text; empty: the request does not
// have it.
func (f *facts) text(a ir.AccessAttribute, key []string) string {
	switch a {
	case ir.PeerID:
		return f.id
	case ir.PeerTrustDomain:
		return f.trustDomain
	case ir.PeerNamespace:
		return f.namespace
	case ir.ServerName:
		return f.in.ServerName
	case ir.RequestHost:
		return f.in.Authority
	case ir.RequestMethod:
		return f.in.Method
	case ir.RequestPath:
		return f.in.Path
	case ir.RequestHeader:
		return f.header(key[0])
	}
	return ""
}

// header returns a header's lines, joined as HTTP has it.
func (f *facts) header(name string) string {
	switch name {
	case ":authority":
		return f.in.Authority
	case ":method":
		return f.in.Method
	case ":scheme":
		return f.in.Scheme
	case ":path":
		if f.in.RawQuery == "" {
			return f.in.Path
		}
		return f.in.Path + "?" + f.in.RawQuery
	}
	return joined(f.in.Header, name)
}

func joined(h http.Header, name string) string {
	switch lines := h[name]; len(lines) {
	case 0:
		return ""
	case 1:
		return lines[0]
	default:
		return strings.Join(lines, ",")
	}
}
