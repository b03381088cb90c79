// Package conformance runs the Gateway API's own conformance suite against the
// program, on a real API server: one process with an address of its own for
// each Gateway, on the loopback of this machine.
//
//	API server ◄── conformance.test ──HTTP──► postern run --gateway-addresses
//	     ▲                                              │
//	     └── podrunner: the suite's pods ◄──────────────┘
//
// It takes minutes, needs root as everything with pods does, and is skipped
// unless POSTERN_CONFORMANCE is set, as make conformance does.
package conformance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/test/child"
	"github.com/postern-gateway/postern/test/cluster"
	"github.com/postern-gateway/postern/test/static"
)

// patience is how long things that take seconds may take.
const patience = 60 * time.Second

// profiles of the suite that are run; what of them is supported the suite
// reads in the status of the GatewayClass.
const profiles = "GATEWAY-HTTP,GATEWAY-GRPC"

// class is the GatewayClass of the suite's Gateways.
const class = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gateway-conformance}
spec: {controllerName: postern.dev/gateway-controller}
`

// experimental are features that we serve, and whose fields only the
// definitions of the experimental channel have.
var experimental = []string{"HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError"}

// TestConformance runs the whole suite, and keeps its report in
// docs/conformance; with arguments for the suite, which make it another, the
// report stays in the folder of the logs alone.
func TestConformance(t *testing.T) {
	if os.Getenv("POSTERN_CONFORMANCE") == "" {
		t.Skip("it takes minutes: make conformance runs it")
	}
	if err := cluster.CanRunPods(); err != nil {
		t.Skip(err)
	}
	root, channel := repository(t), cmp.Or(os.Getenv("POSTERN_CONFORMANCE_CHANNEL"), "standard")
	more := strings.Fields(os.Getenv("POSTERN_CONFORMANCE_ARGS"))
	programs := suite(t, root)
	logs := logFolder(t)
	c := cluster.ForTest(t, cluster.Options{ControllerManager: true, Pods: true, Images: []cluster.Image{
		{Name: "registry.k8s.io/gateway-api/echo-basic", Program: filepath.Join(programs, "echo-basic")},
		{Name: "registry.k8s.io/coredns/coredns"}, // for UDPRoutes, which are not served
	}})
	objects := c.Objects(t)
	install(t, root, channel, objects)
	objects.Put(class)

	postern := static.Postern(t)
	network := loopback(t, c)
	start(t, logs, "gateway", nil, postern, "run", "--kubeconfig", c.Kubeconfig,
		"--gateway-addresses", network+"0.0/16",
		"--admin", "127.0.0.1:0", "--access-log", filepath.Join(logs, "access.log"))
	awaitText(t, filepath.Join(logs, "gateway.log"), "postern: ready\n")
	features := supported(objects)
	if channel == "experimental" {
		more = append([]string{"-supported-features", strings.Join(append(features, experimental...), ",")}, more...)
	}

	report := filepath.Join(logs, "report.yaml")
	args := append([]string{
		"-test.v", "-test.timeout", "50m", "-test.run", "TestConformance",
		"-conformance-profiles", profiles, "-report-output", report,
		"-organization", "postern-gateway", "-project", "postern", "-url", "https://github.com/postern-gateway/postern",
		"-version", version(t, postern), "-contact", "https://github.com/postern-gateway/postern/issues",
		// Addresses that the suite asks for by name: one that can be had, and one
		// outside of the range.
		"-usable-address", network + "255.254", "-unusable-address", "203.0.113.1",
	}, more...)
	s := start(t, logs, "suite", []string{"KUBECONFIG=" + c.Kubeconfig}, filepath.Join(programs, "conformance.test"), args...)
	err := <-s.ended
	summarize(t, filepath.Join(logs, "suite.log"))
	if os.Getenv("POSTERN_CONFORMANCE_ARGS") == "" {
		if err := keepReport(report, filepath.Join(root, "docs", "conformance", channel+".yaml")); err != nil {
			t.Errorf("the report: %v", err)
		}
	}
	if err != nil {
		t.Errorf("the suite: %v; LOGS=FOLDER leaves its log and the gateway's in a folder", err)
	}
}

// loopback returns the beginning of a network of loopback addresses that no
// other cluster of this machine has: as the node's network, it ends in the
// number of the cluster.
func loopback(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	node, err := netip.ParseAddr(c.Node)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.%d.", node.As4()[2])
}

// supported waits for the features of the class, and returns them.
func supported(objects *cluster.Objects) []string {
	var out []string
	objects.Await(cluster.Reference{Version: "gateway.networking.k8s.io/v1", Kind: "GatewayClass", Name: "gateway-conformance"},
		"its features", func(u *unstructured.Unstructured) bool {
			out = nil
			list, _, _ := unstructured.NestedSlice(u.Object, "status", "supportedFeatures")
			for _, f := range list {
				if m, ok := f.(map[string]any); ok {
					out = append(out, fmt.Sprint(m["name"]))
				}
			}
			return len(out) > 0
		})
	return out
}

// repository returns the folder of the project.
func repository(t *testing.T) string {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(self)))
}

// suite returns the folder of the suite's programs, which are built if they
// are not yet.
func suite(t *testing.T, root string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(command(t, root, "sh", filepath.Join("test", "cluster", "build.sh"), "conformance")), "\n")
	return lines[len(lines)-1]
}

// logFolder returns where logs are left for people to read.
func logFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("POSTERN_CONFORMANCE_LOGS")
	if dir == "" {
		return t.TempDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// install applies the definitions of a channel of the Gateway API.
func install(t *testing.T, root, channel string, objects *cluster.Objects) {
	t.Helper()
	dir := strings.TrimSpace(command(t, root, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"))
	files, err := filepath.Glob(filepath.Join(dir, "config", "crd", channel, "gateway.*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the Gateway API's definitions: %d files, %v", len(files), err)
	}
	var all []*unstructured.Unstructured
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, objects.Put(string(b))...)
	}
	objects.AwaitEstablished(all)
}

// process is a program that was started.
type process struct {
	cmd   *exec.Cmd
	ended <-chan error // what its Wait returned, then closed
}

// start starts a program, which is ended with the test; what it writes goes to
// NAME.log.
func start(t *testing.T, logs, name string, env []string, program string, args ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(logs, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p := &process{cmd: exec.Command(program, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.ended, err = child.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// stop asks the program to end, and ends it if it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// command runs a program to its end and returns what it prints.
func command(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out, said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &said)
	}
	return out.String()
}

// awaitText waits until a log holds a text.
func awaitText(t *testing.T, file, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(text)) {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %q in %s:\n%s", text, file, b)
		}
	}
}

// version returns what the program calls itself: "v0.1.0".
func version(t *testing.T, postern string) string {
	t.Helper()
	fields := strings.Fields(command(t, "", postern, "version"))
	if len(fields) < 2 {
		t.Fatalf("postern version: %q", fields)
	}
	return "v" + fields[1]
}

// summarize prints what became of each of the suite's tests, in few lines.
func summarize(t *testing.T, log string) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		text := strings.TrimSpace(line)
		name, ok := strings.CutPrefix(text, "--- ")
		if ok && strings.Count(name, "/") == 1 && !strings.HasPrefix(name, "PASS") {
			t.Log(name)
		}
	}
}
