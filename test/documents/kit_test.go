package documents

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/test/cluster"
	"github.com/postern-gateway/postern/test/static"
)

// What providers take for their callers' keys.
const (
	huggingFaceKey = "hf_MARKER-of-the-provider-0123456789"
	openAIKey      = "sk-MARKER-of-the-provider-0123456789"
	dashScopeKey   = "sk-MARKER-of-dashscope-0123456789"
	awsKeyID       = "AKIASIMULATED0000001"
	awsKey         = "aws-MARKER-secret-access-key-0123456789"
	oidcSecret     = "oidc-MARKER-client-secret-0123456789"
)

const root = "../.."

// stage is a cluster with simulated providers beside it.
type stage struct {
	t         *testing.T
	cluster   *cluster.Cluster
	kubectl   *cluster.Commands
	providers *simulate.Server
	shell     *shell
	gateways  []gateway
}

// newStage starts a cluster that knows the kinds of a family.
func newStage(t *testing.T, family string) *stage {
	t.Helper()
	if err := cluster.CanRunPods(); err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl to ask with")
	}
	c := cluster.ForTest(t, cluster.Options{Pods: true, Images: []cluster.Image{
		{Name: "postern", Program: static.Postern(t), Path: "/postern", User: 65532},
		{Name: "curlimages/curl", Host: true},
	}})
	s := &stage{t: t, cluster: c, kubectl: c.Kubectl(t)}
	for _, f := range []string{"gatewayapi", family} {
		s.kubectl.Run("create", "-f", filepath.Join(root, "deploy", "crds", f+".yaml"))
	}
	s.kubectl.Run("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
	s.simulate()
	s.shell = s.newShell()
	return s
}

// simulate starts the providers, on an address that pods reach.
func (s *stage) simulate() {
	s.t.Helper()
	var cfg simulate.Config
	keys := map[string][]string{"openai": {openAIKey}, "huggingface": {huggingFaceKey}, "dashscope": {dashScopeKey}}
	cloud := simulate.NewCloud(simulate.CloudConfig{AccessKeyID: awsKeyID, SecretAccessKey: awsKey, ClientID: "ai-gateway", ClientSecret: oidcSecret})
	for _, k := range simulate.Kinds() {
		cfg.Providers = append(cfg.Providers, k.New(simulate.ProviderConfig{Keys: keys[k.Name], Hosts: k.Hosts, Cloud: cloud}))
	}
	cfg.HTTPS = []string{net.JoinHostPort(s.cluster.Node, "0")}
	p, err := simulate.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.Start(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = p.Close() })
	s.providers = p
}

// newShell returns the shell that a reader of the document has.
func (s *stage) newShell() *shell {
	s.t.Helper()
	path, err := cluster.Kubectl()
	if err != nil {
		s.t.Skip(err)
	}
	home := s.t.TempDir()
	// curl draws a meter where its output is no terminal, and may know a proxy.
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\nnoproxy = \"*\"\nmax-time = 60\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	manifests, err := filepath.Abs(filepath.Join(root, "examples"))
	if err != nil {
		s.t.Fatal(err)
	}
	return &shell{dir: s.t.TempDir(), env: append(os.Environ(),
		"PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "KUBECONFIG="+s.cluster.Kubeconfig, "HOME="+home, "EXAMPLES="+manifests,
		"HF_API_TOKEN="+huggingFaceKey, "OPENAI_API_KEY="+openAIKey, "API_KEY="+dashScopeKey,
		"AWS_ACCESS_KEY_ID="+awsKeyID, "AWS_SECRET_ACCESS_KEY="+awsKey, "OIDC_CLIENT_SECRET="+oidcSecret,
	)}
}

// gateway is Postern in a Deployment behind a Service.
type gateway struct {
	Namespace, Name string
	// Labels of its pods, by which resources choose it.
	Labels map[string]string
	// Port is of its listener and its Service.
	Port int
	// Secrets are the namespaces whose Secrets it may read.
	Secrets []string
	Args    []string
	// Identity is a Secret with the certificate of its workload, shown at
	// /identity.
	Identity string
}

// common is what the pods of a namespace need: the roots of the providers, and
// what Postern may do.
const common = `apiVersion: v1
kind: Namespace
metadata: {name: {{.Namespace}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: providers, namespace: {{.Namespace}}}
data: {ca.pem: {{printf "%q" .CA}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern}
rules:
- apiGroups: ["", discovery.k8s.io, apiextensions.k8s.io]
  resources: [services, namespaces, configmaps, endpointslices, customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: &families
  - admin.gloo.solo.io
  - aigateway.envoyproxy.io
  - enterprise.gloo.solo.io
  - extensions.istio.io
  - gateway.envoyproxy.io
  - gateway.networking.k8s.io
  - gateway.solo.io
  - gloo.solo.io
  - infrastructure.gloo.solo.io
  - istio.alibabacloud.com
  - networking.gloo.solo.io
  - networking.istio.io
  - ratelimit.solo.io
  - resilience.policy.gloo.solo.io
  - security.istio.io
  - security.policy.gloo.solo.io
  - trafficcontrol.policy.gloo.solo.io
  resources: ['*']
  verbs: [get, list, watch]
- apiGroups: *families
  resources: ['*/status']
  verbs: [get, patch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern-secrets}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: {{.Namespace}}-{{.Name}}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: postern}
subjects: [{kind: ServiceAccount, name: {{.Name}}, namespace: {{.Namespace}}}]
{{- range .Secrets}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: {{$.Namespace}}-{{$.Name}}, namespace: {{.}}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: postern-secrets}
subjects: [{kind: ServiceAccount, name: {{$.Name}}, namespace: {{$.Namespace}}}]
{{- end}}
`

// deployment is a gateway's, with a Service of its name.
const deployment = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata:
      labels: {app: {{.Name}}{{range $k, $v := .Labels}}, {{$k}}: {{$v}}{{end}}}
    spec:
      serviceAccountName: {{.Name}}
      terminationGracePeriodSeconds: 5
      securityContext: {runAsNonRoot: true, sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
      containers:
      - name: gateway
        image: postern
        args: [run, --in-cluster, "--health=:9902", --upstream-ca=/providers/ca.pem{{range .Connect}}, "--connect-to={{.}}"{{end}}{{range .Args}}, {{printf "%q" .}}{{end}}]
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        readinessProbe: {httpGet: {path: /readyz, port: 9902}, periodSeconds: 1, timeoutSeconds: 30}
        volumeMounts:
        - {name: providers, mountPath: /providers}
        {{- if .Identity}}
        - {name: identity, mountPath: /identity}
        {{- end}}
      volumes:
      - {name: providers, configMap: {name: providers}}
      {{- if .Identity}}
      - {name: identity, secret: {secretName: {{.Identity}}}}
      {{- end}}
---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  type: LoadBalancer
  selector: {app: {{.Name}}}
  ports: [{port: {{.Port}}}]
`

// render fills in a text about a gateway.
func (s *stage) render(text string, g gateway) string {
	s.t.Helper()
	data := struct {
		gateway
		CA      string
		Connect []string
	}{gateway: g, CA: string(s.providers.CA().PEM())}
	for _, k := range simulate.Kinds() {
		for _, host := range k.Hosts {
			data.Connect = append(data.Connect, host+":443="+s.providers.HTTPSAddr())
		}
	}
	var out strings.Builder
	if err := template.Must(template.New("").Parse(text)).Execute(&out, data); err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// prepare makes what the pods of a gateway need.
func (s *stage) prepare(g gateway) {
	s.t.Helper()
	s.kubectl.Apply(s.render(common, g))
}

// deploy runs a gateway, and waits until it answers.
func (s *stage) deploy(g gateway) {
	s.t.Helper()
	s.prepare(g)
	s.kubectl.Apply(s.render(deployment, g))
	s.gateways = append(s.gateways, g)
	for _, wait := range [][]string{ // documents look the address up once
		{"--for=condition=Available", "deployment/" + g.Name}, {"--for=jsonpath={.status.loadBalancer.ingress[0].ip}", "service/" + g.Name},
	} {
		if out, err := s.kubectl.Try(append([]string{"wait", "-n", g.Namespace, "--timeout=120s"}, wait...)...); err != nil {
			s.t.Fatalf("%s: %s\n%s", g.Name, out, s.logs())
		}
	}
}

// follow does what the document says. The gateways are the same at its end.
func (s *stage) follow(document string) {
	s.t.Helper()
	before := s.lives()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			logs := s.logs()
			s.t.Log(logs[max(0, len(logs)-20000):])
		}
	})
	s.shell.follow(s.t, document)
	if after := s.lives(); after != before {
		s.t.Errorf("the gateways were %s, and are %s", before, after)
	}
	if n := strings.Trim(s.kubectl.Run("get", "pods", "-A", "-o", `jsonpath={.items[*].status.containerStatuses[*].restartCount}`), "0 "); n != "" {
		s.t.Error("a container was restarted")
	}
	for _, key := range []string{huggingFaceKey, openAIKey, dashScopeKey, awsKey, oidcSecret} {
		if strings.Contains(s.logs(), key) {
			s.t.Error("a pod printed a provider's key")
		}
	}
}

// lives are the gateways' pods and how often they were restarted.
func (s *stage) lives() string {
	s.t.Helper()
	var out strings.Builder
	for _, g := range s.gateways {
		out.WriteString(s.kubectl.Run("get", "pods", "-n", g.Namespace, "-l", "app="+g.Name, "-o",
			`jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].restartCount} {end}`))
	}
	return out.String()
}

// logs are what all pods printed.
func (s *stage) logs() string { return s.cluster.PodLog("*", "*", "*") }

// identity makes a Secret with the certificate of a workload.
func (s *stage) identity(ca *simulate.CA, namespace, name, id string) {
	s.t.Helper()
	cert, err := ca.IssueWorkload(simulate.Workload{URIs: []string{id}})
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	if err := simulate.WriteIdentity(dir, cert, ca.PEM()); err != nil {
		s.t.Fatal(err)
	}
	s.kubectl.Run("create", "secret", "generic", name, "-n", namespace, "--from-file="+dir)
}

// seen returns what providers were asked since the last call.
func (s *stage) seen() []simulate.Record {
	defer s.providers.Clear()
	return s.providers.Requests()
}
