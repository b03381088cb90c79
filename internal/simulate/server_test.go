package simulate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestServerListens(t *testing.T) {
	s, client := start(t, Config{HTTP: []string{":0", "127.0.0.1:0"}, HTTPS: []string{":0"}})
	addrs := s.Addrs()
	if len(addrs) != 3 || addrs[0].Address != s.HTTPAddr() || addrs[2].Address != s.HTTPSAddr() {
		t.Fatalf("addresses %v", addrs)
	}
	for _, a := range addrs {
		host, _, err := net.SplitHostPort(a.Address)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("%s is not on the loopback interface", a.Address)
		}
		got := do(t, client, newRequest(t, "GET", a.Scheme+"://"+a.Address+"/v1/models", "", "Host: API.openai.com:443"))
		if got.StatusCode != 401 {
			t.Errorf("%s: status %d", a.Scheme, got.StatusCode)
		}
	}
}

func TestServerChoosesByHost(t *testing.T) {
	tests := []struct {
		name, host string
		anyHost    bool
		status     int
		provider   string
	}{
		{"openai", "api.openai.com", false, 401, "openai"},
		{"hugging face", "api-inference.huggingface.co:8443", false, 401, "huggingface"},
		{"another", "gateway.example.com", false, 404, ""},
		{"dot at the end", "api.openai.com.", false, 404, ""},
		{"part of a name", "openai.com", false, 404, ""},
		{"any host", "gateway.example.com", true, 401, "openai"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Providers: both()}
			if tt.anyHost {
				cfg.Providers[0] = NewOpenAI(ProviderConfig{})
			}
			s, client := start(t, cfg)
			got := do(t, client, newRequest(t, "POST", "http://"+s.HTTPAddr()+"/v1/chat/completions", "", "Host: "+tt.host))
			if provider := s.Requests()[0].Provider; got.StatusCode != tt.status || provider != tt.provider {
				t.Errorf("status %d from %q", got.StatusCode, provider)
			}
		})
	}
}

func TestServerRefusesConfig(t *testing.T) {
	open := NewOpenAI(ProviderConfig{})
	for name, cfg := range map[string]Config{
		"no providers":  {},
		"two any hosts": {Providers: []Provider{open, open}},
		"same host":     {Providers: append(both(), NewHuggingFace(ProviderConfig{Hosts: []string{"API.openai.com"}}))},
		"behavior":      {Providers: both(), Behavior: Behavior{Size: -1}},
		"keep":          {Providers: both(), Keep: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestServerStartsOnceAndWhole(t *testing.T) {
	s, _ := start(t, Config{})
	if err := s.Start(t.Context()); err == nil {
		t.Error("second start: no error")
	}
	second, err := New(Config{Providers: both(), HTTP: []string{":0"}, HTTPS: []string{s.HTTPAddr()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil || second.HTTPAddr() != "" {
		t.Errorf("taken port: %v, yet listens on %q", err, second.HTTPAddr())
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := second.Start(t.Context()); err == nil {
		t.Error("start after close: no error")
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	s, err := New(Config{Providers: both()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	s.work.Wait()
	if conn, err := net.Dial("tcp", s.HTTPAddr()); err == nil {
		conn.Close()
		t.Error("still listening")
	}
	recorder := httptest.NewRecorder()
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("a closed server answers")
		}
	}()
	s.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
}

// Each of many concurrent answers quotes its own request's nonce.
func TestServerKeepsAnswersApart(t *testing.T) {
	s, client := start(t, Config{Keep: 50})
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			nonce := fmt.Sprintf("nonce-%d.", i)
			got := do(t, client, chat(t, strings.Replace(chatBody, "Tell me a tale", nonce, 1)))
			if !strings.Contains(string(got.body), nonce) {
				t.Errorf("%s is not in %s", nonce, got.body)
			}
		})
	}
	group.Wait()
	if records := s.Requests(); len(records) != 50 || records[49].Number != 200 {
		t.Errorf("%d records", len(records))
	}
}

func TestNewProvider(t *testing.T) {
	for _, k := range Kinds() {
		p, err := NewProvider(k.Name, ProviderConfig{Hosts: k.Hosts})
		if err != nil || p.Name() != k.Name || len(p.Hosts()) == 0 {
			t.Errorf("%s: %v", k.Name, err)
		}
		if _, ok := p.(Failer); !ok {
			t.Errorf("%s has no errors of its own", k.Name)
		}
	}
	if _, err := NewProvider("nobody", ProviderConfig{}); err == nil {
		t.Error("unknown kind: no error")
	}
}

func TestCAIsTrustedForItsNames(t *testing.T) {
	s, _ := start(t, Config{Names: []string{"*.wild.example"}})
	dir := t.TempDir()
	path, err := s.CA().WriteFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if block, rest := pem.Decode(data); block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Fatalf("file holds %q", data)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	for name, trusted := range map[string]bool{
		"api.openai.com": true, "api-inference.huggingface.co": true, "localhost": true, "127.0.0.1": true,
		"a.wild.example": true, "wild.example": false, "a.b.wild.example": false, "example.com": false,
	} {
		conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: pool, ServerName: name})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.CA().Issue(); err == nil {
		t.Error("certificate without names: no error")
	}
	if _, err := s.CA().WriteFile(dir + "/none"); err == nil {
		t.Error("missing folder: no error")
	}
}

func TestServersShareACA(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	_, client := start(t, Config{CA: ca})
	other, _ := start(t, Config{CA: ca})
	if got := do(t, client, newRequest(t, "GET", "https://"+other.HTTPSAddr()+"/", "")); got.StatusCode != 404 {
		t.Errorf("status %d", got.StatusCode)
	}
}
