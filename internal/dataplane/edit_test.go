package dataplane

import (
	"net/http"
	"slices"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
)

// What one attempt puts in the place of a credential, or injects, the next one
// does not find; and what was accepted stays out of it.
func TestRow07AttemptsDoNotShareEdits(t *testing.T) {
	value := func(v string) func() (string, error) { return func() (string, error) { return v, nil } }
	e := &Exchange{Header: http.Header{"X-Token": {"callers"}}}
	e.Consume([]authn.Location{{Header: "x-token"}, {Header: "x-other"}})
	e.Inject(SecretHeader{Name: "x-key", Value: value("route's")})
	e.Inject(SecretHeader{Name: "x-second", Value: value("second")})
	mark := e.Mark()

	e.SetHeader("X-Token", "first attempt's")
	e.Inject(SecretHeader{Name: "X-Key", Value: value("first upstream's")})
	e.Withdraw("X-Second")
	if e.Consumed("X-Token") || len(e.Outbound.Secrets) != 1 {
		t.Errorf("first attempt: %v %v", e.Record.consumedHeaders, e.Outbound.Secrets)
	}

	e.Rewind(mark)
	h := http.Header{"X-Token": {"callers"}, "X-Other": {"callers"}}
	e.DropConsumed(h)
	if len(h) != 0 {
		t.Errorf("second attempt: %v", h)
	}
	var got []string
	for _, s := range e.Outbound.Secrets {
		v, _ := s.Value()
		got = append(got, s.Name+"="+v)
	}
	if want := []string{"x-key=route's", "x-second=second"}; !slices.Equal(got, want) {
		t.Errorf("second attempt: got %q, want %q", got, want)
	}
}

func TestRow25RefererIsCut(t *testing.T) {
	for in, want := range map[string]string{
		"http://a.test/x?access_token=t":       "http://a.test/x",
		"http://a.test/x?a=1&access_token=t#f": "http://a.test/x?a=1",
		"http://a.test/x?access%5Ftoken=t&b=2": "http://a.test/x?b=2",
		"http://a.test/x":                      "http://a.test/x",
		"":                                     "",
	} {
		e := &Exchange{Header: http.Header{"Referer": {in}}}
		e.Consume([]authn.Location{{Query: "access_token"}})
		if got := e.Header.Get("Referer"); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
