package program

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// message is a request in HTTP/2: fields by turns of name and value, data
// frames, and perhaps fields after them.
type message struct {
	name     string
	fields   []string
	data     []string
	trailers []string
}

// posted are the fields of a good request, with others in place of or after
// them.
func posted(more ...string) []string {
	fields := []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"}
	var rest []string
	for i := 0; i < len(more); i += 2 {
		placed := false
		for j := 0; j < len(fields); j += 2 {
			if fields[j] == more[i] {
				fields[j+1], placed = more[i+1], true
			}
		}
		if !placed {
			rest = append(rest, more[i], more[i+1])
		}
	}
	return append(fields, rest...)
}

// downgrades are requests in HTTP/2 that would be two in HTTP/1.1, or one with
// another head or body, if they were written down as they stand.
var downgrades = []message{
	{"CRLF in a value", posted("x", "y\r\n\r\n"+smuggled), nil, nil},
	{"LF in a value", posted("x", "y\nx-admin: 1"), nil, nil},
	{"CR in a value", posted("x", "y\rx-admin: 1"), nil, nil},
	{"NUL in a value", posted("x", "y\x00"), nil, nil},
	{"CRLF in a name", posted("x: y\r\n\r\n"+smuggled+"z", "1"), nil, nil},
	{"colon in a name", posted("transfer-encoding: chunked\r\nx", "1"), []string{"0\r\n\r\n" + smuggled}, nil},
	{"space in a name", posted("transfer-encoding ", "chunked"), []string{"0\r\n\r\n" + smuggled}, nil},
	{"capitals in a name", posted("Transfer-Encoding", "chunked"), []string{"0\r\n\r\n" + smuggled}, nil},
	{"Transfer-Encoding", posted("transfer-encoding", "chunked"), []string{"0\r\n\r\n" + smuggled}, nil},
	{"Connection", posted("connection", "content-length, x-forwarded-for"), nil, nil},
	{"Upgrade", posted("connection", "upgrade", "upgrade", "websocket"), []string{smuggled}, nil},
	{"Proxy-Connection", posted("proxy-connection", "keep-alive"), nil, nil},
	{"TE of another kind", posted("te", "gzip"), nil, nil},
	{"Content-Length too small", posted("content-length", "0"), []string{smuggled}, nil},
	{"Content-Length too large", posted("content-length", "1000"), []string{smuggled}, nil},
	{"Content-Length twice", posted("content-length", "3", "content-length", "30"), []string{"abc", smuggled}, nil},
	{"Content-Length of a list", posted("content-length", "3,3"), []string{"abc"}, nil},
	{"Content-Length with a sign", posted("content-length", "+3"), []string{"abc"}, nil},
	{"Content-Length after the body", posted(), []string{smuggled}, []string{"content-length", "0"}},
	{"Transfer-Encoding after the body", posted(), []string{smuggled}, []string{"transfer-encoding", "chunked"}},
	{"CRLF in what follows the body", posted("trailer", "x"), []string{"abc"}, []string{"x", "y\r\n\r\n" + smuggled}},
	{"a method of two lines", posted(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nPOST"), nil, nil},
	{"a method with a space", posted(":method", "GET /smuggled HTTP/1.1"), nil, nil},
	{"CONNECT", []string{":method", "CONNECT", ":authority", "a:80"}, []string{smuggled}, nil},
	{"extended CONNECT", posted(":method", "CONNECT", ":protocol", "websocket"), []string{smuggled}, nil},
	{"a path of two lines", posted(":path", "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled"), nil, nil},
	{"a path with a space", posted(":path", "/smuggled HTTP/1.1"), nil, nil},
	{"a path with a tab", posted(":path", "/a\tb"), nil, nil},
	{"an absolute path", posted(":path", "http://b/smuggled"), nil, nil},
	{"a path of a star", posted(":path", "*"), nil, nil},
	{"no path", posted(":path", ""), nil, nil},
	{"an authority of two lines", posted(":authority", "a\r\n\r\n"+smuggled), nil, nil},
	{"an authority with a user", posted(":authority", "a@b"), nil, nil},
	{"an authority with a path", posted(":authority", "a/smuggled"), nil, nil},
	{"Host beside the authority", posted("host", "b"), nil, nil},
	{"Host of two lines", posted("host", "a\r\n\r\n"+smuggled), nil, nil},
	{"a scheme of two lines", posted(":scheme", "http\r\n\r\n"+smuggled), nil, nil},
	{"a pseudo field that comes late", append(posted("x", "y"), ":path", "/smuggled"), nil, nil},
	{"a pseudo field twice", append(posted(), ":path", "/smuggled"), nil, nil},
	{"an unknown pseudo field", posted(":smuggled", "1"), nil, nil},
	{"a body alone", posted(), []string{smuggled, smuggled}, nil},
	{"Expect", posted("expect", "100-continue"), []string{smuggled}, nil},
}

// message sends a request with all that follows its head.
func (c *h2Client) message(m message) uint32 {
	id := c.stream
	c.stream += 2
	head := c.block(m.fields)
	last := len(m.data) == 0 && m.trailers == nil
	must := func(err error) { // the server may have hung up
		if err != nil {
			c.t.Log(m.name, err)
		}
	}
	must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndStream: last, EndHeaders: true}))
	for i, d := range m.data {
		must(c.framer.WriteData(id, m.trailers == nil && i == len(m.data)-1, []byte(d)))
	}
	if m.trailers != nil {
		must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(m.trailers), EndStream: true, EndHeaders: true}))
	}
	return id
}

func (c *h2Client) block(fields []string) []byte {
	c.out.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	return append([]byte(nil), c.out.Bytes()...)
}

// TestSecurityRow12Downgrade sends what HTTP/2 can hold and HTTP/1.1 cannot,
// and judges by the bytes that an upstream of HTTP/1.1 received.
func TestSecurityRow12Downgrade(t *testing.T) {
	o := serveRaw(t, echoTarget)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	addr := p.addr("8080")
	for i, m := range downgrades {
		m.fields = append([]string(nil), m.fields...)
		for j := 0; j < len(m.fields); j += 2 {
			if m.fields[j] == ":path" && m.fields[j+1] == "/" {
				m.fields[j+1] = fmt.Sprintf("/case-%d", i)
			}
		}
		c := newH2(t, dialRaw(t, addr))
		if status := c.status(c.message(m)); strings.HasPrefix(status, "5") {
			t.Errorf("%s: %s", m.name, status)
		}
		nonce := fmt.Sprintf("/nonce-%d", i)
		if next := send(t, request{url: "http://" + addr + nonce}); next.body != nonce {
			t.Errorf("%s: the next caller got %v, want %s", m.name, next, nonce)
		}
	}
	seen := map[string]int{}
	for _, bytes := range o.received() {
		expectPlain(t, bytes, seen)
	}
	for i, m := range downgrades {
		if seen[fmt.Sprintf("GET /nonce-%d", i)] != 1 || seen[fmt.Sprintf("POST /case-%d", i)] > 1 {
			t.Errorf("%s: the upstream received it %d times, and the next request %d times",
				m.name, seen[fmt.Sprintf("POST /case-%d", i)], seen[fmt.Sprintf("GET /nonce-%d", i)])
		}
	}
	served := 0
	for line, n := range seen {
		if strings.Contains(line, "smuggled") {
			t.Errorf("the upstream received %q %d times", line, n)
		}
		if strings.HasPrefix(line, "POST /case-") {
			served++
		}
	}
	if served == 0 {
		t.Error("not even the good ones were served")
	}
}
