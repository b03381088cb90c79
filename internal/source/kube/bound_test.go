package kube

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// answering answers every request alike.
type answering struct{ body, retry string }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Header: http.Header{"Retry-After": {a.retry}}, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func TestBounded(t *testing.T) {
	for _, tc := range []struct {
		name, query, body, retry string
		cut                      bool
		waits                    string
	}{
		{"an answer", "", "0123456789", "3", false, "3"},
		{"one that is too long", "", "0123456789x", "3600", true, "5"},
		{"lines are no matter", "", "01234\n6789x", "", true, ""},
		{"a watch", "?watch=true", "0123\n4567\n89", "Fri, 31 Dec 1999 23:59:59 GMT", false, "Fri, 31 Dec 1999 23:59:59 GMT"},
		{"a line that is too long", "?watch=1", "0123\n456789x", "", true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, "http://api.example.com/"+tc.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := bounded{answering{tc.body, tc.retry}, 10, 5}.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get("Retry-After"); got != tc.waits {
				t.Errorf("waits for %q", got)
			}
			if _, err := io.ReadAll(&small{resp.Body}); (err != nil) != tc.cut {
				t.Errorf("%v", err)
			}
		})
	}
}

// small reads in small pieces.
type small struct{ io.Reader }

func (s *small) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 3)]) }
