package istioauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// policyTest is a PolicyTest resource.
type policyTest struct {
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Now       time.Time                 `yaml:"now"`
		Workload  workload                  `yaml:"workload"`
		Manifests string                    `yaml:"manifests"`
		External  map[string]externalAnswer `yaml:"external"`
		JWKS      map[string]any            `yaml:"jwks"`
		Cases     []testCase                `yaml:"cases"`
	} `yaml:"spec"`
}

type workload struct {
	Namespace          string            `yaml:"namespace"`
	Labels             map[string]string `yaml:"labels"`
	RootNamespace      string            `yaml:"rootNamespace"`
	TrustDomain        string            `yaml:"trustDomain"`
	TrustDomainAliases []string          `yaml:"trustDomainAliases"`
}

type externalAnswer struct {
	Allow   bool              `yaml:"allow"`
	Status  int               `yaml:"status"`
	Headers map[string]string `yaml:"headers"`
}

type testCase struct {
	Name    string  `yaml:"name"`
	Request request `yaml:"request"`
	Expect  struct {
		Decision string `yaml:"decision"`
		Status   int    `yaml:"status"`
		Policy   string `yaml:"policy"`
		Rule     *int   `yaml:"rule"`
		Identity struct {
			Subject string `yaml:"subject"`
		} `yaml:"identity"`
	} `yaml:"expect"`
}

type request struct {
	Method          string           `yaml:"method"`
	URL             string           `yaml:"url"`
	Headers         map[string]texts `yaml:"headers"`
	Peer            string           `yaml:"peer"`
	SourceIP        string           `yaml:"sourceIP"`
	RemoteIP        string           `yaml:"remoteIP"`
	DestinationIP   string           `yaml:"destinationIP"`
	DestinationPort int              `yaml:"destinationPort"`
	SNI             string           `yaml:"sni"`
	Claims          map[string]any   `yaml:"claims"`
}

// texts is a string or a list of them.
type texts []string

func (s *texts) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = texts{n.Value}
		return nil
	}
	return n.Decode((*[]string)(s))
}

// TestPolicies runs every case of test/policy/istio.
func TestPolicies(t *testing.T) {
	files, _ := filepath.Glob("../../../test/policy/istio/*.yaml")
	total := 0
	for _, file := range files {
		for _, pt := range readTests(t, file) {
			total += len(pt.Spec.Cases)
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml")+"/"+pt.Metadata.Name, pt.run)
		}
	}
	if total < 300 {
		t.Errorf("only %d cases", total)
	}
	t.Logf("%d cases", total)
}

func readTests(t *testing.T, file string) []*policyTest {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(false)
	var out []*policyTest
	for {
		pt := &policyTest{}
		err := d.Decode(pt)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, pt)
	}
}

// world is what a PolicyTest's manifests come to.
type world struct {
	stages   []dataplane.Stage
	steps    []ir.Step
	mesh     istioauth.Mesh
	problems []status.Problem
}

func decode(t testing.TB, text string) (*resource.View, []*resource.Object) {
	t.Helper()
	kinds := append(resource.CoreKinds(), istioauth.Kinds()...)
	res := resource.NewDecoder(kinds, resource.Options{}).Decode("test.yaml", []byte(text))
	if res.Broken {
		t.Fatalf("the manifests do not decode: %v", res.Problems)
	}
	return resource.NewView(resource.NewSet(res.Objects, kinds)), res.Objects
}

func (pt *policyTest) world(t *testing.T) *world {
	t.Helper()
	v, objects := decode(t, pt.Spec.Manifests)
	w := &world{}
	w.mesh, w.problems = istioauth.ReadMesh(v, "")
	own := pt.Spec.Workload
	if own.RootNamespace != "" {
		w.mesh.RootNamespace = own.RootNamespace
	}
	if own.TrustDomain != "" {
		w.mesh.TrustDomain, w.mesh.TrustDomainAliases = own.TrustDomain, own.TrustDomainAliases
	}
	for _, o := range objects {
		w.problems = append(w.problems, istioauth.Check(o, &w.mesh)...)
	}
	namespace := own.Namespace
	if namespace == "" {
		namespace = "default"
	}
	env := &istioauth.Env{Mesh: w.mesh}
	w.steps = istioauth.Translate(v, env, istioauth.Workload{Namespace: namespace, Labels: own.Labels}).Steps
	config := &ir.Config{Listeners: []*ir.Listener{{Name: "l", Hosts: []*ir.VirtualHost{{Hostname: "*", Routes: []*ir.Route{{
		Name: "r", Steps: w.steps, Action: ir.Action{Direct: &ir.Direct{Status: 200}},
	}}}}}}}
	for _, err := range ir.Validate(config) {
		t.Errorf("the model is broken: %v", err)
	}
	for _, s := range w.steps {
		w.stages = append(w.stages, pt.stage(t, s))
	}
	return w
}

func (pt *policyTest) stage(t *testing.T, s ir.Step) dataplane.Stage {
	t.Helper()
	switch {
	case s.Closed != nil:
		return dataplane.Closed(s.Closed)
	case s.JWT != nil:
		j, err := authn.NewJWT(s.JWT, authn.Deps{
			Clock: func() time.Time { return pt.Spec.Now },
			Cache: authn.NewTokenCache(16), Keys: func(r ir.RemoteKeys) *authn.RemoteKeys { return pt.keys(t, r) },
		})
		if err != nil {
			t.Fatal(err)
		}
		stage := filter.NewAuthenticate(j, s.Slot, s.Origin)
		return dataplane.StageFunc(func(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
			if len(e.Identities) > 0 { // claims that the case takes for verified
				return nil
			}
			return stage.Run(ctx, e)
		})
	}
	p, err := authz.NewPolicies(s.Authorization)
	if err != nil {
		t.Fatal(err)
	}
	if !p.HandsOver() {
		return filter.NewAuthorization(p, s.Slot, s.Origin)
	}
	if s.Authorization.Ask == nil {
		return filter.NewAuthorizationAsk(p, nil, false, s.Slot)
	}
	return filter.NewAuthorizationAsk(p, pt.asked(s), s.Authorization.Rematch, s.Slot)
}

// asked answers in place of an external server.
func (pt *policyTest) asked(s ir.Step) dataplane.Stage {
	return dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
		p := s.Authorization.Policies[0]
		x, ok := pt.Spec.External[p.Namespace+"/"+p.Name]
		switch {
		case !ok:
			return &dataplane.Answer{Status: 599, Verdict: "unknown"}
		case x.Allow:
			for name, v := range x.Headers {
				e.Header.Set(name, v)
			}
			return nil
		}
		return dataplane.Refuse(max(x.Status, 400), "", "", ir.Origin{}, "external")
	})
}

func (pt *policyTest) keys(t *testing.T, r ir.RemoteKeys) *authn.RemoteKeys {
	t.Helper()
	doc, ok := pt.Spec.JWKS[r.URL]
	if !ok {
		return authn.FixedKeys(nil)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	set, err := authn.ParseJWKS(b)
	if err != nil {
		t.Fatal(err)
	}
	return authn.FixedKeys(set)
}

func (pt *policyTest) run(t *testing.T) {
	w := pt.world(t)
	for _, c := range pt.Spec.Cases {
		e, a := c.Request.exchange(t, &w.mesh)
		for _, s := range w.stages {
			if a != nil {
				break
			}
			a = s.Run(t.Context(), e)
		}
		c.check(t, e, a)
	}
}

// exchange is a request as the data plane has it when it meets the first stage.
func (r *request) exchange(t testing.TB, mesh *istioauth.Mesh) (*dataplane.Exchange, *dataplane.Answer) {
	t.Helper()
	u, rest, ok := strings.Cut(r.URL, "://")
	if !ok {
		t.Fatalf("%q is no URL", r.URL)
	}
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	e := &dataplane.Exchange{Method: r.Method, Scheme: u, Header: http.Header{}, PeerID: r.Peer, Proto: 1, Listener: &dataplane.Listener{}}
	if e.Method == "" {
		e.Method = "GET"
	}
	var err error
	if e.Authority, err = dataplane.NormalizeHost(host); err != nil {
		t.Fatal(err)
	}
	e.Host, _, _ = net.SplitHostPort(e.Authority)
	raw, query, _ := strings.Cut(target, "?")
	e.RawQuery = query
	if e.Path, err = dataplane.NormalizePathAs(mesh.PathNormalization, raw); err != nil {
		return e, dataplane.BadRequest(err.Error())
	}
	for name, list := range r.Headers {
		for _, v := range list {
			e.Header.Add(name, v)
		}
	}
	r.addresses(t, e)
	if r.SNI != "" || u == "https" {
		e.TLS = &tls.ConnectionState{ServerName: r.SNI}
	}
	if r.Claims != nil {
		e.Identities = []authn.Identity{{Provider: "test", Method: authn.MethodJWT, Issuer: text(r.Claims["iss"]), Subject: text(r.Claims["sub"]), Claims: claims(t, r.Claims)}}
	}
	return e, nil
}

func (r *request) addresses(t testing.TB, e *dataplane.Exchange) {
	t.Helper()
	source := r.SourceIP
	if source == "" {
		source = "192.0.2.1"
	}
	e.Peer = net.JoinHostPort(source, "40000")
	e.Client = netip.MustParseAddr(source)
	if r.RemoteIP != "" {
		e.Client = netip.MustParseAddr(r.RemoteIP)
	}
	local, port := r.DestinationIP, r.DestinationPort
	if local == "" {
		local = "192.0.2.9"
	}
	if port == 0 {
		port = 8080
	}
	e.Local = netip.AddrPortFrom(netip.MustParseAddr(local), uint16(port))
}

func text(v any) string { s, _ := v.(string); return s }

// claims are as a token's payload decodes.
func claims(t testing.TB, m map[string]any) map[string]any {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	out := map[string]any{}
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// check compares what came out with what a case expects.
func (c *testCase) check(t *testing.T, e *dataplane.Exchange, a *dataplane.Answer) {
	t.Helper()
	decision, code, policy, rule, cause := "allow", 200, "", -1, ""
	for _, p := range e.Record.Passed {
		fmt.Sscanf(p, "AuthorizationPolicy %s rule %d", &policy, &rule)
	}
	if a != nil {
		decision, code, policy, cause = "deny", a.Status, "", a.Cause
		if a.Verdict == "unknown" {
			decision = "unknown"
		}
		if _, name, ok := strings.Cut(a.Policy, " "); ok {
			policy = name
		}
		rule = -1
		if n, ok := strings.CutPrefix(a.Origin.Field, "spec.rules["); ok {
			rule, _ = strconv.Atoi(strings.TrimSuffix(n, "]"))
		}
	}
	want := c.Expect
	fail := func(what string, got, wanted any) {
		t.Errorf("%s: %s is %v, want %v (%s; passed %q)", c.Name, what, got, wanted, cause, e.Record.Passed)
	}
	if decision != want.Decision {
		fail("decision", decision, want.Decision)
		return
	}
	if want.Status != 0 && code != want.Status {
		fail("status", code, want.Status)
	}
	if want.Policy != "" && policy != want.Policy {
		fail("policy", policy, want.Policy)
	}
	if want.Rule != nil && rule != *want.Rule {
		fail("rule", rule, *want.Rule)
	}
	if s := want.Identity.Subject; s != "" && e.Record.Identity.Subject != s {
		fail("subject", e.Record.Identity.Subject, s)
	}
	if a != nil && a.Status == http.StatusForbidden && a.Verdict == dataplane.Denied && strings.HasPrefix(a.Policy, "istio/authorization ") && a.Body != "RBAC: access denied" {
		fail("body", a.Body, "RBAC: access denied")
	}
	if _, err := url.Parse(c.Request.URL); err != nil && code != 400 {
		fail("status of a URL that is none", code, 400)
	}
}
