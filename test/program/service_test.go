package program

import (
	"net/http"
	"strings"
	"testing"
)

// TestBehindService serves two Gateways that name the same port of the same
// address as if each had a Service of its own: neither keeps the other from
// being served, and nobody tries to bind the address.
func TestBehindService(t *testing.T) {
	files := map[string]string{
		"a.yaml": addressed("first", "8080", "{value: 192.0.2.7}"),
		"b.yaml": addressed("second", "8080", ""),
	}
	p := run(t, files, settings{args: []string{"--behind-service", "--gateway", "apps/second"}})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(p *program) string {
		resp, err := client.Get("http://" + p.addr("8080") + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Header.Get("Location")
	}
	if got := ask(p); !strings.Contains(got, "second.example") {
		t.Errorf("second leads to %q", got)
	}
	p = run(t, files, settings{args: []string{"--behind-service", "--gateway", "apps/first"}})
	if got := ask(p); !strings.Contains(got, "first.example") {
		t.Errorf("first leads to %q", got)
	}
}

// TestDrainDelay takes requests for a while after the end was asked for, when
// /readyz has said so, and makes each answer its connection's last.
func TestDrainDelay(t *testing.T) {
	p := run(t, map[string]string{"a.yaml": addressed("edge", "8080", "")}, settings{args: []string{"--drain-delay", "3s"}})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	ask := func() *http.Response {
		resp, err := client.Get("http://" + p.addr("8080") + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	if resp := ask(); resp.StatusCode != http.StatusFound || resp.Close {
		t.Errorf("before: %v, closed %v", resp.Status, resp.Close)
	}
	p.stop()
	p.await("a /readyz that says no", func() bool {
		resp, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	// One on a connection that was there, one on a new one; a change is still
	// followed.
	for range 2 {
		if resp := ask(); resp.StatusCode != http.StatusFound || !resp.Close {
			t.Errorf("while it drains: %v, closed %v", resp.Status, resp.Close)
		}
	}
	p.write("a.yaml", strings.ReplaceAll(addressed("edge", "8080", ""), "edge.example", "changed.example"))
	p.await("the change", func() bool { return strings.Contains(ask().Header.Get("Location"), "changed.example") })
}
