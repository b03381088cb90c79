package compile

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// signed returns a token for a subject of a team, and a step that wants one.
func signed(t testing.TB, claims string) (token string, step func(ir.JWTPolicy) ir.Step) {
	t.Helper()
	minted, err := simulate.Mint(simulate.TokenConfig{Claims: fmt.Appendf(nil, `{"sub":"alice","exp":%d,%s}`, time.Now().Add(time.Hour).Unix(), claims)})
	if err != nil {
		t.Fatal(err)
	}
	return minted.JWT, func(missing ir.JWTPolicy) ir.Step {
		return ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{Missing: missing, Providers: []ir.JWTProvider{{
			Name: "p", Keys: ir.KeySource{Inline: string(minted.JWKS)}, ClaimsToHeader: []ir.ClaimToHeader{{Claim: "sub", Header: "x-user"}},
		}}}}
	}
}

func claimRule(name, value string) ir.Step {
	return ir.Step{Phase: ir.PhaseAuthorize, Slot: "t/rbac", ClaimRules: &ir.ClaimRules{Rules: []ir.ClaimRule{{Name: "r", Principals: []ir.ClaimPrincipal{{Claims: []ir.ClaimMatch{{Path: []string{name}, Value: value}}}}}}}}
}

func routed(name string, m []ir.Match, steps ...ir.Step) *ir.Route {
	return &ir.Route{Name: name, Matches: m, Action: forwardTo("u"), Steps: steps}
}

// last is what takes every request that nothing before it took.
func last(r ir.Route) *ir.Route {
	r.Name, r.Matches = "last", []ir.Match{{Order: ir.Order{9}}}
	return &r
}

// unread posts a request whose body never comes, and returns the status.
func (s *site) unread(header ...string) string {
	got := s.raw("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\nExpect: 100-continue\r\n" + strings.Join(append(header, ""), "\r\n") + "\r\n")
	if len(got) == 0 {
		return "nothing"
	}
	return got[0][:3]
}

// TestSecurityGroupOfDifferentProofs: the routes of one group want different
// proofs; whoever has one is let in to be told apart, and passes only what the
// route of the model that is named asks for.
func TestSecurityGroupOfDifferentProofs(t *testing.T) {
	red, want := signed(t, `"team":"red"`)
	blue, _ := signed(t, `"team":"red"`) // of another issuer's key
	routes := func(more ...*ir.Route) []*ir.Route {
		return append([]*ir.Route{
			routed("jwt", exactly("model-jwt"), want(ir.JWTRequired)),
			routed("red", exactly("model-red"), want(ir.JWTRequired), claimRule("team", "red")),
			routed("blue", exactly("model-blue"), want(ir.JWTRequired), claimRule("team", "blue")),
			routed("optional", exactly("model-optional"), want(ir.JWTAllowMissing), claimRule("team", "red")),
			routed("key", exactly("model-key"), keysOf("api-key", "alice")),
		}, more...)
	}
	open := last(ir.Route{Action: forwardTo("u")})
	guarded := last(ir.Route{Action: forwardTo("u"), Steps: []ir.Step{keysOf("x-bob-key", "bob")}})
	direct := last(ir.Route{Action: ir.Action{Direct: &ir.Direct{Status: 404, Body: "no such model"}}})
	const key, wrong, bob = "Api-Key: MARKER-alice", "Api-Key: MARKER-bob", "X-Bob-Key: MARKER-bob"
	token, foreign := "Authorization: Bearer "+red, "Authorization: Bearer "+blue
	for _, tc := range []struct {
		name     string
		fallback *ir.Route // nil: none
		header   []string
		head     string         // what a request gets whose body never comes
		models   map[string]int // what it gets with a body
	}{
		{"nobody", nil, nil, "401", map[string]int{"model-jwt": 401, "model-optional": 401, "model-key": 401, "x": 401, "": 401}},
		{"a wrong key", nil, []string{wrong}, "401", map[string]int{"model-key": 401, "x": 401}},
		{"a foreign token", nil, []string{foreign}, "401", map[string]int{"model-jwt": 401, "model-optional": 401, "model-key": 401}},
		{"a token", nil, []string{token}, "100", map[string]int{"model-jwt": 200, "model-red": 200, "model-blue": 403, "model-optional": 200, "model-key": 401, "x": 404, "": 404}},
		{"a key", nil, []string{key}, "100", map[string]int{"model-jwt": 401, "model-red": 401, "model-optional": 403, "model-key": 200, "x": 404}},
		{"a token and a key", nil, []string{token, key}, "100", map[string]int{"model-jwt": 200, "model-key": 200, "model-blue": 403}},
		{"a foreign token and a key", nil, []string{foreign, key}, "100", map[string]int{"model-jwt": 401, "model-key": 200}},

		{"nobody, an open fallback", open, nil, "100", map[string]int{"model-jwt": 401, "model-optional": 403, "model-key": 401, "x": 200, "": 200}},
		{"nobody, a guarded fallback", guarded, nil, "401", map[string]int{"model-jwt": 401, "x": 401}},
		{"the fallback's key", guarded, []string{bob}, "100", map[string]int{"model-jwt": 401, "model-key": 401, "x": 200, "": 200}},
		{"a token, a guarded fallback", guarded, []string{token}, "100", map[string]int{"model-jwt": 200, "x": 401}},
		{"nobody, an answer for the rest", direct, nil, "401", map[string]int{"model-jwt": 401, "x": 401}},
		{"a key, an answer for the rest", direct, []string{key}, "100", map[string]int{"model-key": 200, "x": 404}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, v := newBench(t, ExposedWarn), newVendor(t, "u", nil)
			put(b, "alice/api-key=MARKER-alice", "bob/api-key=MARKER-bob")
			list := routes()
			if tc.fallback != nil {
				list = routes(tc.fallback)
			}
			s := newSite(t, b, many([]*ir.Upstream{v.upstream(nil)}, list...), 1<<20)
			if got := s.unread(tc.header...); got != tc.head {
				t.Errorf("without its body: %s, want %s", got, tc.head)
			}
			for model, status := range tc.models {
				body := `{"messages":[]}`
				if model != "" {
					body = fmt.Sprintf(`{"model":%q}`, model)
				}
				v.take()
				got, text := s.post(strings.NewReader(body), tc.header...)
				if n := len(v.take()); got != status || n == 1 != (status == 200) {
					t.Errorf("model %q: %d %q, %d sent on; want %d", model, got, text, n, status)
				}
			}
		})
	}
}

// TestGroupLeavesNoTrace: what the proof of another route put on a request is
// not there on the one that serves it.
func TestGroupLeavesNoTrace(t *testing.T) {
	token, want := signed(t, `"team":"red"`)
	b := newBench(t, ExposedWarn)
	put(b, "alice/api-key=MARKER-alice")
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() }))
	t.Cleanup(srv.Close)
	u := &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{endpointOf(srv.Listener.Addr().String())}}
	s := newSite(t, b, many([]*ir.Upstream{u}, routed("jwt", exactly("model-jwt"), want(ir.JWTRequired)), routed("key", exactly("model-key"), keysOf("api-key", "alice"))), 1<<20)
	for model, want := range map[string][4]string{ // X-User, X-User-Id, Authorization, Api-Key
		"model-jwt": {"alice", "forged id", "", "MARKER-alice"},
		"model-key": {"forged", "alice", "Bearer " + token, ""},
	} {
		status, text := s.post(strings.NewReader(`{"model":"`+model+`"}`), "Authorization: Bearer "+token, "Api-Key: MARKER-alice", "X-User: forged", "X-User-Id: forged id")
		if status != 200 {
			t.Fatalf("%s: %d %s", model, status, text)
		}
		h := <-got
		if d := cmp.Diff(want, [4]string{h.Get("X-User"), h.Get("X-User-Id"), h.Get("Authorization"), h.Get("Api-Key")}); d != "" {
			t.Errorf("%s: %s", model, d)
		}
		if by := s.rec.last.Passed; len(by) != 1 || s.rec.last.Model != model {
			t.Errorf("%s: the record says %v, model %q", model, by, s.rec.last.Model)
		}
	}
}

// TestGroupAsksOnce: an external check that the routes share is asked once.
func TestGroupAsksOnce(t *testing.T) {
	var calls atomic.Int32
	check := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("X-Token") != "good" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(check.Close)
	b, v := newBench(t, ExposedWarn), newVendor(t, "u", nil)
	b.deps.KeyClient = http.DefaultClient
	external := func() ir.Step { // the same policy, not the same pointer
		return ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/extauth", AuthSet: &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "x", External: &ir.ExternalAuth{
			Timeout: 5 * time.Second, HTTP: &ir.ExternalHTTP{URL: "http://check", Upstream: "check", RequestHeaders: []string{"x-token"}},
		}}}}}
	}
	ups := []*ir.Upstream{v.upstream(nil), {Name: "check", Endpoints: []ir.Endpoint{endpointOf(check.Listener.Addr().String())}}}
	s := newSite(t, b, many(ups, routed("a", exactly("model-a"), external()), routed("b", exactly("model-b"), external())), 1<<20)
	for header, want := range map[string]int{"X-Token: good": 200, "X-Token: bad": 403} {
		calls.Store(0)
		if status, text := s.post(strings.NewReader(`{"model":"model-b"}`), header); status != want || calls.Load() != 1 {
			t.Errorf("%s: %d %s after %d calls", header, status, text, calls.Load())
		}
	}
}

func TestGroupAnswersPreflights(t *testing.T) {
	b, v := newBench(t, ExposedWarn), newVendor(t, "u", nil)
	put(b, "alice/api-key=MARKER-alice")
	cors := ir.Step{Phase: ir.PhasePre, CORS: &ir.CORS{AllowOrigins: []string{"https://app.example"}, AllowMethods: []string{"POST"}}}
	s := newSite(t, b, many([]*ir.Upstream{v.upstream(nil)}, routed("a", exactly("model-a"), cors, keysOf("api-key", "alice")),
		last(ir.Route{Action: ir.Action{Direct: &ir.Direct{Status: 404}}})), 1<<20)
	for origin, want := range map[string]int{"https://app.example": 200, "https://other.example": 401} {
		r, _ := http.NewRequest(http.MethodOptions, "http://"+s.addr+"/", nil)
		if status, _ := s.do(r, "Origin: "+origin, "Access-Control-Request-Method: POST"); status != want {
			t.Errorf("%s: %d, want %d", origin, status, want)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, "http://"+s.addr+"/", nil)
	if status, _ := s.do(r); status != 404 {
		t.Errorf("without a body: %d", status)
	}
}

// TestSecurityRow28RematchIntoAGroup: a route that asks for another match gives
// up nothing of what it requires, nor does the one that the model then names.
func TestSecurityRow28RematchIntoAGroup(t *testing.T) {
	b, v := newBench(t, ExposedWarn), newVendor(t, "u", nil)
	put(b, "alice/api-key=MARKER-alice", "bob/api-key=MARKER-bob")
	again := ir.Step{Phase: ir.PhasePre, Transform: &ir.Transform{Rules: []ir.TransformRule{{
		Request: &ir.Template{Passthrough: true, Set: []ir.HeaderTemplate{{Name: "x-stage", Text: "2"}}}, Rematch: true,
	}}}}
	first := routed("first", []ir.Match{{Headers: []ir.StringMatch{{Name: "x-stage", Invert: true}}, Order: ir.Order{0}}}, again, keysOf("x-bob-key", "bob"))
	s := newSite(t, b, many([]*ir.Upstream{v.upstream(nil)}, first, routed("a", exactly("model-a"), keysOf("api-key", "alice")), routed("b", exactly("model-b"))), 1<<20)
	const alice, bob = "Api-Key: MARKER-alice", "X-Bob-Key: MARKER-bob"
	for _, tc := range []struct {
		model  string
		header []string
		want   int
	}{
		{"model-a", nil, 401}, {"model-b", nil, 401}, {"model-a", []string{alice}, 401}, {"model-a", []string{bob}, 401},
		{"model-a", []string{alice, bob}, 200}, {"model-b", []string{bob}, 200}, {"x", []string{bob}, 404},
	} {
		if status, text := s.post(strings.NewReader(`{"model":"`+tc.model+`"}`), tc.header...); status != tc.want {
			t.Errorf("%s with %v: %d %s, want %d", tc.model, tc.header, status, text, tc.want)
		}
	}
	if got := s.unread(); got != "401" {
		t.Errorf("nobody's body: %s", got)
	}
}

// TestGroupReadsWhatCame: where a member changes the body before it asks who
// calls, that is undone for another route, which is chosen by what the client
// sent.
func TestGroupReadsWhatCame(t *testing.T) {
	b := newBench(t, ExposedWarn)
	put(b, "alice/api-key=MARKER-alice", "bob/api-key=MARKER-bob")
	early := ir.Step{Phase: ir.PhasePre, Transform: &ir.Transform{Rules: []ir.TransformRule{{
		Request: &ir.Template{MergeJSON: []ir.MergeMember{{Path: "model", Text: "\"model-b\""}}},
	}}}}
	limit := ir.Step{Phase: ir.PhasePre, BodyLimit: &ir.BodyLimit{Bytes: 30}}
	va, vb := newVendor(t, "a", nil), newVendor(t, "b", nil)
	a := routed("a", exactly("model-a"), limit, early, keysOf("api-key", "alice"))
	a.Action = forwardTo("a")
	second := routed("b", exactly("model-b"), keysOf("x-bob-key", "bob"))
	second.Action = forwardTo("b")
	s := newSite(t, b, many([]*ir.Upstream{va.upstream(nil), vb.upstream(nil)}, a, second), 1<<20)
	const alice, bob = "Api-Key: MARKER-alice", "X-Bob-Key: MARKER-bob"
	long := `{"model":"model-b","x":"` + strings.Repeat("x", 100) + `"}`
	for _, tc := range []struct {
		name, body string
		header     []string
		status     int
		to         *vendor
		want       string
	}{
		{"the member itself", `{"model":"model-a"}`, []string{alice}, 200, va, `{"model":"model-b"}`},
		{"the other, which wants its own key", `{"model":"model-b"}`, []string{alice}, 401, nil, ""},
		{"the other", `{"model":"model-b" }`, []string{alice, bob}, 200, vb, `{"model":"model-b" }`},
		{"beyond the member's limit", long, []string{bob}, 200, vb, long},
	} {
		status, text := s.post(strings.NewReader(tc.body), tc.header...)
		got := append(va.take(), vb.take()...)
		if status != tc.status || tc.to == nil && len(got) > 0 || tc.to != nil && (len(got) != 1 || text != tc.to.name || got[0].Body != tc.want) {
			t.Errorf("%s: %d %q, sent on: %+v", tc.name, status, text, got)
		}
	}
}

// TestBadModelMatchClosesItsModels: an expression that cannot be compiled
// closes what it could have taken, and not the routes without a model.
func TestBadModelMatchClosesItsModels(t *testing.T) {
	b, v := newBench(t, ExposedWarn), newVendor(t, "u", nil)
	bad := "("
	s := newSite(t, b, many([]*ir.Upstream{v.upstream(nil)},
		routed("bad", []ir.Match{{Model: []ir.StringMatch{{Regex: &bad}}, Order: ir.Order{5}}}),
		routed("good", exactly("model-a")), last(ir.Route{Action: forwardTo("u")})), 1<<20)
	for body, want := range map[string]int{`{"model":"model-a"}`: 200, `{"model":"x"}`: 500, `{}`: 200} {
		if status, text := s.post(strings.NewReader(body)); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, text, want)
		}
	}
}

func TestListModels(t *testing.T) {
	created := time.Unix(1700000000, 0)
	lists := func(name string, order int64, models []ir.ListedModel, steps ...ir.Step) *ir.Route {
		return &ir.Route{Name: name, Steps: steps, Action: ir.Action{Models: &ir.ModelList{Models: models}}, Matches: []ir.Match{{
			Path: ir.PathMatch{Kind: ir.PathExact, Value: "/v1/models"}, Methods: []string{"GET"}, Order: ir.Order{2, order},
		}}}
	}
	broken := ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{}}
	b, v := newBench(t, ExposedDeny), newVendor(t, "u", nil)
	put(b, "alice/api-key=MARKER-alice", "bob/api-key=MARKER-bob")
	s := newSite(t, b, many([]*ir.Upstream{v.upstream(nil)},
		routed("chat", exactly("m1")),
		lists("alices", 1, []ir.ListedModel{{ID: "m2", OwnedBy: "A"}, {ID: "m1", OwnedBy: "A", Created: created}}, keysOf("api-key", "alice")),
		lists("closed", 2, []ir.ListedModel{{ID: "m9", OwnedBy: "nobody"}}, broken),
		lists("bobs", 3, []ir.ListedModel{{ID: "m1", OwnedBy: "B"}, {ID: "m0", OwnedBy: "B \"<>"}}, keysOf("x-bob-key", "bob")),
	), 1<<20)
	const alice, bob = "Api-Key: MARKER-alice", "X-Bob-Key: MARKER-bob"
	for _, tc := range []struct {
		name   string
		header []string
		status int
		want   []string
	}{
		{"nobody", nil, 401, nil},
		{"alice", []string{alice}, 200, []string{"m1 model 1700000000 A", "m2 model 0 A"}},
		{"bob", []string{bob}, 200, []string{`m0 model 0 B "<>`, "m1 model 0 B"}},
		{"both", []string{alice, bob}, 200, []string{`m0 model 0 B "<>`, "m1 model 1700000000 A", "m2 model 0 A"}},
	} {
		r, _ := http.NewRequest(http.MethodGet, "http://"+s.addr+"/v1/models", nil)
		status, text := s.do(r, tc.header...)
		var list struct {
			Object string
			Data   []struct {
				ID, Object string
				Created    int64
				OwnedBy    string `json:"owned_by"`
			}
		}
		var got []string
		if err := json.Unmarshal([]byte(text), &list); status == 200 && (err != nil || list.Object != "list") {
			t.Errorf("%s: %v: %s", tc.name, err, text)
		}
		for _, m := range list.Data {
			got = append(got, fmt.Sprintf("%s %s %d %s", m.ID, m.Object, m.Created, m.OwnedBy))
		}
		if d := cmp.Diff(tc.want, got); status != tc.status || d != "" {
			t.Errorf("%s: %d %s", tc.name, status, d)
		}
	}
}
