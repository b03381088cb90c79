package explain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// Request is a request as it would come, and what would be known of its
// connection. Method and a URL, or Host with Path in its place, are needed.
type Request struct {
	// Method; empty: GET.
	Method string
	// URL is absolute: http://ai.example.com:8080/openai.
	URL string
	// Host, Port and Path say the same apart; where both are there, they win.
	Host string
	Port int
	Path string
	// Header may have names in any case. A Host in it is sent in place of the
	// URL's.
	Header http.Header
	Body   []byte
	// Peer is the SPIFFE ID in the client certificate, which counts as
	// verified; empty: there is none.
	Peer string
	// SourceIP is the connection's other end, RemoteIP the caller behind
	// trusted proxies, DestinationIP and DestinationPort this end; empty:
	// 127.0.0.1, what the request says, 127.0.0.1, and the listener's.
	SourceIP, RemoteIP, DestinationIP string
	DestinationPort                   int
	// SNI that TLS asks for; empty: the host.
	SNI string
	// Claims count as those of a verified token; nil: the tokens count.
	Claims map[string]any
}

// Title is the request in a line, without its query.
func (q *Request) Title() string {
	where := q.URL
	if where == "" {
		where = "http://" + q.Host
		if q.Port != 0 {
			where += ":" + strconv.Itoa(q.Port)
		}
		where += q.Path
	}
	where, _, _ = strings.Cut(where, "?")
	return q.method() + " " + where
}

func (q *Request) method() string {
	if q.Method == "" {
		return http.MethodGet
	}
	return q.Method
}

// wire is a request as the server would have read it.
type wire struct {
	request *http.Request
	port    int
	local   netip.Addr // zero: unknown
	asked   int        // DestinationPort
	remote  netip.Addr
	// malformed is why a server of net/http refuses the request by itself.
	malformed error
}

// The end of a connection that nothing is said of.
const (
	anySource      = "127.0.0.1"
	anySourcePort  = 40000
	anyDestination = "127.0.0.1"
)

// wire makes q ready. An error says which part of it makes no sense.
func (q *Request) wire() (*wire, error) {
	u, target, err := q.url()
	if err != nil {
		return nil, err
	}
	w := &wire{asked: q.DestinationPort}
	if w.port, err = portOf(u); err != nil {
		return nil, err
	}
	source := netip.MustParseAddr(anySource)
	for _, a := range []struct {
		name, text string
		to         *netip.Addr
	}{{"source IP", q.SourceIP, &source}, {"remote IP", q.RemoteIP, &w.remote}, {"destination IP", q.DestinationIP, &w.local}} {
		if a.text == "" {
			continue
		}
		if *a.to, err = netip.ParseAddr(a.text); err != nil {
			return nil, fmt.Errorf("%s %q: not an IP address", a.name, a.text)
		}
	}
	r := &http.Request{
		Method: q.method(), RequestURI: target, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, RemoteAddr: netip.AddrPortFrom(source, anySourcePort).String(),
		Body: http.NoBody, ContentLength: int64(len(q.Body)),
	}
	if len(q.Body) > 0 {
		r.Body = io.NopCloser(strings.NewReader(string(q.Body)))
	}
	w.request = r
	if r.URL, w.malformed = url.ParseRequestURI(target); w.malformed == nil && strings.ContainsAny(target, " \t") {
		w.malformed = errSpace
	}
	if err := q.head(r); err != nil {
		return nil, err
	}
	return w, q.secure(r, u)
}

var errSpace = errors.New("a space in the request's target")

// url returns where q goes, and the target as it is written: the gateway
// itself is to see what is odd in it.
func (q *Request) url() (where *url.URL, target string, err error) {
	raw := q.URL
	if raw == "" {
		if q.Host == "" {
			return nil, "", errors.New("the request has neither a URL nor a host")
		}
		raw = "http://" + q.authority() + q.Path
	}
	shown, _, _ := strings.Cut(raw, "?")
	scheme, rest, ok := strings.Cut(raw, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return nil, "", fmt.Errorf("URL %q: write it whole, as http://host:port/path", shown)
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, target = rest[:i], rest[i:]
	}
	if strings.Contains(authority, "@") {
		return nil, "", errors.New("the URL holds a user: send credentials in headers")
	}
	if q.URL != "" && q.Host != "" {
		authority = q.authority()
	}
	u, err := url.Parse(scheme + "://" + authority)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("URL %q: its host and port cannot be read: %w", shown, errors.Unwrap(err))
	case u.Hostname() == "":
		return nil, "", fmt.Errorf("URL %q has no host: write it whole, as http://host:port/path", shown)
	}
	if target, _, _ = strings.Cut(target, "#"); !strings.HasPrefix(target, "/") { // no client sends a fragment
		target = "/" + target
	}
	return u, target, nil
}

// authority is Host with Port.
func (q *Request) authority() string {
	if q.Port == 0 {
		return q.Host
	}
	return net.JoinHostPort(strings.Trim(q.Host, "[]"), strconv.Itoa(q.Port))
}

func portOf(u *url.URL) (int, error) {
	switch text := u.Port(); {
	case text != "":
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("URL: port %q does not exist", text)
		}
		return int(n), nil
	case u.Scheme == "https":
		return 443, nil
	}
	return 80, nil
}

// head gives r its headers, as a server of net/http has them.
func (q *Request) head(r *http.Request) error {
	for name, values := range q.Header {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range values {
			switch {
			case name == "" || strings.ContainsAny(name, " :\t\r\n"):
				return fmt.Errorf("header %q: not a header name", name)
			case strings.ContainsAny(v, "\r\n\x00"):
				return fmt.Errorf("header %s: its value holds a line break or NUL", name)
			}
			v = textproto.TrimString(v)
			switch canonical {
			case "Host":
				r.Host = v
			case "Content-Length", "Transfer-Encoding": // as the body is
			default:
				r.Header[canonical] = append(r.Header[canonical], v)
			}
		}
	}
	return nil
}

// secure gives r the state of its connection.
func (q *Request) secure(r *http.Request, u *url.URL) error {
	if u.Scheme != "https" && q.Peer == "" && q.SNI == "" {
		return nil
	}
	state := &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: q.SNI, NegotiatedProtocol: "http/1.1"}
	if state.ServerName == "" && net.ParseIP(u.Hostname()) == nil {
		state.ServerName = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") // RFC 6066 3
	}
	if q.Peer != "" {
		id, err := url.Parse(q.Peer)
		if err != nil || id.Scheme != "spiffe" || id.Host == "" {
			return fmt.Errorf("peer %q: want a SPIFFE ID, as spiffe://cluster.local/ns/default/sa/sleep", q.Peer)
		}
		cert := &x509.Certificate{URIs: []*url.URL{id}}
		state.PeerCertificates, state.VerifiedChains = []*x509.Certificate{cert}, [][]*x509.Certificate{{cert}}
	}
	r.TLS = state
	return nil
}

// context carries the address of this end.
func (w *wire) context(ctx context.Context, port int) context.Context {
	return context.WithValue(ctx, http.LocalAddrContextKey, net.TCPAddrFromAddrPort(w.end(port)))
}

// end returns the address of this end, whose port is the one asked for, if any.
func (w *wire) end(port int) netip.AddrPort {
	local := w.local
	if !local.IsValid() {
		local = netip.MustParseAddr(anyDestination)
	}
	if w.asked != 0 {
		port = w.asked
	}
	return netip.AddrPortFrom(local, uint16(port))
}
