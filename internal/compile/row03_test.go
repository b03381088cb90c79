package compile

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/postern-gateway/postern/internal/ir"
)

// TestSecurityRow03ForwardedModelIsTheChosenOne: of thousands of spoiled
// bodies, each one that gets through names to its provider, by two other
// parsers, the model by which its route was chosen, or the configured one.
func TestSecurityRow03ForwardedModelIsTheChosenOne(t *testing.T) {
	seeds := []string{
		`{"model":"model-a","messages":[{"role":"user","content":"\"model\":\"model-b\""}]}`,
		`{"x":{"model":"model-b"},"model" : "model-a","stream":true}`,
		`{"model":"model-b","model":"model-a"}`,
		`{"mode\u006c":"model-b","model":"model-a"}`,
		`{"model":"mod\u0065l-a","MODEL":null}`,
		`{"stream":false,"user":"u","model":"model-\u0061"}`,
	}
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = r.Header.Get("X-Ai-Eg-Model") + " " + string(b)
	}))
	t.Cleanup(srv.Close)
	plain := &ir.Upstream{Name: "plain", Endpoints: []ir.Endpoint{endpointOf(srv.Listener.Addr().String())}}
	set, edited := *plain, *plain
	set.Name, set.LLM = "set", &ir.LLM{Schema: "openai", Path: "/", Model: "configured"}
	edited.Name, edited.Steps = "edited", []ir.Step{{Phase: ir.PhaseForward, BodyEdit: &ir.BodyEdit{Remove: []string{"user"}, Set: []ir.BodyMember{{Name: "tier", Value: "1"}}}}}
	for _, u := range []*ir.Upstream{plain, &set, &edited} {
		bench, passed := newBench(t, ExposedWarn), 0
		var routes []*ir.Route
		for i, m := range []string{"model-a", "model-b"} {
			routes = append(routes, &ir.Route{Name: m, Matches: exactly(m), Action: forwardTo(u.Name)})
			routes[i].Matches[0].Order = ir.Order{int64(i)}
		}
		c := bench.Compile(many([]*ir.Upstream{u}, routes...))
		rec := &recorder{}
		check := func(in string) {
			body = ""
			res := askBody(t, c, rec, http.MethodPost, in)
			chosen, out, sent := strings.Cut(body, " ")
			if !sent {
				if res.StatusCode != 400 && res.StatusCode != 404 {
					t.Errorf("%q: %d", in, res.StatusCode)
				}
				return
			}
			passed++
			want := chosen
			if u.LLM != nil {
				want = u.LLM.Model
			}
			var std struct{ Model string }
			if err := json.Unmarshal([]byte(out), &std); err != nil || std.Model != want || gjson.Get(out, "model").String() != want || rec.last.Route != chosen {
				t.Errorf("%s: %q was chosen for %q (%s), and %q sent: encoding/json reads %q (%v), gjson %q",
					u.Name, in, chosen, rec.last.Route, out, std.Model, err, gjson.Get(out, "model").String())
			}
		}
		for _, s := range seeds {
			check(s)
			for at := range len(s) {
				for _, b := range []byte("\"\\{},:bM\x00\xff ") {
					check(fmt.Sprintf("%s%c%s", s[:at], b, s[at+1:]))
				}
			}
		}
		if passed < 200 {
			t.Errorf("%s: %d bodies passed: too few to show anything", u.Name, passed)
		}
	}
}
