// Package conformance runs the Gateway API's own conformance suite against the
// program, on a real API server: one process with an address of its own for
// each Gateway, on the loopback of this machine.
//
//	API server ◄── conformance.test ──HTTP──► postern run --gateway-addresses
//	     ▲                                              │
//	     └── podrunner: the suite's pods ◄──────────────┘
//
// It takes minutes and needs root, for the pods' network namespaces, and is
// skipped unless POSTERN_CONFORMANCE is set, as make conformance does.
package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/test/cluster"
)

const (
	// addresses of the Gateways, and two that the suite asks for by name: one
	// that can be had, and one outside.
	addresses = "127.0.64.0/18"
	usable    = "127.0.127.254"
	unusable  = "203.0.113.1"
	// patience is how long things that take seconds may take.
	patience = 60 * time.Second
)

// profiles of the suite that are run; what of them is supported the suite
// reads in the status of the GatewayClass.
const profiles = "GATEWAY-HTTP,GATEWAY-GRPC"

// class is the GatewayClass of the suite's Gateways.
const class = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gateway-conformance}
spec: {controllerName: postern.dev/gateway-controller}
`

// TestConformance runs the whole suite, and puts its report where it is kept:
// in docs/conformance, or with arguments for the suite, which make it another,
// in the folder of the logs.
func TestConformance(t *testing.T) {
	if os.Getenv("POSTERN_CONFORMANCE") == "" {
		t.Skip("it takes minutes: make conformance runs it")
	}
	if os.Geteuid() != 0 {
		t.Skip("conformance needs root, for the pods' network namespaces")
	}
	root := repository(t)
	more := strings.Fields(os.Getenv("POSTERN_CONFORMANCE_ARGS"))
	programs := suite(t, root)
	logs := logFolder(t)
	c := cluster.ForTest(t, cluster.Options{ControllerManager: true})
	objects := c.Objects(t)
	install(t, root, objects)
	objects.Put(class)

	startPods(t, c, programs, logs)
	postern := filepath.Join(logs, "postern")
	command(t, root, "go", "build", "-o", postern, "./cmd/postern")
	start(t, logs, "gateway", nil, postern, "run", "--kubeconfig", c.Kubeconfig, "--gateway-addresses", addresses, "--secret-namespaces", "*",
		"--admin", "127.0.0.1:0", "--access-log", filepath.Join(logs, "access.log"))
	awaitText(t, filepath.Join(logs, "gateway.log"), "postern: ready\n")

	objects.Await(cluster.Reference{Version: "gateway.networking.k8s.io/v1", Kind: "GatewayClass", Name: "gateway-conformance"},
		"its features", func(u *unstructured.Unstructured) bool {
			list, _, _ := unstructured.NestedSlice(u.Object, "status", "supportedFeatures")
			return len(list) > 0
		})

	report := filepath.Join(root, "docs", "conformance", "report.yaml")
	if len(more) > 0 {
		report = filepath.Join(logs, "report.yaml")
	}
	if err := os.MkdirAll(filepath.Dir(report), 0o755); err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"-test.v", "-test.timeout", "50m", "-test.run", "TestConformance",
		"-conformance-profiles", profiles, "-report-output", report,
		"-organization", "postern-gateway", "-project", "postern", "-url", "https://github.com/postern-gateway/postern",
		"-version", version(t, postern), "-contact", "https://github.com/postern-gateway/postern/issues",
		"-usable-address", usable, "-unusable-address", unusable,
	}, more...)
	s := start(t, logs, "suite", []string{"KUBECONFIG=" + c.Kubeconfig}, filepath.Join(programs, "conformance.test"), args...)
	err := s.wait()
	summarize(t, filepath.Join(logs, "suite.log"))
	if err != nil {
		t.Errorf("the suite: %v; its log, and the gateway's, are in %s", err, logs)
	}
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

// install applies the definitions of the Gateway API's standard channel.
func install(t *testing.T, root string, objects *cluster.Objects) {
	t.Helper()
	dir := strings.TrimSpace(command(t, root, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"))
	files, err := filepath.Glob(filepath.Join(dir, "config", "crd", "standard", "*.yaml"))
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

// startPods starts the stand-in for a kubelet.
func startPods(t *testing.T, c *cluster.Cluster, programs, logs string) {
	t.Helper()
	state := t.TempDir()
	start(t, logs, "podrunner", nil, filepath.Join(programs, "podrunner"), "--kubeconfig", c.Kubeconfig, "--state", state,
		"--bridge", fmt.Sprintf("pc%d", os.Getpid()%1e6), "--pod-cidr", "10.214.0.0/16",
		"--images", "registry.k8s.io/gateway-api/echo-basic="+filepath.Join(programs, "echo-basic"))
}

// process is a program that was started.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// start starts a program, which is ended with the test; what it writes goes to
// NAME.log.
func start(t *testing.T, logs, name string, env []string, program string, args ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(logs, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		_ = log.Close()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	return p
}

// wait waits until the program ends by itself.
func (p *process) wait() error {
	<-p.ended
	return p.err
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
