package program

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/simulate"
)

// The secrets of the simulated cloud.
const (
	cloudKey     = "aws-MARKER-secret-access-key-0123456789"
	clientSecret = "oidc-MARKER-client-secret-0123456789"
)

// bedrockModel is the one that the walk-through's routes name.
const (
	bedrockModel = "anthropic.claude-3-5-sonnet-20240620-v1:0"
	conversePath = "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse"
	converseText = `{"messages":[{"role":"user","content":[{"text":"Why?"}]}]}`
)

// clouded is a simulated cloud: its identity services and Bedrock are servers
// apart, so that each can fail by itself.
type clouded struct {
	*simulate.Cloud
	identity, bedrock *simulate.Server
	flags             []string
}

func newCloud(t *testing.T, cfg simulate.CloudConfig) *clouded {
	t.Helper()
	cfg.SecretAccessKey, cfg.ClientSecret, cfg.ClientID = cloudKey, clientSecret, "ai-gateway"
	c := &clouded{Cloud: simulate.NewCloud(cfg)}
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.flags = []string{"--upstream-ca", root}
	c.identity, c.bedrock = c.serve(t, ca, "oidc", "aws-sts", "aws-metadata"), c.serve(t, ca, "bedrock")
	return c
}

// serve starts the simulated services of these names, and leads to them.
func (c *clouded) serve(t *testing.T, ca *simulate.CA, names ...string) *simulate.Server {
	t.Helper()
	var list []simulate.Provider
	var hosts []string
	for _, k := range simulate.Kinds() {
		for _, name := range names {
			if k.Name == name {
				list = append(list, k.New(simulate.ProviderConfig{Hosts: k.Hosts, Cloud: c.Cloud}))
				hosts = append(hosts, k.Hosts...)
			}
		}
	}
	s, err := simulate.New(simulate.Config{Providers: list, CA: ca, MaxBody: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, h := range hosts {
		c.flags = append(c.flags, "--connect-to", h+":443="+s.HTTPSAddr(), "--connect-to", h+":80="+s.HTTPAddr())
	}
	return s
}

// bedrockFiles are the files of a walk-through to Bedrock.
func bedrockFiles(t *testing.T, folder string) map[string]string {
	t.Helper()
	return envoyAI(t, folder)
}

func (c *clouded) settings() settings {
	return settings{args: c.flags, env: map[string]string{
		"OIDC_CLIENT_SECRET": clientSecret, "AWS_ACCESS_KEY_ID": c.Config().AccessKeyID, "AWS_SECRET_ACCESS_KEY": cloudKey,
	}}
}

// converse sends a Converse request through the gateway.
func converse(t *testing.T, p *program, header map[string]string) reply {
	t.Helper()
	h := map[string]string{"Content-Type": "application/json", "x-ai-eg-model": bedrockModel, "x-envoy-ai-gateway-llm-model": bedrockModel}
	for k, v := range header {
		h[k] = v
	}
	return send(t, request{method: "POST", url: "http://" + p.addr("8080") + conversePath, body: converseText, header: h})
}

// statusOf reads /status.
func (p *program) statusOf() (s struct {
	Problems []struct {
		Severity, What, Remedy string
		Origin                 struct {
			File, Field string
			Line        int
		}
	}
	Credentials []credential.Status
}) {
	p.t.Helper()
	text := p.get("/status")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// get reads a path of the admin listener.
func (p *program) get(path string) string {
	p.t.Helper()
	resp, err := http.Get("http://" + p.admin + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// problem returns the problem whose text holds what; the test fails without.
func (p *program) problem(what string) string {
	p.t.Helper()
	found := ""
	p.await("problem with "+what, func() bool {
		for _, pr := range p.statusOf().Problems {
			if strings.Contains(pr.What, what) {
				found = pr.Severity + " " + pr.What + "; " + pr.Remedy
				if pr.Origin.File == "" || pr.Origin.Line == 0 || pr.Remedy == "" {
					p.t.Errorf("problem without a place or a remedy: %+v", pr)
				}
				return true
			}
		}
		return false
	})
	return found
}
