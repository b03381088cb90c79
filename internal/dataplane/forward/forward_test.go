package forward

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestForward(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Host, b))
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, "hello")
	})
	g := simple(t, addr, Settings{})
	for i := range 3 {
		r := g.request("POST", "/a%20b?q=1%2F2", strings.NewReader("body"))
		r.Host = "ai.example.com"
		resp, body := g.do(r)
		got := []any{resp.StatusCode, body, resp.Header.Get("X-Seen"), resp.Header.Get("Set-Cookie"), resp.ContentLength}
		want := []any{200, "hello", "POST /a%20b?q=1%2F2 ai.example.com body", "a=b", int64(5)}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		rec := g.last(i + 1)
		if rec.Upstream != "u" || rec.Endpoint != addr || rec.Attempts != 1 || rec.Status != 200 || rec.UpstreamStatus != 200 ||
			rec.Verdict != "allow" || rec.BytesOut != 5 || rec.BytesIn != 4 || rec.Cut != "" || rec.FirstByte <= 0 {
			t.Errorf("record %+v", rec)
		}
	}
}

func TestCredentialIsInjected(t *testing.T) {
	var seen http.Header
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	store, ref := keys("key", "sk-12345678\n")
	u := upstream(t, Deps{Store: store}, func(c *ir.Upstream) {
		c.Credential = &ir.Credential{Header: &ir.HeaderCredential{Name: "authorization", Prefix: "Bearer ", Secret: ref}}
	}, addr)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	r := g.request("GET", "/", nil)
	r.Header.Add("Authorization", "Bearer mine")
	r.Header.Add("Authorization", "Bearer other")
	r.Header.Set("X-Api-Key", "mine")
	if resp, body := g.do(r); resp.StatusCode != 200 {
		t.Fatal(resp.Status, body)
	}
	if d := cmp.Diff([]string{"Bearer sk-12345678"}, seen["Authorization"]); d != "" || seen["X-Api-Key"] != nil {
		t.Error(d, seen)
	}
}
