package authn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/postern-gateway/postern/internal/ir"
)

// externalGRPC asks over envoy.service.auth.v3.Authorization, whose messages
// say what they mean: https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
type externalGRPC struct {
	dial      Dial // nil: nobody is asked
	authority string
	context   map[string]string
	raw       bool

	mu   sync.Mutex
	conn *grpc.ClientConn // nil: none yet
}

func newExternalGRPC(cfg *ir.ExternalAuth, dial Dial) (*externalGRPC, error) {
	for _, v := range cfg.Context {
		if !utf8.ValidString(v) {
			return nil, errors.New("the context is not UTF-8")
		}
	}
	return &externalGRPC{dial: dial, authority: authorityOf(cfg.GRPC), context: cfg.Context, raw: cfg.RawBody}, nil
}

// connect returns the connection, which opens when it is used.
func (g *externalGRPC) connect() (*grpc.ClientConn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != nil {
		return g.conn, nil
	}
	if g.dial == nil {
		return nil, errors.New("nobody is asked here")
	}
	conn, err := grpc.NewClient("passthrough:///external",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.dial(ctx, "h2") }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // dial speaks TLS itself
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithAuthority(g.authority),
	)
	if err != nil {
		return nil, errors.New("the gRPC client cannot be made")
	}
	g.conn = conn
	return conn, nil
}

// authorityOf is the :authority that the server is asked under.
func authorityOf(cfg *ir.ExternalGRPC) string {
	if cfg.Address != "" {
		return cfg.Address
	}
	return "external-auth"
}

func (g *externalGRPC) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != nil {
		_ = g.conn.Close()
		g.conn = nil
	}
}

func (g *externalGRPC) ask(ctx context.Context, q *query) (*decision, error) {
	conn, err := g.connect()
	if err != nil {
		return nil, err
	}
	resp, err := auth.NewAuthorizationClient(conn).Check(ctx, &auth.CheckRequest{Attributes: g.attributes(q)})
	if err != nil { // its text is the server's, which may repeat what it was told
		return nil, fmt.Errorf("the call ended with the code %v", status.Code(err))
	}
	return decide(q.r.Header, resp)
}

// attributes tells of the request what Envoy tells.
func (g *externalGRPC) attributes(q *query) *auth.AttributeContext {
	call := q.r.Call
	h := &auth.AttributeContext_HttpRequest{
		Id: call.ID, Method: call.Method, Host: call.Host, Scheme: call.Scheme, Protocol: call.Protocol,
		Path: call.Path, Size: call.Length, Headers: headerMap(q),
	}
	if call.RawQuery != "" {
		h.Path += "?" + call.RawQuery
	}
	h.Headers[":path"], h.Headers[":method"], h.Headers[":authority"], h.Headers[":scheme"] = h.Path, h.Method, h.Host, h.Scheme
	if q.body != nil {
		h.Headers["x-envoy-auth-partial-body"] = strconv.FormatBool(q.partial)
		if g.raw {
			h.RawBody = q.body
		} else {
			h.Body = validText(string(q.body))
		}
	}
	a := &auth.AttributeContext{
		Source:            peer(call.Source, call.Principal),
		Destination:       peer(call.Destination, ""),
		Request:           &auth.AttributeContext_Request{Time: timestamppb.New(call.Time), Http: h},
		ContextExtensions: g.context,
	}
	if call.ServerName != "" {
		a.TlsSession = &auth.AttributeContext_TLSSession{Sni: call.ServerName}
	}
	return a
}

// headerMap has the names in lower case, and several values joined by commas.
func headerMap(q *query) map[string]string {
	out := make(map[string]string, len(q.r.Header)+5)
	for name, values := range q.r.Header {
		out[strings.ToLower(name)] = validText(strings.Join(values, ","))
	}
	return out
}

// validText makes a text that protobuf takes, as Envoy does.
func validText(s string) string { return strings.ToValidUTF8(s, "!") }

func peer(at netip.AddrPort, principal string) *auth.AttributeContext_Peer {
	p := &auth.AttributeContext_Peer{Principal: validText(principal)}
	if at.IsValid() {
		p.Address = &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: at.Addr().String(), PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(at.Port())},
		}}}
	}
	return p
}

// decide reads an answer. One that says neither yes nor no is none.
func decide(request http.Header, resp *auth.CheckResponse) (*decision, error) {
	ok, denied := resp.GetOkResponse(), resp.GetDeniedResponse()
	switch code := resp.GetStatus().GetCode(); {
	case resp.GetErrorResponse() != nil:
		return nil, errors.New("it answered with an error of its own")
	case resp.GetStatus() == nil && ok == nil, code == 0 && denied != nil, code != 0 && ok != nil:
		return nil, fmt.Errorf("%w: its status and its kind differ, or are missing", errAnswer)
	case code == 0:
		return consent(request, resp, ok)
	}
	d := &decision{status: int(denied.GetStatus().GetCode()), text: denied.GetBody(), header: http.Header{}}
	if d.status == 0 {
		d.status = http.StatusForbidden
	}
	for _, o := range denied.GetHeaders() {
		h := mutation(o)
		switch name := http.CanonicalHeaderKey(h.Name); {
		case hopHeader(name):
		case h.Append:
			d.header[name] = append(d.header[name], h.Value)
		default:
			d.header[name] = []string{h.Value}
		}
	}
	return d, nil
}

func consent(request http.Header, resp *auth.CheckResponse, ok *auth.OkHttpResponse) (*decision, error) {
	if len(ok.GetQueryParametersToSet())+len(ok.GetQueryParametersToRemove()) > 0 {
		return nil, fmt.Errorf("%w: changes to the query are not supported", errAnswer)
	}
	d := &decision{pass: true, remove: ok.GetHeadersToRemove()}
	for _, o := range ok.GetHeaders() {
		h := mutation(o)
		_, there := request[http.CanonicalHeaderKey(h.Name)]
		switch o.GetAppendAction() {
		case core.HeaderValueOption_ADD_IF_ABSENT:
			if there {
				continue
			}
		case core.HeaderValueOption_OVERWRITE_IF_EXISTS:
			if !there {
				continue
			}
		}
		d.set = append(d.set, h)
	}
	for _, o := range ok.GetResponseHeadersToAdd() {
		d.reply = append(d.reply, mutation(o))
	}
	if m := resp.GetDynamicMetadata(); m != nil {
		d.metadata = m.AsMap()
	}
	return d, nil
}

// mutation reads one header. Unless it says that it is appended, it replaces:
// that is the default in this protocol, other than elsewhere in Envoy.
func mutation(o *core.HeaderValueOption) HeaderSet {
	h := HeaderSet{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetValue()}
	if h.Value == "" {
		h.Value = string(o.GetHeader().GetRawValue())
	}
	//lint:ignore SA1019 servers of this protocol use the deprecated member, and Envoy honours it
	h.Append = o.GetAppend().GetValue()
	return h
}
