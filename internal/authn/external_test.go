package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
)

// checker is a real server of Envoy's protocol.
type checker struct {
	auth.UnimplementedAuthorizationServer
	addr   string
	mu     sync.Mutex
	asked  []*auth.CheckRequest
	answer func(*auth.CheckRequest) (*auth.CheckResponse, error)
	server *grpc.Server
}

func (c *checker) Check(_ context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	c.mu.Lock()
	c.asked = append(c.asked, r)
	answer := c.answer
	c.mu.Unlock()
	return answer(r)
}

func (c *checker) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

func newChecker(t testing.TB, answer func(*auth.CheckRequest) (*auth.CheckResponse, error)) *checker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{addr: l.Addr().String(), answer: answer, server: grpc.NewServer()}
	auth.RegisterAuthorizationServer(c.server, c)
	go func() { _ = c.server.Serve(l) }()
	t.Cleanup(c.server.Stop)
	return c
}

func dialing(addr string) func(*ir.ExternalAuth) (authn.Dial, error) {
	return func(*ir.ExternalAuth) (authn.Dial, error) {
		return func(ctx context.Context, _ ...string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}, nil
	}
}

func newExternal(t testing.TB, addr string, cfg ir.ExternalAuth) *authn.External {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	x, err := authn.NewExternal("x", &cfg, authn.Deps{External: dialing(addr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

func overGRPC(t testing.TB, c *checker, cfg ir.ExternalAuth) *authn.External {
	cfg.GRPC = &ir.ExternalGRPC{Address: c.addr}
	return newExternal(t, c.addr, cfg)
}

// called is a request that an external server can be told of.
func called(header http.Header, body string) *authn.Request {
	if header == nil {
		header = http.Header{}
	}
	return &authn.Request{Header: header, Call: &authn.Call{
		ID: "id-1", Time: time.Unix(1_800_000_000, 0), Method: "POST", Scheme: "https", Host: "ai.test:8443", Path: "/chat/a%20b", RawQuery: "q=1&r=2", Protocol: "HTTP/1.1",
		Source: netip.MustParseAddrPort("192.0.2.7:4711"), Destination: netip.MustParseAddrPort("192.0.2.1:443"),
		Principal: "spiffe://td/ns/a/sa/b", ServerName: "ai.test", Length: int64(len(body)),
		ReadBody: func(most int64) ([]byte, bool, error) {
			return []byte(body[:min(int64(len(body)), most)]), int64(len(body)) <= most, nil
		},
	}}
}

func yes(ok *auth.OkHttpResponse) *auth.CheckResponse {
	return &auth.CheckResponse{Status: &status.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok}}
}

func no(d *auth.DeniedHttpResponse) *auth.CheckResponse {
	return &auth.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: d}}
}

func option(name, value string, add bool, action core.HeaderValueOption_HeaderAppendAction) *core.HeaderValueOption {
	o := &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}, AppendAction: action}
	if add {
		//lint:ignore SA1019 servers use it
		o.Append = wrapperspb.Bool(true)
	}
	return o
}

// byToken lets pass who shows the good token.
func byToken(r *auth.CheckRequest) (*auth.CheckResponse, error) {
	if r.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"] == "Bearer "+goodToken {
		return yes(nil), nil
	}
	return no(&auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: 401}}), nil
}

func withCalls(samples []authntest.Sample) []authntest.Sample {
	for i := range samples {
		samples[i].Request.Call = called(nil, "").Call
	}
	return samples
}

type strict struct{ *authn.External }

// Authenticate answers as the suite expects of a request without a credential.
func (s strict) Authenticate(ctx context.Context, r *authn.Request) (authn.Result, error) {
	if r.Call == nil {
		r = &authn.Request{Header: r.Header, Call: called(nil, "").Call}
	}
	got, err := s.External.Authenticate(ctx, r)
	var f *authn.Failure
	if errors.As(err, &f) && len(r.Header["Authorization"]) == 0 {
		f.Missing = true
	}
	return got, err
}

func TestExternalGRPCSuite(t *testing.T) {
	c := newChecker(t, byToken)
	authntest.Run(t, authntest.Member{
		New:  func(t *testing.T) authn.Authenticator { return strict{overGRPC(t, c, ir.ExternalAuth{})} },
		Good: withCalls([]authntest.Sample{{Name: "good", Request: bearer(goodToken)}}),
		Bad:  withCalls(badBearers(goodToken)),
	})
}

func TestExternalHTTPSuite(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Authorization"]) != 1 || r.Header.Get("Authorization") != "Bearer "+goodToken {
			w.WriteHeader(401)
		}
	}))
	t.Cleanup(s.Close)
	addr := strings.TrimPrefix(s.URL, "http://")
	authntest.Run(t, authntest.Member{
		New: func(t *testing.T) authn.Authenticator {
			return strict{newExternal(t, addr, ir.ExternalAuth{HTTP: &ir.ExternalHTTP{URL: s.URL, RequestHeaders: []string{"authorization"}}})}
		},
		Good: withCalls([]authntest.Sample{{Name: "good", Request: bearer(goodToken)}}),
		Bad:  withCalls(badBearers(goodToken)),
	})
}

func TestExternalGRPCTellsWhatEnvoyTells(t *testing.T) {
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) { return yes(nil), nil })
	x := overGRPC(t, c, ir.ExternalAuth{BodyBytes: 8, PartialBody: true, Context: map[string]string{"team": "red"}})
	r := called(http.Header{"X-Many": {"a", "b"}, "Content-Type": {"text/plain"}, "X-Bad": {"a\xffb"}}, "0123456789")
	if _, err := x.Authenticate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, _ := protojson.Marshal(c.asked[0])
	var have, want any
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"attributes":{
		"source":{"address":{"socketAddress":{"address":"192.0.2.7","portValue":4711}},"principal":"spiffe://td/ns/a/sa/b"},
		"destination":{"address":{"socketAddress":{"address":"192.0.2.1","portValue":443}}},
		"request":{"time":"2027-01-15T08:00:00Z","http":{"id":"id-1","method":"POST","path":"/chat/a%20b?q=1&r=2","host":"ai.test:8443","scheme":"https","protocol":"HTTP/1.1","size":"10","body":"01234567",
			"headers":{":method":"POST",":path":"/chat/a%20b?q=1&r=2",":authority":"ai.test:8443",":scheme":"https","x-many":"a,b","content-type":"text/plain","x-bad":"a!b","x-envoy-auth-partial-body":"true"}}},
		"contextExtensions":{"team":"red"},"tlsSession":{"sni":"ai.test"}}}`), &want)
	a, _ := json.Marshal(have)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("told\n%s\nwant\n%s", a, b)
	}
	raw := overGRPC(t, c, ir.ExternalAuth{BodyBytes: 8, PartialBody: true, RawBody: true})
	if _, err := raw.Authenticate(t.Context(), called(nil, "\xff\x00")); err != nil {
		t.Fatal(err)
	}
	if h := c.asked[1].GetAttributes().GetRequest().GetHttp(); string(h.GetRawBody()) != "\xff\x00" || h.GetBody() != "" || h.GetHeaders()["x-envoy-auth-partial-body"] != "false" {
		t.Errorf("%v", h)
	}
}

func TestExternalGRPCConsent(t *testing.T) {
	metadata, _ := structpb.NewStruct(map[string]any{"team": "red"})
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) {
		resp := yes(&auth.OkHttpResponse{
			Headers: []*core.HeaderValueOption{
				option("x-set", "1", false, 0), option("x-append", "2", true, 0),
				option("x-there", "3", false, core.HeaderValueOption_ADD_IF_ABSENT), option("x-absent", "4", false, core.HeaderValueOption_ADD_IF_ABSENT),
				option("x-there", "5", false, core.HeaderValueOption_OVERWRITE_IF_EXISTS), option("x-absent", "6", false, core.HeaderValueOption_OVERWRITE_IF_EXISTS),
				{Header: &core.HeaderValue{Key: "x-raw", RawValue: []byte("7")}},
			},
			HeadersToRemove:      []string{"x-remove"},
			ResponseHeadersToAdd: []*core.HeaderValueOption{option("x-reply", "8", true, 0)},
		})
		resp.DynamicMetadata = metadata
		return resp, nil
	})
	got, err := overGRPC(t, c, ir.ExternalAuth{}).Authenticate(t.Context(), called(http.Header{"X-There": {"client"}}, ""))
	if err != nil {
		t.Fatal(err)
	}
	want := []authn.HeaderSet{{Name: "x-set", Value: "1"}, {Name: "x-append", Value: "2", Append: true}, {Name: "x-absent", Value: "4"}, {Name: "x-there", Value: "5"}, {Name: "x-raw", Value: "7"}}
	if !slices.Equal(got.Set, want) || !slices.Equal(got.Remove, []string{"x-remove"}) || !slices.Equal(got.Reply, []authn.HeaderSet{{Name: "x-reply", Value: "8", Append: true}}) {
		t.Errorf("%+v", got)
	}
	if id := got.Identities[0]; !id.Proven() || id.Claims["team"] != "red" || id.Provider != "x" {
		t.Errorf("%+v", id)
	}
}

// Rows 9 and 24: an answer that makes no sense, or that would forge a head, is
// no consent, also where an outage is forgiven.
func TestExternalGRPCAnswers(t *testing.T) {
	ok := func(o *core.HeaderValueOption) *auth.CheckResponse {
		return yes(&auth.OkHttpResponse{Headers: []*core.HeaderValueOption{o}})
	}
	many := &auth.OkHttpResponse{}
	for range 200 {
		many.HeadersToRemove = append(many.HeadersToRemove, "x")
	}
	for _, tc := range []struct {
		name   string
		resp   *auth.CheckResponse
		err    error
		status int // 0: passes
		text   string
		header string
	}{
		{"yes", yes(nil), nil, 0, "", ""},
		{"yes, by status alone", &auth.CheckResponse{Status: &status.Status{}}, nil, 0, "", ""},
		{"yes, without status", &auth.CheckResponse{HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}}}, nil, 0, "", ""},
		{"no", no(nil), nil, 403, "", ""},
		{"no, by status alone", &auth.CheckResponse{Status: &status.Status{Code: 16, Message: "text"}}, nil, 403, "", ""},
		{"no, in full", no(&auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: 302}, Body: "go away", Headers: []*core.HeaderValueOption{option("location", "https://login.test/", false, 0)}}), nil, 302, "go away", "https://login.test/"},
		{"no, with 200", no(&auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: 200}, Body: "a page"}), nil, 200, "a page", ""},
		{"empty", &auth.CheckResponse{}, nil, 418, "", ""},
		{"yes and no", &auth.CheckResponse{Status: &status.Status{}, HttpResponse: no(nil).HttpResponse}, nil, 418, "", ""},
		{"no and yes", &auth.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: yes(&auth.OkHttpResponse{}).HttpResponse}, nil, 418, "", ""},
		{"bad status", no(&auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: 100}}), nil, 418, "", ""},
		{"line end in a refusal", no(&auth.DeniedHttpResponse{Headers: []*core.HeaderValueOption{option("location", "a\r\nx: y", false, 0)}}), nil, 418, "", ""},
		{"line end in a value", ok(option("x", "a\r\nx-admin: 1", false, 0)), nil, 418, "", ""},
		{"NUL in a value", ok(option("x", "a\x00", false, 0)), nil, 418, "", ""},
		{"colon in a name", ok(option("x: y", "a", false, 0)), nil, 418, "", ""},
		{"no name", ok(option("", "a", false, 0)), nil, 418, "", ""},
		{":path", ok(option(":path", "/admin", false, 0)), nil, 418, "", ""},
		{"host", ok(option("Host", "admin", false, 0)), nil, 418, "", ""},
		{"removes host", yes(&auth.OkHttpResponse{HeadersToRemove: []string{"hOst"}}), nil, 418, "", ""},
		{"removes :path", yes(&auth.OkHttpResponse{HeadersToRemove: []string{":path"}}), nil, 418, "", ""},
		{"line end in a reply header", yes(&auth.OkHttpResponse{ResponseHeadersToAdd: []*core.HeaderValueOption{option("x", "a\nb", false, 0)}}), nil, 418, "", ""},
		{"changes the query", yes(&auth.OkHttpResponse{QueryParametersToRemove: []string{"q"}}), nil, 418, "", ""},
		{"too many changes", yes(many), nil, 418, "", ""},
	} {
		c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) { return tc.resp, tc.err })
		got, err := overGRPC(t, c, ir.ExternalAuth{FailOpen: true, StatusOnError: 418}).Authenticate(t.Context(), called(nil, ""))
		if tc.status == 0 {
			if err != nil || len(got.Identities) != 1 {
				t.Errorf("%s: %+v, %v", tc.name, got, err)
			}
			continue
		}
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != tc.status || f.Text != tc.text || f.Header.Get("Location") != tc.header || len(got.Identities) > 0 {
			t.Errorf("%s: %+v, %+v", tc.name, got, err)
		}
	}
}

// Row 9: while the server cannot be asked, requests are refused, or let
// through as nobody where that is asked for.
func TestExternalOutage(t *testing.T) {
	leaky := errors.New("the token " + goodToken + " is unknown")
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) { return nil, leaky })
	broken := &auth.CheckResponse{Status: &status.Status{Code: 13}, HttpResponse: &auth.CheckResponse_ErrorResponse{ErrorResponse: &auth.DeniedHttpResponse{}}}
	wrong := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) { return broken, nil })
	slow := newChecker(t, nil)
	slow.answer = func(*auth.CheckRequest) (*auth.CheckResponse, error) {
		<-t.Context().Done()
		return nil, leaky
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, goodToken, http.StatusServiceUnavailable) }))
	t.Cleanup(s.Close)
	for name, cfg := range map[string]struct {
		addr string
		ir.ExternalAuth
	}{
		"gRPC, an error":            {c.addr, ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Retries: 2}}},
		"gRPC, an error of its own": {wrong.addr, ir.ExternalAuth{GRPC: &ir.ExternalGRPC{}}},
		"gRPC, nobody there":        {"127.0.0.1:1", ir.ExternalAuth{GRPC: &ir.ExternalGRPC{}}},
		"gRPC, slow":                {slow.addr, ir.ExternalAuth{GRPC: &ir.ExternalGRPC{}, Timeout: 20 * time.Millisecond}},
		"gRPC, no gRPC server":      {s.Listener.Addr().String(), ir.ExternalAuth{GRPC: &ir.ExternalGRPC{}, Timeout: 100 * time.Millisecond}},
		"HTTP, 503":                 {s.Listener.Addr().String(), ir.ExternalAuth{HTTP: &ir.ExternalHTTP{URL: s.URL}}},
		"HTTP, nobody there":        {"127.0.0.1:1", ir.ExternalAuth{HTTP: &ir.ExternalHTTP{URL: "http://127.0.0.1:1/"}}},
	} {
		_, err := newExternal(t, cfg.addr, cfg.ExternalAuth).Authenticate(t.Context(), called(nil, ""))
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != 403 || !f.Unavailable || f.Text != "" {
			t.Errorf("%s: %+v", name, err)
		} else if strings.Contains(f.Error(), goodToken) {
			t.Errorf("%s: repeats the token: %v", name, f)
		}
		cfg.FailOpen = true
		got, err := newExternal(t, cfg.addr, cfg.ExternalAuth).Authenticate(t.Context(), called(nil, ""))
		if err != nil || len(got.Identities) != 0 || got.Ignored == nil {
			t.Errorf("%s, forgiven: %+v, %v", name, got, err)
		}
	}
	if n := c.count(); n != 6 {
		t.Errorf("asked %d times, want twice with two retries each", n)
	}
}

func TestExternalHTTP(t *testing.T) {
	var mu sync.Mutex
	var last *http.Request
	var lastBody string
	status := 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		last, lastBody = r, string(b)
		mu.Unlock()
		h := w.Header()
		h.Set("X-Auth", "1")
		h["X-Groups"] = []string{"a", "b"}
		h.Set("X-Other", "no")
		h.Set("Www-Authenticate", "Basic")
		h.Set("Set-Cookie", "c=1")
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			_, _ = io.WriteString(w, "text")
		}
	}))
	t.Cleanup(s.Close)
	x := newExternal(t, s.Listener.Addr().String(), ir.ExternalAuth{BodyBytes: 4, PartialBody: true, HTTP: &ir.ExternalHTTP{
		URL: s.URL + "/check/", AppendPath: true, RequestHeaders: []string{"authorization", "x-in", "connection", "content-length"}, AddHeaders: map[string]string{"x-gate": "postern"},
		UpstreamHeaders: []string{"x-auth", "x-absent"}, UpstreamAppend: []string{"x-groups"}, ClientHeaders: []string{"x-auth"}, SuccessHeaders: []string{"set-cookie"},
	}})
	r := called(http.Header{"Authorization": {"Bearer t"}, "X-In": {"i"}, "X-Auth": {"forged"}, "Cookie": {"no"}, "Connection": {"x"}, "Content-Length": {"99"}}, "0123456789")
	got, err := x.Authenticate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if last.Method != "POST" || last.RequestURI != "/check/chat/a%20b?q=1&r=2" || last.Host != "ai.test:8443" || lastBody != "0123" ||
		last.Header.Get("Authorization") != "Bearer t" || last.Header.Get("X-In") != "i" || last.Header.Get("X-Gate") != "postern" || last.Header.Get("Cookie") != "" || last.Header.Get("X-Auth") != "" || last.Header.Get("User-Agent") != "" {
		t.Errorf("%s %s %s %q %v", last.Method, last.RequestURI, last.Host, lastBody, last.Header)
	}
	want := []authn.HeaderSet{{Name: "X-Auth", Value: "1"}, {Name: "X-Groups", Value: "a", Append: true}, {Name: "X-Groups", Value: "b", Append: true}}
	if !slices.Equal(got.Set, want) || !slices.Equal(got.Sanitize, []string{"X-Absent", "X-Auth"}) || !slices.Equal(got.Reply, []authn.HeaderSet{{Name: "Set-Cookie", Value: "c=1"}}) {
		t.Errorf("%+v", got)
	}
	for _, status = range []int{301, 400, 401, 403, 429} {
		_, err := x.Authenticate(t.Context(), r)
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != status || f.Text != "text" || f.Unavailable || f.Header.Get("X-Auth") != "1" || f.Header.Get("X-Other") != "" || f.Header.Get("Www-Authenticate") != "Basic" || f.Header.Get("Set-Cookie") != "" {
			t.Errorf("%d: %+v", status, err)
		}
	}
	for _, status = range []int{201, 204, 299} {
		if _, err := x.Authenticate(t.Context(), r); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestExternalBodyTooLong(t *testing.T) {
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) { return yes(nil), nil })
	_, err := overGRPC(t, c, ir.ExternalAuth{BodyBytes: 4, FailOpen: true}).Authenticate(t.Context(), called(nil, "12345"))
	if f, ok := err.(*authn.Failure); !ok || f.Status != 413 || f.Text != "Payload Too Large" || c.count() != 0 {
		t.Errorf("%+v, asked %d times", err, c.count())
	}
}

// Connections are kept, close with their owner, and open again for a request
// that is still under way.
func TestExternalCloses(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	hold, held := make(chan struct{}), make(chan struct{}, 10)
	c := newChecker(t, func(*auth.CheckRequest) (*auth.CheckResponse, error) {
		held <- struct{}{}
		<-hold
		return yes(nil), nil
	})
	x, err := authn.NewExternal("x", &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: c.addr}, Timeout: 5 * time.Second}, authn.Deps{External: dialing(c.addr)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := x.Authenticate(t.Context(), called(nil, ""))
		done <- err
	}()
	<-held
	x.Close()
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("a request under way: %v", err)
	}
	if _, err := x.Authenticate(t.Context(), called(nil, "")); err != nil {
		t.Errorf("a late one: %v", err)
	}
	c.server.Stop()
}

func TestExternalConfigurationIsChecked(t *testing.T) {
	grpcOnly := &ir.ExternalGRPC{Address: "a:1"}
	for name, cfg := range map[string]ir.ExternalAuth{
		"neither": {}, "both": {GRPC: grpcOnly, HTTP: &ir.ExternalHTTP{URL: "http://a"}}, "status": {GRPC: grpcOnly, StatusOnError: 200},
		"URL": {HTTP: &ir.ExternalHTTP{URL: "a"}}, "password": {HTTP: &ir.ExternalHTTP{URL: "http://a:b@c"}},
		"header": {HTTP: &ir.ExternalHTTP{URL: "http://a", UpstreamHeaders: []string{"a b"}}}, "added": {HTTP: &ir.ExternalHTTP{URL: "http://a", AddHeaders: map[string]string{"a": "b\n"}}},
		"context": {GRPC: grpcOnly, Context: map[string]string{"a": "\xff"}},
	} {
		if _, err := authn.NewExternal("x", &cfg, authn.Deps{External: dialing("127.0.0.1:1")}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkExternal(b *testing.B) {
	c := newChecker(b, byToken)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(s.Close)
	r := called(http.Header{"Authorization": {"Bearer " + goodToken}}, "")
	for name, x := range map[string]*authn.External{
		"gRPC": overGRPC(b, c, ir.ExternalAuth{}),
		"HTTP": newExternal(b, s.Listener.Addr().String(), ir.ExternalAuth{HTTP: &ir.ExternalHTTP{URL: s.URL}}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Authenticate(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
