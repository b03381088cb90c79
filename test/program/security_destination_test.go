package program

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestSecurityRow21Destinations: whoever may write resources, but does not own
// the machine, leads the gateway neither to its admin listener nor to anything
// else that only the machine may ask: by no spelling of an address, no name
// and no key set's URL. The operator's own word still holds.
func TestSecurityRow21Destinations(t *testing.T) {
	o := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[]}`))
	})
	keys := fmt.Sprintf(`jwtProvidersStaged: {afterExtAuth: {providers: {p: {issuer: tests, jwks: {remote: {url: "http://127.0.0.1:%d/keys", upstreamRef: {name: literal, namespace: apps}}}}}}}`, o.port)
	p := runOne(t, []string{"--guard-destinations", "--connect-to", fmt.Sprintf("led.example.com:%d=127.0.0.1:%d", o.port, o.port)},
		staticUpstream("literal", "127.0.0.1", o.port),
		staticUpstream("name", "localhost", o.port),
		staticUpstream("mapped", "::ffff:127.0.0.1", o.port),
		staticUpstream("zero", "0.0.0.0", o.port),
		staticUpstream("metadata", "169.254.169.254", 80),
		staticUpstream("led", "led.example.com", o.port),
		virtualService("",
			route("/literal", "literal", ""), route("/name", "name", ""), route("/mapped", "mapped", ""), route("/zero", "zero", ""),
			route("/metadata", "metadata", ""), route("/guarded", "led", keys), route("/led", "led", "")))
	at := "http://" + p.addr("8080")
	for _, path := range []string{"/literal", "/name", "/mapped", "/zero", "/metadata"} {
		if got := send(t, request{url: at + path}); got.status != 503 {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := send(t, request{url: at + "/guarded", header: bearer(caller(""))}); got.status != 401 {
		t.Errorf("a key set on this machine: %v", got)
	}
	if n := len(o.requests()); n != 0 {
		t.Errorf("%d requests reached this machine", n)
	}
	p.await("the reason in the log", func() bool { return strings.Contains(p.out.String(), "is not dialled: it is this machine") })
	if got := send(t, request{url: at + "/led"}); got.status != 200 {
		t.Errorf("--connect-to: %v", got)
	}
}
