package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/internal/status"
)

var quiet = slog.New(slog.DiscardHandler)

// problems returns n problems, each longer than what is said of one.
func problems(n int) []status.Problem {
	var out []status.Problem
	for i := range n {
		out = append(out, status.Errorf(ir.Origin{Kind: "Route", Namespace: "ns", Name: fmt.Sprint("r", i)}, "one\ntwo %s", strings.Repeat("é", 2*maxText)))
	}
	return out
}

func ask(body string) string {
	return `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u1", ` + body + `}}`
}

func TestHandler(t *testing.T) {
	judge := func(_ context.Context, old, object []byte) (errs, warnings []status.Problem, err error) {
		switch string(object) {
		case `"good"`:
			return nil, nil, nil
		case `"bad"`:
			return problems(1), nil, nil
		case `"many"`:
			return problems(maxErrors + 3), problems(maxWarnings + 2), nil
		case `"changed"`:
			return nil, []status.Problem{{What: "old is " + string(old)}}, nil
		}
		return nil, nil, errors.New("nobody knows")
	}
	for _, tc := range []struct {
		name, method, path, content, body string
		code                              int
		allowed                           bool
		says                              string
		lines, warnings                   int
	}{
		{name: "good", body: ask(`"operation": "CREATE", "object": "good"`), code: 200, allowed: true},
		{name: "bad", body: ask(`"operation": "CREATE", "object": "bad"`), code: 200, says: "Route ns/r0: one two é", lines: 1},
		{name: "many", body: ask(`"operation": "UPDATE", "object": "many"`), code: 200, says: "and 3 more errors", lines: maxErrors + 1, warnings: maxWarnings + 1},
		{name: "with an old one", body: ask(`"operation": "UPDATE", "object": "changed", "oldObject": {"a": 1}`), code: 200, allowed: true, warnings: 1},
		{name: "with none", body: ask(`"operation": "CREATE", "object": "changed", "oldObject": null`), code: 200, allowed: true, warnings: 1},
		{name: "nobody knows", body: ask(`"operation": "CREATE", "object": "what"`), code: 503},
		{name: "a deletion", body: ask(`"operation": "DELETE", "oldObject": "bad", "object": null`), code: 200, allowed: true},
		{name: "a status", body: ask(`"operation": "UPDATE", "subResource": "status", "object": "bad"`), code: 200, allowed: true},
		{name: "another path", path: "/", body: ask(`"operation": "CREATE", "object": "good"`), code: 404},
		{name: "another method", method: http.MethodGet, code: 405},
		{name: "another type", content: "text/plain", body: ask(`"operation": "CREATE", "object": "good"`), code: 415},
		{name: "no JSON", body: "{", code: 400},
		{name: "no request", body: `{"apiVersion": "admission.k8s.io/v1"}`, code: 400},
		{name: "no uid", body: `{"apiVersion": "admission.k8s.io/v1", "request": {"operation": "CREATE"}}`, code: 400},
		{name: "another version", body: strings.Replace(ask(`"object": "good"`), "/v1", "/v1beta1", 1), code: 400},
		{name: "too much", body: ask(`"object": "` + strings.Repeat("x", maxBody) + `"`), code: 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, path, content := http.MethodPost, Path, "application/json; charset=utf-8"
			if tc.method != "" {
				method = tc.method
			}
			if tc.path != "" {
				path = tc.path
			}
			if tc.content != "" {
				content = tc.content
			}
			r := httptest.NewRequest(method, path, strings.NewReader(tc.body))
			r.Header.Set("Content-Type", content)
			w := httptest.NewRecorder()
			(&Handler{Judge: judge, Log: quiet}).ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if tc.code != http.StatusOK {
				return
			}
			var out review
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil {
				t.Fatal(err, w.Body)
			}
			if out.APIVersion != admission || out.Kind != "AdmissionReview" || out.Response.UID != "u1" || out.Response.Allowed != tc.allowed || len(out.Response.Warnings) != tc.warnings {
				t.Errorf("%+v", out.Response)
			}
			if tc.allowed {
				return
			}
			said := out.Response.Status.Message
			if lines := strings.Split(said, "\n"); len(lines) != tc.lines || !strings.Contains(said, tc.says) || len([]rune(lines[0])) > maxText+4 {
				t.Errorf("%d lines: %s", len(lines), said)
			}
		})
	}
}

// write writes a server's key pair, and returns its serial number.
func write(t *testing.T, ca *simulate.CA, dir string) string {
	t.Helper()
	pair, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.String()
}

// TestCertificate follows the files, and survives one that is broken.
func TestCertificate(t *testing.T) {
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir, now := t.TempDir(), time.Unix(1_000_000, 0)
	if _, err := NewCertificate(dir, time.Now, quiet); err == nil {
		t.Error("no files are no error")
	}
	first := write(t, ca, dir)
	c, err := NewCertificate(dir, func() time.Time { return now }, quiet)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		pair, _ := c.Get(nil)
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	second := write(t, ca, dir)
	touched := time.Now().Add(time.Hour) // whatever the clock of the file system
	for _, name := range c.names() {
		if err := os.Chtimes(name, touched, touched); err != nil {
			t.Fatal(err)
		}
	}
	if got := serial(); got != first {
		t.Error("the files are looked at for each handshake")
	}
	if now = now.Add(lookAgain); serial() != second {
		t.Error("a new certificate is not used")
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now = now.Add(lookAgain); serial() != second {
		t.Error("a broken key took the place of one that works")
	}
}

// TestServerClientCA answers who has a certificate of the authority alone.
func TestServerClientCA(t *testing.T) {
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, ca, dir)
	roots, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCertificate(dir, time.Now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Server(&Handler{Log: quiet}, c, roots)
	if err != nil {
		t.Fatal(err)
	}
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout = 0, 0, 0 // a busy machine takes its time
	s.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelDebug)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(ln, "", "") }()
	defer func() { _ = s.Close(); <-ended }()
	known, err := ca.IssueWorkload(simulate.Workload{URIs: []string{"spiffe://cluster.local/ns/kube-system/sa/apiserver"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		certificates []tls.Certificate
		ok           bool
	}{"nobody": {nil, false}, "the API server": {[]tls.Certificate{known}, true}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: tc.certificates}}}
		resp, err := client.Get("https://" + ln.Addr().String() + "/")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		client.CloseIdleConnections()
	}
}

// TestBounded reads no more reviews than there is room for.
func TestBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	}), make(chan struct{}, 1))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, Path, nil))
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, nil).WithContext(ctx))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d for who does not wait", w.Code)
	}
	close(leave)
	<-ended
	w = httptest.NewRecorder()
	go func() { <-entered }()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, nil)); w.Code != http.StatusOK {
		t.Errorf("%d when there is room again", w.Code)
	}
}
