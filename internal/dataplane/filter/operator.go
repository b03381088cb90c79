package filter

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
)

var (
	errOperator = errors.New("this operator is not known")
	errArgs     = errors.New("takes no argument")
	errNoAnswer = errors.New("tells of the answer, and there is none when a request is edited")
)

// operator returns what the command does.
func (c *command) operator(where side) (operator, error) {
	switch c.name {
	case "REQ":
		return requestHeader(c.args, where)
	case "RESP":
		if where == onRequest {
			return nil, errNoAnswer
		}
		return responseHeader(c.args)
	case "START_TIME":
		layout, err := parseTime(c.args)
		if err != nil {
			return nil, err
		}
		return func(b []byte, in *input) []byte { return layout.append(b, in.e.Record.Start) }, nil
	case "DYNAMIC_METADATA":
		return metadata(c.args)
	}
	if c.hasArgs && c.args != "" {
		return nil, errors.Join(c.known(), errArgs)
	}
	if op, ok := answerOperator(c.name); ok {
		if where == onRequest {
			return nil, errNoAnswer
		}
		return op, nil
	}
	if c.name == "HOSTNAME" {
		name, err := os.Hostname()
		return func(b []byte, _ *input) []byte { return append(b, name...) }, err
	}
	if op := plainOperator(c.name); op != nil {
		return op, nil
	}
	return nil, errOperator
}

func (c *command) known() error {
	if _, answer := answerOperator(c.name); answer || c.name == "HOSTNAME" || plainOperator(c.name) != nil {
		return nil
	}
	return errOperator
}

// answerOperator returns an operator that has a meaning once there is an
// answer.
func answerOperator(name string) (operator, bool) {
	switch name {
	case "UPSTREAM_HOST", "UPSTREAM_REMOTE_ADDRESS":
		return func(b []byte, in *input) []byte { return append(b, in.e.Record.Endpoint...) }, true
	case "UPSTREAM_CLUSTER":
		return func(b []byte, in *input) []byte { return append(b, in.e.Record.Upstream...) }, true
	case "RESPONSE_CODE":
		return func(b []byte, in *input) []byte { return strconv.AppendInt(b, int64(in.status), 10) }, true
	}
	return nil, false
}

// plainOperator returns an operator without arguments that reads the exchange,
// or nil.
func plainOperator(name string) operator {
	switch name {
	case "PROTOCOL":
		return func(b []byte, in *input) []byte { return append(b, protocol(in.e.Record.Protocol)...) }
	case "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":
		return func(b []byte, in *input) []byte { return appendClient(b, in) }
	case "DOWNSTREAM_REMOTE_ADDRESS":
		return appendRemote
	case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS":
		return func(b []byte, in *input) []byte { return append(b, in.e.Peer...) }
	case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT":
		return func(b []byte, in *input) []byte { return append(b, splitAddress(in.e.Peer).host...) }
	case "DOWNSTREAM_LOCAL_ADDRESS":
		return func(b []byte, in *input) []byte { return append(b, local(in)...) }
	case "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":
		return func(b []byte, in *input) []byte { return append(b, splitAddress(local(in)).host...) }
	case "DOWNSTREAM_LOCAL_PORT":
		return func(b []byte, in *input) []byte { return append(b, splitAddress(local(in)).port...) }
	case "REQUESTED_SERVER_NAME":
		return func(b []byte, in *input) []byte {
			return tlsPart(b, in, func(s *tls.ConnectionState) string { return s.ServerName })
		}
	case "DOWNSTREAM_TLS_VERSION":
		return func(b []byte, in *input) []byte { return tlsPart(b, in, tlsVersion) }
	case "DOWNSTREAM_PEER_URI_SAN":
		return func(b []byte, in *input) []byte { return tlsPart(b, in, peerURIs) }
	case "ROUTE_NAME":
		return func(b []byte, in *input) []byte { return append(b, in.e.Record.Route...) }
	}
	return nil
}

// protocol returns a request's protocol as Envoy writes it.
func protocol(p string) string {
	if p == "HTTP/2.0" {
		return "HTTP/2"
	}
	return p
}

func appendClient(b []byte, in *input) []byte {
	if !in.e.Client.IsValid() {
		return b
	}
	return in.e.Client.AppendTo(b)
}

// appendRemote writes the client's address; its port is 0 where a proxy told
// the address, as in Envoy.
func appendRemote(b []byte, in *input) []byte {
	if !in.e.Client.IsValid() {
		return b
	}
	port, peer := "0", splitAddress(in.e.Peer)
	client := in.e.Client.String()
	if peer.host == client {
		port = peer.port
	}
	return append(b, net.JoinHostPort(client, port)...)
}

type address struct{ host, port string }

func splitAddress(s string) address {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return address{host: s}
	}
	return address{host, port}
}

// local returns the address that the client connected to.
func local(in *input) string {
	if in.ctx == nil {
		return ""
	}
	if a, ok := in.ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a.String()
	}
	return ""
}

func tlsPart(b []byte, in *input, f func(*tls.ConnectionState) string) []byte {
	if in.e.TLS == nil {
		return b
	}
	return append(b, f(in.e.TLS)...)
}

func tlsVersion(s *tls.ConnectionState) string {
	return strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1)
}

// peerURIs returns the URI names of a client certificate that was verified.
func peerURIs(s *tls.ConnectionState) string {
	if len(s.VerifiedChains) == 0 {
		return ""
	}
	var uris []string
	for _, u := range s.PeerCertificates[0].URIs {
		uris = append(uris, u.String())
	}
	return strings.Join(uris, ",")
}

// headerNames parses "X" or "X?Y".
func headerNames(args string) ([]string, error) {
	first, second, two := strings.Cut(args, "?")
	names := []string{first}
	if two {
		names = append(names, second)
	}
	for i, name := range names {
		switch lower := strings.ToLower(name); {
		case strings.HasPrefix(lower, ":"):
			names[i] = lower
		case isToken(name):
			names[i] = http.CanonicalHeaderKey(name)
		default:
			return nil, fmt.Errorf("%q is not the name of a header", name)
		}
	}
	return names, nil
}

// requestHeader is REQ: the value of the first of its headers that is there.
// Of the caller's credential, or a secret header, a request edit takes note; an
// answer does not get it.
func requestHeader(args string, where side) (operator, error) {
	names, err := headerNames(args)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, ":") && pseudo(name) == nil {
			return nil, fmt.Errorf("pseudo header %q is not known", name)
		}
		if where == onResponse && dataplane.IsCredentialHeader(name) {
			return nil, fmt.Errorf("header %q carries a credential and cannot be sent to the client", name)
		}
	}
	return func(b []byte, in *input) []byte {
		for _, name := range names {
			if f := pseudo(name); f != nil {
				return f(b, in)
			}
			if v, ok := in.e.SecretHeader(name); ok {
				if where == onResponse {
					continue
				}
				in.credentials = append(in.credentials, authn.Location{Header: name})
				return append(b, v.Reveal()...)
			}
			values := in.e.Header[name]
			if len(values) == 0 {
				continue
			}
			if dataplane.IsCredentialHeader(name) || in.e.Consumed(name) {
				if where == onResponse {
					continue
				}
				in.credentials = append(in.credentials, authn.Location{Header: name})
			}
			return appendJoined(b, values)
		}
		return b
	}, nil
}

// pseudo returns the operator of a pseudo header, or nil. The path comes with
// its query, as in Envoy, without tokens that were accepted.
func pseudo(name string) operator {
	switch name {
	case ":path":
		return func(b []byte, in *input) []byte {
			b = append(b, in.e.Path...)
			if q := in.e.OutQuery(); q != "" {
				b = append(append(b, '?'), q...)
			}
			return b
		}
	case ":method":
		return func(b []byte, in *input) []byte { return append(b, in.e.Method...) }
	case ":authority", ":host":
		return func(b []byte, in *input) []byte { return append(b, in.e.Authority...) }
	case ":scheme":
		return func(b []byte, in *input) []byte { return append(b, in.e.Scheme...) }
	}
	return nil
}

// responseHeader is RESP.
func responseHeader(args string) (operator, error) {
	names, err := headerNames(args)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, ":") && name != ":status" {
			return nil, fmt.Errorf("pseudo header %q is not known", name)
		}
	}
	return func(b []byte, in *input) []byte {
		for _, name := range names {
			if name == ":status" {
				return strconv.AppendInt(b, int64(in.status), 10)
			}
			if values := in.header[name]; len(values) > 0 {
				return appendJoined(b, values)
			}
		}
		return b
	}, nil
}

func appendJoined(b []byte, values []string) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return b
}
