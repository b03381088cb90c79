package dataplane

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/secret"
)

const secretMarker = "MARKER-secret-header"

func withSecret(name string) *Exchange {
	e := &Exchange{Header: http.Header{"X-Api-Key": {"client"}, "X-Other": {"o"}}, Caller: http.Header{"X-Api-Key": {"client"}}}
	e.SetSecretHeader(name, secret.NewValue([]byte(secretMarker)))
	return e
}

// written is the head of an attempt, as far as it matters here.
func written(e *Exchange) http.Header {
	h := e.Header.Clone()
	e.Outbound.WriteSecretHeaders(h)
	return h
}

func TestSecretHeaders(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(e *Exchange)
		want []string // of X-Api-Key upstream
		read bool     // by SecretHeader
	}{
		{"set", func(*Exchange) {}, []string{secretMarker}, true},
		{"set twice", func(e *Exchange) { e.SetSecretHeader("x-api-KEY", secret.NewValue([]byte("second"))) }, []string{"second"}, true},
		{"dropped", func(e *Exchange) { e.DropSecretHeader("x-api-key") }, nil, false},
		{"another dropped", func(e *Exchange) { e.DropSecretHeader("x-other") }, []string{secretMarker}, true},
		{"withdrawn", func(e *Exchange) { e.Withdraw("X-Api-Key") }, nil, false},
		{"replaced openly", func(e *Exchange) { e.SetHeader("X-Api-Key", "open") }, []string{"open"}, false},
		{"added to openly", func(e *Exchange) { e.AddHeader("X-Api-Key", "open") }, []string{secretMarker, "open"}, true},
		{"replaced by a credential", func(e *Exchange) { e.Inject(SecretHeader{Name: "x-api-key"}) }, nil, false},
		{"an attempt's edit", func(e *Exchange) {
			m := e.Mark()
			e.DropSecretHeader("X-Api-Key")
			e.SetSecretHeader("X-New", secret.NewValue([]byte("n")))
			e.Rewind(m)
		}, []string{secretMarker}, true},
	} {
		e := withSecret("x-api-key")
		tc.do(e)
		h := written(e)
		if !slices.Equal(h["X-Api-Key"], tc.want) || h.Get("X-New") != "" || h.Get("X-Other") != "o" {
			t.Errorf("%s: %v, want %q", tc.name, h, tc.want)
		}
		if v, ok := e.SecretHeader("X-API-KEY"); ok != tc.read || ok == v.IsZero() {
			t.Errorf("%s: read: %v", tc.name, ok)
		}
	}
}

// SecurityRow08: nothing that prints, copies or matches a request comes by it.
func TestSecurityRow08SecretHeaderIsNoText(t *testing.T) {
	e := withSecret("X-Team")
	for _, text := range []string{fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e.Outbound), fmt.Sprintf("%v", e.Header)} {
		if strings.Contains(text, secretMarker) {
			t.Errorf("prints %s", text)
		}
	}
	if len(e.Header["X-Team"]) != 0 || e.Outbound.CarriesCredential() || !withSecret("authorization").Outbound.CarriesCredential() {
		t.Error("the header is open, or its kind is wrong")
	}
}

func TestSanitizeRemovesWhatCouldBePassedOn(t *testing.T) {
	e := withSecret("X-Team")
	e.Sanitize("X-Api-Key")
	if len(e.Header["X-Api-Key"])+len(e.Caller) != 0 {
		t.Errorf("%v %v", e.Header, e.Caller)
	}
}

func TestPeek(t *testing.T) {
	const text = "0123456789"
	for _, tc := range []struct {
		name   string
		length int64
		most   int64
		limit  int64
		peeked string
		whole  bool
		status int
		then   string
	}{
		{"shorter", 10, 20, 100, text, true, 0, text},
		{"equal", 10, 10, 100, text, true, 0, text},
		{"longer", 10, 4, 100, "0123", false, 0, text},
		{"unknown, shorter", -1, 20, 100, text, true, 0, text},
		{"unknown, equal", -1, 10, 100, text, true, 0, text},
		{"unknown, longer", -1, 9, 100, "012345678", false, 0, text},
		{"above the limit", -1, 20, 5, "", false, 413, ""},
		{"above the budget", -1, 2 << 20, 4 << 20, "", false, 503, ""},
	} {
		e := &Exchange{Length: tc.length, budget: NewBudget(1 << 20)}
		e.Body = &boundedBody{ReadCloser: io.NopCloser(strings.NewReader(text)), left: tc.limit, count: new(int64), e: e}
		data, whole, a := e.Peek(tc.most)
		if a != nil || tc.status != 0 {
			if a == nil || a.Status != tc.status {
				t.Errorf("%s: %+v, want %d", tc.name, a, tc.status)
			}
			continue
		}
		again, _, _ := e.Peek(tc.most)
		body, ok := e.Collected()
		if !ok {
			body, _ = io.ReadAll(e.Body)
		}
		if string(data) != tc.peeked || whole != tc.whole || string(body) != tc.then || string(again) != tc.peeked {
			t.Errorf("%s: %q, %v, again %q, then %q", tc.name, data, whole, again, body)
		}
		if e.release(); e.budget.Used() != 0 {
			t.Errorf("%s: %d bytes of the budget are lost", tc.name, e.budget.Used())
		}
	}
}

// What was read ahead counts once against a limit.
func TestLimitsAfterPeek(t *testing.T) {
	for _, tc := range []struct {
		listener, filter int64
		ok               bool
	}{{10, 0, true}, {12, 0, true}, {9, 0, false}, {100, 10, true}, {100, 9, false}, {100, 3, false}} {
		e := &Exchange{Length: 10, budget: NewBudget(1 << 20)}
		e.Body = &boundedBody{ReadCloser: io.NopCloser(strings.NewReader("0123456789")), left: tc.listener, count: new(int64), e: e}
		if _, _, a := e.Peek(4); a != nil {
			t.Errorf("%+v: %+v", tc, a)
		}
		if tc.filter > 0 {
			e.LimitBody(tc.filter)
		}
		data, a := e.Collect()
		if (a == nil) != tc.ok || tc.ok && string(data) != "0123456789" {
			t.Errorf("%+v: %q, %+v", tc, data, a)
		}
	}
}
