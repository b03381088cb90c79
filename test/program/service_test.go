package program

import (
	"net/http"
	"strings"
	"testing"
	"time"
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
// /readyz has said so, and makes each answer its connection's last. A test that
// is late itself has seen nothing, and is given a longer while.
func TestDrainDelay(t *testing.T) {
	for _, delay := range []time.Duration{2 * time.Second, 10 * time.Second, patience / 2} {
		if late := drainsFor(t, delay); !late {
			return
		}
	}
	t.Error("the end of each delay came before the test's")
}

func drainsFor(t *testing.T, delay time.Duration) (late bool) {
	p := run(t, map[string]string{"a.yaml": addressed("edge", "8080", "")}, settings{args: []string{"--drain-delay", delay.String()}})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	ask := func() (*http.Response, error) {
		resp, err := client.Get("http://" + p.addr("8080") + "/")
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		return resp, nil
	}
	if resp, err := ask(); err != nil || resp.StatusCode != http.StatusFound || resp.Close {
		t.Fatalf("before: %+v, %v", resp, err)
	}
	began := time.Now()
	p.stop()
	for p.ready() {
		if time.Since(began) > delay {
			return true
		}
	}
	// One on a connection that was there, one on a new one; a change is still
	// followed.
	p.write("a.yaml", strings.ReplaceAll(addressed("edge", "8080", ""), "edge.example", "changed.example"))
	for n := 0; ; n++ {
		resp, err := ask()
		switch {
		case time.Since(began) > delay:
			return true
		case err != nil || resp.StatusCode != http.StatusFound || !resp.Close:
			t.Fatalf("while it drains: %+v, %v", resp, err)
		case n > 0 && strings.Contains(resp.Header.Get("Location"), "changed.example"):
			return false
		}
	}
}

// ready reports whether /readyz says so.
func (p *program) ready() bool {
	resp, err := http.Get("http://" + p.admin + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
