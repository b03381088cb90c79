package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/postern-gateway/postern/internal/ir"
)

func serveEcho(t testing.TB) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-12345678" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(context.Background())
			if err != nil || c.Write(context.Background(), kind, b) != nil {
				return
			}
		}
	})
}

func dialWebSocket(t testing.TB, g *gate) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(context.Background(), "ws"+strings.TrimPrefix(g.srv.URL, "http")+"/live", nil)
	must(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestWebSocket(t *testing.T) {
	store, ref := keys("key", "sk-12345678")
	u := upstream(t, Deps{Store: store}, func(c *ir.Upstream) { c.Credential = headerCredential("Authorization", "Bearer ", ref) }, serveEcho(t))
	tracker := &Upgrades{}
	g := newGate(t, stageTo(t, u, Settings{}, Deps{Upgrades: tracker}))
	ctx := context.Background()
	c := dialWebSocket(t, g)
	for _, size := range []int{0, 1, 5000, 30000} {
		want := strings.Repeat("x", size)
		must(t, c.Write(ctx, websocket.MessageText, []byte(want)))
		if _, got, err := c.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	if tracker.Len() != 1 {
		t.Errorf("%d upgrades", tracker.Len())
	}
	must(t, c.Close(websocket.StatusNormalClosure, ""))
	if r := g.last(1); r.Status != 101 || r.Verdict != "allow" || r.Cut != "" || r.BytesOut < 35001 || r.BytesIn < 35001 {
		t.Errorf("record: %d %s, cut %q, %d in, %d out", r.Status, r.Verdict, r.Cut, r.BytesIn, r.BytesOut)
	}
}

// TestUpgradesClose: a drain ends what has no other end.
func TestUpgradesClose(t *testing.T) {
	store, ref := keys("key", "sk-12345678")
	u := upstream(t, Deps{Store: store}, func(c *ir.Upstream) { c.Credential = headerCredential("Authorization", "Bearer ", ref) }, serveEcho(t))
	tracker := &Upgrades{}
	g := newGate(t, stageTo(t, u, Settings{}, Deps{Upgrades: tracker}))
	c := dialWebSocket(t, g)
	tracker.Close()
	if _, _, err := c.Read(context.Background()); err == nil {
		t.Error("the connection goes on")
	}
	if r := g.last(1); r.Cut != "drain" || tracker.Len() != 0 {
		t.Errorf("cut %q, %d left", r.Cut, tracker.Len())
	}
}

// rawUpgrade asks for an upgrade and returns the answer.
func rawUpgrade(t testing.TB, g *gate, protocol string) (*http.Response, net.Conn, *bufio.Reader) {
	t.Helper()
	c := g.dial()
	_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: x\r\n\r\n", protocol)
	must(t, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	must(t, err)
	return resp, c, br
}

func switching(after func(net.Conn)) func(net.Conn, int) {
	return answering("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\nX-A: b\r\n\r\nhello", after)
}

func TestUpgradeHalfClose(t *testing.T) {
	addr := rawServe(t, switching(func(c net.Conn) {
		b, _ := io.ReadAll(c) // to the client's half-close
		_, _ = c.Write(b)
	}))
	g := simple(t, addr, Settings{Upgrade: &ir.Upgrade{Protocols: []string{"Chat"}}})
	resp, c, br := rawUpgrade(t, g, "chat")
	if resp.StatusCode != 101 || resp.Header.Get("X-A") != "b" || resp.Header.Get("Server") != "envoy" {
		t.Fatal(resp.Status, resp.Header)
	}
	_, _ = io.WriteString(c, " and back")
	must(t, c.(*net.TCPConn).CloseWrite())
	if b, err := io.ReadAll(br); err != nil || string(b) != "hello and back" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestUpgradeIdle(t *testing.T) {
	const limit = 50 * time.Millisecond
	s := Settings{Upgrade: &ir.Upgrade{Protocols: []string{"chat"}}, Timeouts: []ir.Timeouts{{Idle: limit}}}
	still(t, switching(wait), s, func(t *testing.T, g *gate) {
		began := time.Now()
		_, _, br := rawUpgrade(t, g, "chat")
		_, _ = io.ReadAll(br)
		if r := g.last(1); r.Cut != "timeout" || time.Since(began) != limit {
			t.Errorf("cut by %q after %v", r.Cut, time.Since(began))
		}
	})
}

func TestSecurityRow27UpgradeIsNoTunnel(t *testing.T) {
	seen := make(chan http.Header, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Clone() })
	h2 := upstream(t, Deps{}, func(c *ir.Upstream) { c.Protocol = ir.ProtocolHTTP2 }, addr)
	for _, tc := range []struct {
		name, protocol string
		settings       Settings
		stage          *Upstream
		status         int
		reaches        bool
	}{
		{"h2c is passed over", "h2c", Settings{}, nil, 200, true},
		{"h2c, though allowed", "h2c", Settings{Upgrade: &ir.Upgrade{Protocols: []string{"h2c"}}}, nil, 200, true},
		{"not allowed", "chat", Settings{}, nil, 403, false},
		{"nothing is allowed", "websocket", Settings{Upgrade: &ir.Upgrade{}}, nil, 403, false},
		{"refused by the upstream", "websocket", Settings{}, nil, 200, true},
		{"over HTTP/2", "websocket", Settings{}, h2, 502, false},
	} {
		g := simple(t, addr, tc.settings)
		if tc.stage != nil {
			g = newGate(t, stageTo(t, tc.stage, tc.settings, Deps{}))
		}
		resp, _, _ := rawUpgrade(t, g, tc.protocol)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: %s", tc.name, resp.Status)
		}
		if !tc.reaches {
			continue
		}
		h := <-seen
		if up := h.Get("Upgrade"); (up != "") != (tc.protocol == "websocket") || h.Get("Http2-Settings") != "" {
			t.Errorf("%s: the upstream sees %v", tc.name, h)
		}
	}
}
