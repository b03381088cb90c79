package envoy

import (
	"crypto/tls"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

func TestTLSVersion(t *testing.T) {
	for _, c := range []struct {
		json string
		name string
		old  bool
	}{
		{`"TLS_AUTO"`, "", false}, {`"TLSv1_0"`, "", true}, {`"TLSv1_1"`, "", true}, {`"TLSv1_2"`, "1.2", false}, {`"TLSv1_3"`, "1.3", false}, {`3`, "1.2", false},
	} {
		var v TLSVersion
		if err := json.Unmarshal([]byte(c.json), &v); err != nil || v.Name() != c.name || v.Old() != c.old {
			t.Errorf("%s: name %q, old %v, error %v", c.json, v.Name(), v.Old(), err)
		}
	}
	if err := json.Unmarshal([]byte(`"TLSv1_4"`), new(TLSVersion)); err == nil {
		t.Error("an unknown version is taken")
	}
}

// TestCipherSuites: every name leads to a suite that crypto/tls holds secure.
func TestCipherSuites(t *testing.T) {
	for name := range suites {
		if !slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == CipherSuite(name) }) {
			t.Errorf("%s: %q is no secure suite", name, CipherSuite(name))
		}
	}
	if got := CipherSuite("AES128-SHA"); got != "" {
		t.Errorf("AES128-SHA: got %q", got)
	}
}

func TestRetryOn(t *testing.T) {
	for _, c := range []struct {
		condition string
		want      ir.Retry
		known     bool
	}{
		{"5xx", ir.Retry{On5xx: true, OnConnect: true, OnReset: true, OnTimeout: true}, true},
		{"gateway-error", ir.Retry{Statuses: []int{502, 503, 504}, OnConnect: true, OnReset: true, OnTimeout: true}, true},
		{"refused-stream", ir.Retry{OnReset: true}, true},
		{"connect-failure", ir.Retry{OnConnect: true}, true},
		{"retriable-4xx", ir.Retry{Statuses: []int{409}}, true},
		{"retriable-status-codes", ir.Retry{}, false},
		{"unavailable", ir.Retry{}, false},
	} {
		var got ir.Retry
		if known := RetryOn(&got, c.condition); known != c.known || !cmp.Equal(got, c.want) {
			t.Errorf("%s: known %v\n%s", c.condition, known, cmp.Diff(c.want, got))
		}
	}
}

func TestHeaderValue(t *testing.T) {
	for _, c := range []struct{ name, text, value, format, problem string }{
		{"plain", "a b", "a b", "", ""},
		{"percent sign", "100%%", "100%", "", ""},
		{"formatter", "%REQ(x-a):10% %%", "", "%REQ(x-a):10% %%", ""},
		{"stray percent sign", "100%", "", "", "a percent sign begins no formatter such as %REQ(:path)%"},
		{"line break", "a\r\nb", "", "", "the value holds a line break or NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &reading.Place{Object: &resource.Object{Key: resource.Key{Name: "o"}}, At: "spec", Report: &status.Report{}}
			got := HeaderValue(p, "x-a", "x-a", c.text)
			problem := ""
			for _, pr := range p.Report.Problems {
				problem += pr.What
			}
			if got.Name != "x-a" || got.Value != c.value || got.Format != c.format || problem != c.problem {
				t.Errorf("got %+v, problem %q", got, problem)
			}
		})
	}
}
