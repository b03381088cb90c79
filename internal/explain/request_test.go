package explain

import (
	"strings"
	"testing"
)

func TestServerName(t *testing.T) {
	for _, tc := range []struct{ url, sni, want string }{
		{"https://a.example.com/", "", "a.example.com"},
		{"https://A.example.com:8443/", "", "a.example.com"},
		{"https://a.example.com.:8443/", "", "a.example.com"}, // no client sends the dot
		{"https://127.0.0.1/", "", ""},
		{"https://a.example.com/", "b.example.com", "b.example.com"},
	} {
		w, err := (&Request{URL: tc.url, SNI: tc.sni}).wire()
		if err != nil {
			t.Fatal(err)
		}
		if got := w.request.TLS.ServerName; got != tc.want {
			t.Errorf("%s: %q, want %q", tc.url, got, tc.want)
		}
	}
	if w, err := (&Request{URL: "http://a.example.com/"}).wire(); err != nil || w.request.TLS != nil {
		t.Errorf("in the clear: %v, %v", w, err)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	for name, q := range map[string]*Request{
		"no host":      {},
		"no scheme":    {URL: "a.example.com/x"},
		"a user":       {URL: "http://me:MARKER@a.example.com/"},
		"port":         {URL: "http://a.example.com:0/"},
		"source":       {URL: "http://a.example.com/", SourceIP: "here"},
		"header":       {URL: "http://a.example.com/", Header: map[string][]string{"a b": {"c"}}},
		"header value": {URL: "http://a.example.com/", Header: map[string][]string{"a": {"MARKER\r\nb: c"}}},
		"peer":         {URL: "https://a.example.com/", Peer: "https://a.example.com"},
	} {
		if _, err := q.wire(); err == nil || strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
