package program

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// forged is what an attacker writes; no upstream may see it where the gateway
// or auth has the say.
const forged = "forged-by-client"

// guardedHeaders runs a gateway of which the route /r sets x-user-id and
// x-team from claims and x-provider-key from a Secret, and /anyone does so
// for callers without a token, too.
func guardedHeaders(t *testing.T) (*program, *origin) {
	t.Helper()
	o := serveOrigin(t, nil)
	jwt := jwtOf(rsaKey(), ", claimsToHeaders: [{claim: sub, header: x-user-id}, {claim: team, header: x-team}]")
	add := "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: creds}}]}"
	missing := "jwtProvidersStaged: {afterExtAuth: " + strings.Replace(jwt, "{providers", "{validationPolicy: ALLOW_MISSING, providers", 1) + "}, "
	p := runOne(t, nil, o.yaml("up"), secretOf("creds", "x-provider-key: MARKER-key"),
		virtualService("jwt: "+jwt, route("/r", "up", add), route("/anyone", "up", missing+add)))
	return p, o
}

// settled are the headers that only auth or the gateway may set.
var settled = []string{
	"x-user-id", "x-team", "x-provider-key", "authorization",
	"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert", "forwarded",
	"x-real-ip", "x-client-ip", "true-client-ip",
	"x-envoy-original-path", "x-envoy-external-address", "x-envoy-internal", "x-envoy-attempt-count", "x-envoy-original-host",
	"x-envoy-expected-rq-timeout-ms", "x-envoy-decorator-operation", "x-request-id", "x-postern-decision",
	"proxy-authorization", "proxy-authenticate", "proxy-connection", "keep-alive", "upgrade", "te", "trailer",
}

// checkSettled says what is wrong with a request that a good token of ann, who
// is in no team, let through.
func checkSettled(t *testing.T, name string, s sight, user string) {
	t.Helper()
	for k, values := range s.header {
		for _, v := range values {
			if strings.Contains(v, forged) {
				t.Errorf("%s: the client's %s reached the upstream", name, k)
			}
		}
	}
	for k, want := range map[string]string{"X-User-Id": user, "X-Team": "", "X-Provider-Key": "MARKER-key", "X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1", "Authorization": ""} {
		if got := s.header.Values(k); strings.Join(got, "|") != want {
			t.Errorf("%s: %s is %q, want %q", name, k, got, want)
		}
	}
	if s.header.Get("X-Request-Id") == "" {
		t.Errorf("%s: no request id", name)
	}
}

func TestSecurityRow01ClientsHeadersHTTP1(t *testing.T) {
	p, o := guardedHeaders(t)
	token := caller("")
	for _, header := range settled {
		for _, as := range []string{header, strings.ToUpper(header)} {
			head := "Authorization: Bearer " + token + "\r\n" + as + ": " + forged + "\r\n"
			if header == "authorization" { // a second value is no way around, either
				head = as + ": " + forged + "\r\n" + head
			}
			got := sendRaw(t, p.addr("8080"), "GET /r HTTP/1.1\r\nHost: a\r\n"+head+"\r\n")
			if got.status != 200 {
				t.Errorf("%s: %v", as, got)
				continue
			}
			checkSettled(t, as, o.one(t), "ann")
			got = sendRaw(t, p.addr("8080"), "GET /anyone HTTP/1.1\r\nHost: a\r\n"+as+": "+forged+"\r\n\r\n")
			if got.status != 200 {
				t.Errorf("%s without a token: %v", as, got)
				continue
			}
			checkSettled(t, as+" without a token", o.one(t), "")
		}
	}
}

// TestSecurityRow01ConnectionNames: what Connection names goes before auth and
// the gateway set anything, so nothing of theirs is taken away.
func TestSecurityRow01ConnectionNames(t *testing.T) {
	p, o := guardedHeaders(t)
	token := caller("")
	for _, header := range append([]string{"host", "content-length", "transfer-encoding", "close", "x-user-id, x-team ,,x-provider-key", "x-user-id\r\nConnection: x-provider-key"}, settled...) {
		head := "Authorization: Bearer " + token + "\r\nConnection: " + header + "\r\nX-User-Id: " + forged + "\r\n"
		got := sendRaw(t, p.addr("8080"), "POST /r HTTP/1.1\r\nHost: a\r\n"+head+"Content-Length: 4\r\n\r\nbody")
		if header == "authorization" { // the token is the hop's, so there is none
			if got.status != 401 || len(o.requests()) != 0 {
				t.Errorf("Connection: %s: %v", header, got)
			}
			continue
		}
		if got.status != 200 {
			t.Errorf("Connection: %q: %v", header, got)
			continue
		}
		s := o.one(t)
		checkSettled(t, "Connection: "+header, s, "ann")
		if s.body != "body" || s.host != "a" || s.header.Get("Connection") != "" {
			t.Errorf("Connection: %q: body %q, host %q, %v", header, s.body, s.host, s.header)
		}
	}
}

// TestSecurityRow01ClientsTrailers: what comes after the body sets nothing,
// either.
func TestSecurityRow01ClientsTrailers(t *testing.T) {
	p, o := guardedHeaders(t)
	token := caller("")
	for _, header := range settled {
		got := sendRaw(t, p.addr("8080"), "POST /r HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+token+
			"\r\nTrailer: "+header+"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"+header+": "+forged+"\r\n\r\n")
		if got.status != 200 {
			if got.status != 400 {
				t.Errorf("%s: %v", header, got)
			}
			o.requests()
			continue
		}
		s := o.one(t)
		checkSettled(t, "trailer "+header, s, "ann")
		if text := fmt.Sprint(s.trailer); strings.Contains(text, forged) {
			t.Errorf("trailer %s reached the upstream: %s", header, text)
		}
	}
}

// h2Client speaks HTTP/2 in the clear, frame by frame, so that it can send
// what no client library would.
type h2Client struct {
	t      *testing.T
	framer *http2.Framer
	enc    *hpack.Encoder
	out    bytes.Buffer
	stream uint32
}

func newH2(t *testing.T, conn io.ReadWriter) *h2Client {
	t.Helper()
	c := &h2Client{t: t, stream: 1}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.out)
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// request sends the head of a request without a body, and returns its stream.
func (c *h2Client) request(fields ...string) (uint32, error) {
	id := c.stream
	c.stream += 2
	c.out.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	return id, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.out.Bytes(), EndStream: true, EndHeaders: true})
}

// status returns the status of the stream's answer, or 0 if it was reset or
// the connection ended.
func (c *h2Client) status(id uint32) string {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return ""
			}
		case *http2.GoAwayFrame:
			return ""
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		}
	}
}

// TestSecurityRow01ClientsHeadersHTTP2: the same over HTTP/2, where the
// headers of a connection are malformed (RFC 9113 8.2.2).
func TestSecurityRow01ClientsHeadersHTTP2(t *testing.T) {
	p, o := guardedHeaders(t)
	token := caller("")
	for _, header := range append([]string{"connection", "transfer-encoding", "host"}, settled...) {
		h2 := newH2(t, dialRaw(t, p.addr("8080")))
		fields := []string{":method", "GET", ":scheme", "http", ":path", "/r", ":authority", "a"}
		if header == "authorization" {
			fields = append(fields, header, forged)
		}
		fields = append(fields, "authorization", "Bearer "+token)
		if header != "authorization" {
			fields = append(fields, header, forged)
		}
		id, err := h2.request(fields...)
		if err != nil {
			t.Fatal(err)
		}
		status := h2.status(id)
		seen := o.requests()
		switch {
		case status == "200" && len(seen) == 1:
			checkSettled(t, "h2 "+header, seen[0], "ann")
			if seen[0].host != "a" {
				t.Errorf("h2 %s: host %q", header, seen[0].host)
			}
		case status != "" && status != "400" || len(seen) != 0:
			t.Errorf("h2 %s: status %s, %d requests upstream", header, status, len(seen))
		}
	}
}

// TestSecurityRow01AnswersHeaders: an upstream cannot speak for the
// connection, or as the gateway.
func TestSecurityRow01AnswersHeaders(t *testing.T) {
	o := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Connection", "x-named")
		h.Set("X-Named", forged)
		h.Set("Keep-Alive", forged)
		h.Set("Proxy-Authenticate", forged)
		h.Set("Upgrade", forged)
		h.Set("Server", forged)
		h.Set("X-Request-Id", forged)
		h.Set("X-Other", "kept")
	})
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	got := send(t, request{url: "http://" + p.addr("8080") + "/"})
	if got.status != 200 || got.header.Get("X-Other") != "kept" || strings.Contains(fmt.Sprint(got.header), forged) {
		t.Error(got)
	}
}
