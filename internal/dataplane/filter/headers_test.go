package filter

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const marker = "sk-marker-4711"

func keyRef() secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: "ns", Name: "openai", Key: "Authorization"}
}

func storeWith(value string) *secret.Store {
	s := secret.NewStore()
	s.Put(map[secret.Ref]secret.Value{keyRef(): secret.NewValue([]byte(value))})
	return s
}

func headerEdit(t testing.TB, cfg *ir.HeaderEdit, store *secret.Store) *Headers {
	t.Helper()
	if store == nil {
		store = secret.NewStore()
	}
	h, err := NewHeaders(cfg, store, ir.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func literal(name, value string) ir.HeaderValue   { return ir.HeaderValue{Name: name, Value: value} }
func formatted(name, value string) ir.HeaderValue { return ir.HeaderValue{Name: name, Format: value} }

func TestRequestHeaders(t *testing.T) {
	for _, tc := range []struct {
		name    string
		changes ir.HeaderChanges
		request []string
		header  string
		want    []string
	}{
		{"set", ir.HeaderChanges{Set: []ir.HeaderValue{literal("x-a", "1")}}, nil, "X-A", []string{"1"}},
		{"set replaces", ir.HeaderChanges{Set: []ir.HeaderValue{literal("X-A", "1")}}, []string{"x-a: 8", "x-a: 9"}, "X-A", []string{"1"}},
		{"set of nothing removes", ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-a", "%REQ(x-b)%")}}, []string{"x-a: 8"}, "X-A", nil},
		{"add", ir.HeaderChanges{Add: []ir.HeaderValue{literal("x-a", "1")}}, []string{"x-a: 0"}, "X-A", []string{"0", "1"}},
		{"add of nothing", ir.HeaderChanges{Add: []ir.HeaderValue{formatted("x-a", "%REQ(x-b)%")}}, []string{"x-a: 8"}, "X-A", []string{"8"}},
		{"remove", ir.HeaderChanges{Remove: []string{"x-A"}}, []string{"x-a: 8"}, "X-A", nil},
		{"removal comes first", ir.HeaderChanges{Remove: []string{"x-a"}, Add: []ir.HeaderValue{literal("x-a", "1")}}, []string{"x-a: 8"}, "X-A", []string{"1"}},
		{"set comes before add", ir.HeaderChanges{Set: []ir.HeaderValue{literal("x-a", "1")}, Add: []ir.HeaderValue{literal("x-a", "2")}}, nil, "X-A", []string{"1", "2"}},
		{"removing what frames is idle", ir.HeaderChanges{Remove: []string{"connection", "Transfer-Encoding"}}, []string{"x-a: 8"}, "X-A", []string{"8"}},
		{"format", ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-a", "%REQ(:METHOD)% 100%%")}}, nil, "X-A", []string{"GET 100%"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, ir.PathMatch{}, headerEdit(t, &ir.HeaderEdit{Request: tc.changes}, nil))
			s := upstream(t, g.do(t, "GET /", tc.request...))
			if got := s.Header[tc.header]; !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestResponseHeaders(t *testing.T) {
	edit := &ir.HeaderEdit{Response: ir.HeaderChanges{
		Remove: []string{"x-from"},
		Set:    []ir.HeaderValue{literal("x-set", "1"), formatted("x-status", "%RESPONSE_CODE%"), formatted("x-gone", "%RESP(x-nothing)%")},
		Add:    []ir.HeaderValue{formatted("x-add", "%RESP(content-type)% %REQ(x-a)%")},
	}}
	g := serve(t, ir.PathMatch{}, headerEdit(t, edit, nil))
	h := g.do(t, "GET /", "x-a: caller").Header
	for name, want := range map[string]string{"X-From": "", "X-Set": "1", "X-Status": "200", "X-Gone": "", "X-Add": "text/plain caller"} {
		if got := strings.Join(h[name], "|"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestRefusalsAreNotEdited(t *testing.T) {
	edit := headerEdit(t, &ir.HeaderEdit{Response: ir.HeaderChanges{Set: []ir.HeaderValue{literal("x-set", "1")}}}, nil)
	g := serve(t, ir.PathMatch{}, edit, dataplane.Closed(&ir.Closed{Reason: "broken"}))
	if res := g.do(t, "GET /"); res.StatusCode != 500 || res.Header.Get("X-Set") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestSecretHeader(t *testing.T) {
	cfg := &ir.HeaderEdit{Request: ir.HeaderChanges{Add: []ir.HeaderValue{{Name: "authorization", Secret: keyRef()}}}}
	store := storeWith("Bearer " + marker)
	h := headerEdit(t, cfg, store)
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	g := serve(t, ir.PathMatch{}, h)
	s := upstream(t, g.do(t, "GET /", "Authorization: Bearer callers", "X-Api-Key: callers", "x-other: stays"))
	if got := s.Header["Authorization"]; !slices.Equal(got, []string{"Bearer " + marker}) {
		t.Errorf("authorization: %q", got)
	}
	if s.Header.Get("X-Api-Key") != "" || s.Header.Get("X-Other") != "stays" {
		t.Errorf("headers: %v", s.Header)
	}
	store.Put(map[secret.Ref]secret.Value{keyRef(): secret.NewValue([]byte("Bearer rotated"))})
	if got := upstream(t, g.do(t, "GET /")).Header.Get("Authorization"); got != "Bearer rotated" {
		t.Errorf("after rotation: %q", got)
	}
}

// A later edit wins over an injected credential of the same header.
func TestLaterEditsMeetSecrets(t *testing.T) {
	first := &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "x-key", Secret: keyRef()}}}}
	for _, tc := range []struct {
		name  string
		later ir.HeaderChanges
		want  string
	}{
		{"removed", ir.HeaderChanges{Remove: []string{"X-Key"}}, ""},
		{"replaced", ir.HeaderChanges{Set: []ir.HeaderValue{literal("x-key", "mine")}}, "mine"},
		{"twice", first.Request, marker},
	} {
		g := serve(t, ir.PathMatch{}, headerEdit(t, first, storeWith(marker)), headerEdit(t, &ir.HeaderEdit{Request: tc.later}, storeWith(marker)))
		if got := strings.Join(upstream(t, g.do(t, "GET /")).Header["X-Key"], "|"); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestLiteralCredentialIsInjected(t *testing.T) {
	h := headerEdit(t, &ir.HeaderEdit{Request: ir.HeaderChanges{Add: []ir.HeaderValue{literal("authorization", "Bearer ours")}}}, nil)
	s := upstream(t, serve(t, ir.PathMatch{}, h).do(t, "GET /", "Authorization: Bearer callers", "Api-Key: callers"))
	if got := s.Header["Authorization"]; !slices.Equal(got, []string{"Bearer ours"}) || s.Header.Get("Api-Key") != "" {
		t.Errorf("%v", s.Header)
	}
}

// What is made of the caller's credential is a credential: the source is
// dropped, and other stages cannot read it.
func TestCarriedCredential(t *testing.T) {
	h := headerEdit(t, &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{formatted("api-key", "%REQ(authorization)%")}}}, nil)
	spy := headerEdit(t, &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-copy", "%REQ(api-key)%")}}}, nil)
	g := serve(t, ir.PathMatch{}, h, spy)
	s := upstream(t, g.do(t, "GET /", "Authorization: "+marker))
	if s.Header.Get("Api-Key") != marker || s.Header.Get("Authorization") != "" || s.Header.Get("X-Copy") != "" {
		t.Errorf("%v", s.Header)
	}
}

func TestConsumedHeaderIsCarried(t *testing.T) {
	consume := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		e.Consume([]authn.Location{{Header: "x-token"}})
		return nil
	})
	edit := &ir.HeaderEdit{
		Request:  ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-copy", "%REQ(x-token)%")}},
		Response: ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-back", "%REQ(x-token)%")}},
	}
	g := serve(t, ir.PathMatch{}, consume, headerEdit(t, edit, nil))
	res := g.do(t, "GET /", "X-Token: "+marker)
	if back := res.Header.Get("X-Back"); back != "" {
		t.Errorf("sent back: %q", back)
	}
	s := upstream(t, res)
	if s.Header.Get("X-Copy") != marker || s.Header.Get("X-Token") != "" {
		t.Errorf("%v", s.Header)
	}
}

// Row09: a secret that is missing closes the route.
func TestRow09SecretHeaderFailsClosed(t *testing.T) {
	cfg := &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "authorization", Secret: keyRef(), Origin: ir.Origin{Kind: "RouteOption", Name: "o"}}}}}
	for name, value := range map[string]*string{
		"missing": nil, "empty": ptr(""), "line break": ptr("Bearer " + marker + "\r\nX-Admin: 1"), "trailing line break": ptr(marker + "\n"), "NUL": ptr(marker + "\x00"),
	} {
		store := secret.NewStore()
		if value != nil {
			store = storeWith(*value)
		}
		h := headerEdit(t, cfg, store)
		g := serve(t, ir.PathMatch{}, h)
		res := g.do(t, "GET /")
		body := bodyOf(t, res)
		r := g.last()
		if res.StatusCode != 500 || r.Verdict != dataplane.Broken || !strings.Contains(r.Cause, keyRef().String()) || r.Origin.Name != "o" {
			t.Errorf("%s: %d, %+v", name, res.StatusCode, r)
		}
		if strings.Contains(body+r.Cause+fmt.Sprint(h.Check()), marker) {
			t.Errorf("%s: the secret shows", name)
		}
		if h.Check() == nil {
			t.Errorf("%s: Check found nothing", name)
		}
	}
}

func TestHeadersAreRefusedWhenMade(t *testing.T) {
	request := func(v ir.HeaderValue) *ir.HeaderEdit {
		return &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{v}}}
	}
	response := func(v ir.HeaderValue) *ir.HeaderEdit {
		return &ir.HeaderEdit{Response: ir.HeaderChanges{Add: []ir.HeaderValue{v}}}
	}
	remove := func(name string) *ir.HeaderEdit {
		return &ir.HeaderEdit{Request: ir.HeaderChanges{Remove: []string{name}}}
	}
	for _, tc := range []struct {
		name string
		cfg  *ir.HeaderEdit
		want string
	}{
		{"host", request(literal("Host", "x")), "cannot be edited"},
		{"pseudo", request(literal(":path", "/x")), "cannot be edited"},
		{"remove host", remove("host"), "cannot be edited"},
		{"remove pseudo", remove(":method"), "cannot be edited"},
		{"empty name", request(literal("", "x")), "not the name"},
		{"name with space", request(literal("a b", "x")), "not the name"},
		{"framing", request(literal("transfer-encoding", "chunked")), "connection"},
		{"Row24 line break in a value", request(literal("a", "x\r\nb: c")), "control byte"},
		{"Row24 NUL in a format", request(formatted("a", "x\x00%REQ(b)%")), "control byte"},
		{"Row24 line break in a name", request(literal("a\r\nb", "x")), "not the name"},
		{"secret to the client", response(ir.HeaderValue{Name: "a", Secret: keyRef()}), "cannot be sent to the client"},
		{"credential to the client", response(formatted("a", "%REQ(authorization)%")), "cannot be sent to the client"},
		{"unknown operator", request(formatted("a", "%FANCY(x)%")), "%FANCY(x)%: this operator is not known"},
		{"answer on a request", request(formatted("a", "%UPSTREAM_HOST%")), "there is none when a request"},
	} {
		_, err := NewHeaders(tc.cfg, secret.NewStore(), ir.Origin{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Row24: a claim with a line break splits no header.
func TestRow24ClaimCannotSplitAHeader(t *testing.T) {
	who := alice()
	who.Claims = map[string]any{"sub": "a\r\nx-admin: 1"}
	edit := &ir.HeaderEdit{
		Request:  ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-user", "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:idp:sub)%")}},
		Response: ir.HeaderChanges{Set: []ir.HeaderValue{formatted("x-user", "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:idp:sub)%")}},
	}
	e := anonymous("/")
	e.Identities = append(e.Identities, who)
	h := headerEdit(t, edit, nil)
	if a := h.Run(t.Context(), e); a == nil || a.Status != 400 {
		t.Errorf("request: %+v", a)
	}
	header := http.Header{}
	h.response.answer(&input{e: e, header: header})
	if len(header) != 0 {
		t.Errorf("answer: %v", header)
	}
}

func TestSanitizeNamesWhatClaimsFill(t *testing.T) {
	claim := "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:principal:sub)%"
	h := headerEdit(t, &ir.HeaderEdit{Request: ir.HeaderChanges{
		Set: []ir.HeaderValue{formatted("x-user", claim), literal("x-a", "1"), formatted("x-b", "%PROTOCOL%")},
		Add: []ir.HeaderValue{formatted("x-team", "t:"+claim), formatted("X-User", claim)},
	}}, nil)
	if got := h.Sanitize(); !slices.Equal(got, []string{"X-User", "X-Team"}) {
		t.Errorf("got %q", got)
	}
}

func BenchmarkHeaders(b *testing.B) {
	h := headerEdit(b, &ir.HeaderEdit{
		Request: ir.HeaderChanges{
			Remove: []string{"x-remove"},
			Set:    []ir.HeaderValue{literal("x-a", "1"), formatted("x-user", "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:idp:sub)%"), {Name: "authorization", Secret: keyRef()}},
		},
		Response: ir.HeaderChanges{Set: []ir.HeaderValue{literal("x-b", "2")}},
	}, storeWith(marker))
	e := anonymous("/")
	e.Identities = append(e.Identities, alice())
	b.ReportAllocs()
	for b.Loop() {
		run := *e
		if a := h.Run(b.Context(), &run); a != nil {
			b.Fatal(a)
		}
	}
}
