package program

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// echoTarget answers every request on a connection with its own target.
func echoTarget(r *bufio.Reader, w io.Writer) {
	for {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(q.RequestURI), q.RequestURI); err != nil {
			return
		}
	}
}

// smuggled is what only ever stands in bodies and values; as a request of its
// own it must not come upstream on the strength of an ambiguity.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// framings are messages that programs delimit or read differently. Whether
// they are refused or served, what goes on has one reading.
var framings = []struct{ name, text string }{
	{"CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"TE.CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n23\r\n" + smuggled + "\r\n0\r\n\r\n"},
	{"TE obscured by a space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
	{"TE obscured by a tab", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"},
	{"TE obscured by a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"},
	{"TE in a folded line", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"TE folded itself", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
	{"TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"TE twice, one unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"},
	{"TE a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"},
	{"TE chunked, identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\nok"},
	{"TE with a quote", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\nContent-Length: 2\r\n\r\nok"},
	{"TE CHUNKED", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
	{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{"TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\nok"},
	{"TE underscored", "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nok"},
	{"CL twice alike", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
	{"CL twice, contradicting", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok" + smuggled},
	{"CL a list alike", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nok"},
	{"CL a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 40\r\n\r\nok" + smuggled},
	{"CL with a plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nok"},
	{"CL negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nok"},
	{"CL in hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nok"},
	{"CL with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nok"},
	{"CL with zeros", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\n\r\nok"},
	{"CL of letters", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\nok"},
	{"CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n" + smuggled},
	{"CL too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nok"},
	{"CL wraps to 2", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551618\r\n\r\nok"},
	{"CL before a space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\nok"},
	{"CL after a CR", "POST / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 35\r\n\r\n" + smuggled},
	{"CL after a LF", "POST / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 35\r\n\r\n" + smuggled},
	{"CL after NUL", "POST / HTTP/1.1\r\nHost: a\r\nX: y\x00\r\nContent-Length: 2\r\n\r\nok"},
	{"CL on a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + smuggled},
	{"chunks on a GET", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + smuggled + "\r\n0\r\n\r\n"},
	{"chunk size with a plus", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n"},
	{"chunk size with 0x", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n"},
	{"chunk size negative", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n"},
	{"chunk size wraps", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n"},
	{"chunk size empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n"},
	{"chunk size with a space", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n"},
	{"chunk without its CRLF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n"},
	{"chunk longer than it says", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n"},
	{"chunk lines end in LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n"},
	{"chunk lines end in CR", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\rok\r0\r\r\r\n\r\n"},
	{"chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y;z=\"\r\nok\r\n0\r\n\r\n"},
	{"chunk extension with LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\nok\r\n0\r\n\r\n" + smuggled},
	{"chunk extension that hides a request", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n28\r\n0\r\n\r\n" + smuggled + "\r\n0\r\n\r\n"},
	{"huge chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 100<<10) + "\r\nok\r\n0\r\n\r\n"},
	{"many small chunks with extensions", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 200) + "0\r\n\r\n"},
	{"trailer that frames", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 35\r\n\r\n" + smuggled},
	{"trailer with a bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\nX: y\n\r\n\r\n"},
	{"trailer with a bare CR", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\nX: y\rz\r\n\r\n"},
	{"huge trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n"},
	{"a request in the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + smuggled},
	{"Expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"},
	{"Expect something else", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nok"},
	{"Expect obscured", "POST / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 2\r\n\r\nok"},
	{"Connection names the length", "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 35\r\n\r\n" + smuggled},
	{"Connection names the coding", "POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + smuggled + "\r\n0\r\n\r\n"},
}

// heads are request lines and header lines that are malformed.
var heads = []struct{ name, text string }{
	{"folded value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"},
	{"folded with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tX-Admin: 1\r\n\r\n"},
	{"first line folded", "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n"},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rX-Admin: 1\r\n\r\n"},
	{"bare CR at the end of a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n"},
	{"bare LF in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\nX-Admin: 1\r\n\r\n"},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n"},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n"},
	{"escape in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n"},
	{"Latin-1 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n"},
	{"space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"},
	{"space in a name", "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n"},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nXY\r\n\r\n"},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00Y: z\r\n\r\n"},
	{"UTF-8 in a name", "GET / HTTP/1.1\r\nHost: a\r\n\u017fX: z\r\n\r\n"},
	{"parenthesis in a name", "GET / HTTP/1.1\r\nHost: a\r\nX(Y): z\r\n\r\n"},
	{"lines end in LF", "GET / HTTP/1.1\nHost: a\n\n"},
	{"lines end in CR", "GET / HTTP/1.1\rHost: a\r\r\r\n\r\n"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"tab for a space", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"CR in the target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"NUL in the target", "GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"NUL in the query", "GET /?a\x00b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"version small", "GET / http/1.1\r\nHost: a\r\n\r\n"},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
	{"version 01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
	{"no version", "GET /\r\nHost: a\r\nX: padded to the length of a preface\r\n\r\n"},
	{"method with a colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"method with a bracket", "G[T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"the PRI method", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"},
	{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"},
	{"a PROXY line", "PROXY TCP4 203.0.113.7 127.0.0.1 1 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
}

// TestSecurityRow12OnlyPlainMessagesTravelOn judges by the bytes that the
// upstream received.
func TestSecurityRow12OnlyPlainMessagesTravelOn(t *testing.T) {
	o := serveRaw(t, echoTarget)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	addr := p.addr("8080")
	for i, tc := range append(framings[:len(framings):len(framings)], heads...) {
		got := sendRaw(t, addr, strings.Replace(tc.text, " / ", fmt.Sprintf(" /case-%d ", i), 1))
		if got.status == 500 || got.status == 502 || got.status == 503 {
			t.Errorf("%s: %v", tc.name, got)
		}
		nonce := fmt.Sprintf("/nonce-%d", i)
		if next := send(t, request{url: "http://" + addr + nonce}); next.body != nonce {
			t.Errorf("%s: the next caller got %v, want %s", tc.name, next, nonce)
		}
	}
	seen := map[string]int{}
	for _, bytes := range o.received() {
		expectPlain(t, bytes, seen)
	}
	for i, tc := range append(framings[:len(framings):len(framings)], heads...) {
		if seen[fmt.Sprintf("GET /nonce-%d", i)] != 1 || seen[fmt.Sprintf("POST /case-%d", i)] > 1 {
			t.Errorf("%s: the upstream received it, or the next request, %d and %d times", tc.name, seen[fmt.Sprintf("POST /case-%d", i)], seen[fmt.Sprintf("GET /nonce-%d", i)])
		}
	}
	if n := seen["GET /smuggled"]; n != 0 {
		t.Errorf("the upstream received %d smuggled requests", n)
	}
}

// TestSecurityRow12AmbiguousIsRefused: of these, nothing at all travels on.
func TestSecurityRow12AmbiguousIsRefused(t *testing.T) {
	o := serveRaw(t, echoTarget)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	refused := []string{
		"TE obscured by a space", "TE obscured by a vertical tab", "TE twice", "TE twice, one unknown", "TE a list", "TE identity", "TE chunked, identity", "TE xchunked", "TE with a quote", "TE empty",
		"CL twice, contradicting", "CL a list", "CL with a plus", "CL negative", "CL in hex", "CL with an underscore", "CL of letters", "CL too large", "CL wraps to 2", "CL before a space", "CL after a CR", "CL after NUL",
		"bare CR in a value", "bare CR at the end of a value", "NUL in a value", "DEL in a value", "escape in a value", "space before the colon", "space in a name", "no name", "no colon", "NUL in a name", "UTF-8 in a name", "parenthesis in a name",
		"two spaces", "tab for a space", "space in the target", "CR in the target", "NUL in the target", "NUL in the query", "version small", "version 2.0", "version 01.1", "version 1.10", "no version", "method with a colon", "method with a bracket", "no method", "a TLS hello", "a PROXY line", "first line folded",
	}
	for _, tc := range append(framings[:len(framings):len(framings)], heads...) {
		for _, name := range refused {
			if name != tc.name {
				continue
			}
			got := sendRaw(t, p.addr("8080"), tc.text)
			if seen := o.received(); len(seen) != 0 || got.status < 400 && got.status != 0 || got.status >= 500 && got.status != 501 && got.status != 505 {
				t.Errorf("%s: %v; the upstream received %.300q", tc.name, got, seen)
			}
		}
	}
}

// isPlainLine reports whether a header line is as RFC 9110 5.5 wants it.
func isPlainLine(l string) bool {
	name, value, ok := strings.Cut(l, ": ")
	for i := range len(value) {
		ok = ok && (value[i] >= ' ' && value[i] != 0x7f || value[i] == '\t')
	}
	return ok && plainName.MatchString(name)
}

var (
	plainName    = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	plainRequest = regexp.MustCompile(`^[A-Z]+ /\S* HTTP/1\.1$`)
	plainChunks  = regexp.MustCompile(`(?s)^(?:[0-9a-fA-F]+\r\n.*?\r\n)*?0\r\n(?:[!-9;-~]+: [^\r\n\x00]*\r\n)*\r\n`)
)

// expectPlain reads what the upstream received on a connection as strictly as
// can be: requests with one framing header each, of which the last may be cut
// off. It counts them by method and path.
func expectPlain(t *testing.T, rest string, seen map[string]int) {
	t.Helper()
	for rest != "" {
		head, after, ok := strings.Cut(rest, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		var framed, size int
		chunked := false
		for _, l := range lines[1:] {
			if !isPlainLine(l) {
				t.Errorf("%q: the upstream received the line %q", lines[0], l)
			}
			k, v, _ := strings.Cut(l, ": ")
			switch strings.ToLower(k) {
			case "content-length":
				framed++
				size, _ = strconv.Atoi(v)
			case "transfer-encoding":
				framed++
				chunked = true
			case "expect":
				t.Errorf("%q: the upstream received %q", lines[0], l)
			}
		}
		if !ok || framed > 1 || !plainRequest.MatchString(lines[0]) {
			t.Fatalf("the upstream received the head %.300q", head)
		}
		seen[strings.TrimSuffix(lines[0], " HTTP/1.1")]++
		if chunked {
			size = len(plainChunks.FindString(after))
		}
		if chunked && size == 0 || size > len(after) { // cut off, with its connection
			return
		}
		rest = after[size:]
	}
}
