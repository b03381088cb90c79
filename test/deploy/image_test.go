package deploy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/test/child"
	"github.com/postern-gateway/postern/test/static"
)

// TestImage runs the static program with the files of the image and no others,
// as the image's user, in a folder that is all it can see. It must serve, and
// find the roots of public authorities where the image has them.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a change of root needs root")
	}
	text, err := os.ReadFile(root + "/deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	image := finalStage(t, string(text))
	dir := t.TempDir()
	upstream := publicServer(t)
	sources := map[string]func() ([]byte, error){
		"/out/postern": func() ([]byte, error) { return os.ReadFile(static.Postern(t)) },
		"/src/LICENSE": func() ([]byte, error) { return os.ReadFile(root + "/LICENSE") },
		// In the image they are the build image's: here, one that stands for them.
		"/etc/ssl/certs/ca-certificates.crt": func() ([]byte, error) { return upstream.roots, nil },
	}
	jail := filepath.Join(dir, "image")
	for _, c := range image.copies {
		source := sources[c.from]
		if source == nil {
			t.Fatalf("the image copies %s, which this test does not know", c.from)
		}
		content, err := source()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(jail, filepath.Dir(c.to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(jail, c.to), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir), dir, jail} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := filesOf(t, jail)
	out, code := image.run(t, jail, "", "version")
	if code != 0 || !strings.HasPrefix(out, "postern ") {
		t.Fatalf("%d: %s", code, out)
	}
	serves(t, image, jail, upstream)
	if after := filesOf(t, jail); !slices.Equal(before, after) {
		t.Errorf("it wrote files: %q became %q", before, after)
	}
}

// stage is the last stage of a Dockerfile.
type stage struct {
	copies     []copied
	user       uint32
	entrypoint string
}

type copied struct{ from, to string }

var (
	copyLine  = regexp.MustCompile(`^COPY --from=build (\S+) (\S+)$`)
	userLine  = regexp.MustCompile(`^USER (\d+):(\d+)$`)
	entryLine = regexp.MustCompile(`^ENTRYPOINT \["(\S+)"\]$`)
)

// finalStage reads the last stage, of which every line must be understood.
func finalStage(t *testing.T, text string) stage {
	t.Helper()
	_, last, ok := strings.Cut(text, "\nFROM scratch\n")
	if !ok {
		t.Fatal("the image is not made from scratch")
	}
	var s stage
	for line := range strings.Lines(last) {
		line = strings.TrimSpace(line)
		if m := copyLine.FindStringSubmatch(line); m != nil {
			s.copies = append(s.copies, copied{m[1], m[2]})
		} else if m := userLine.FindStringSubmatch(line); m != nil {
			if _, err := fmt.Sscan(m[1], &s.user); err != nil {
				t.Fatal(err)
			}
		} else if m := entryLine.FindStringSubmatch(line); m != nil {
			s.entrypoint = m[1]
		} else {
			t.Fatalf("a line that this test does not know: %q", line)
		}
	}
	if len(s.copies) != 3 || s.user < 1000 || s.entrypoint == "" {
		t.Fatalf("%+v", s)
	}
	return s
}

// command is the image's program, in its folder.
func (s stage) command(jail, stdin string, args ...string) *exec.Cmd {
	cmd := exec.Command(s.entrypoint, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"PATH=/"}, strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: jail, Credential: &syscall.Credential{Uid: s.user, Gid: s.user}}
	return cmd
}

// run returns what the program printed, and how it ended.
func (s stage) run(t *testing.T, jail, stdin string, args ...string) (string, int) {
	t.Helper()
	cmd := s.command(jail, stdin, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// public is an https server whose authority the image's roots hold.
type public struct {
	*httptest.Server
	roots []byte
}

func publicServer(t *testing.T) public {
	t.Helper()
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello "+r.Host) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return public{s, ca.PEM()}
}

const resources = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: public, port: %[1]d}]}]
---
apiVersion: v1
kind: Service
metadata: {name: public}
spec: {type: ExternalName, externalName: localhost, ports: [{port: %[1]d, appProtocol: https}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: public}
spec:
  targetRefs: [{group: "", kind: Service, name: public}]
  validation: {hostname: localhost, wellKnownCACertificates: System}
`

// serves asks the program for a page of the public server, and ends it.
func serves(t *testing.T, image stage, jail string, upstream public) {
	t.Helper()
	at := upstream.Listener.Addr().(*net.TCPAddr)
	cmd := image.command(jail, fmt.Sprintf(resources, at.Port), "run", "-f", "-", "--admin", "", "--port", "8080=127.0.0.1:0",
		"--connect-to", fmt.Sprintf("localhost:%d=%s", at.Port, at))
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = said.Close() }()
	cmd.Stdout, cmd.Stderr = said, said
	ended, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			text, _ := os.ReadFile(said.Name())
			t.Errorf("%v\n%s", err, text)
		}
	}()
	eventually(t, "an answer", func(ctx context.Context) error {
		text, err := os.ReadFile(said.Name())
		if err != nil {
			return err
		}
		url := listenerLine.FindSubmatch(text)
		if url == nil {
			return fmt.Errorf("it listens nowhere: %s", text)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(url[1]), nil)
		if err != nil {
			return err
		}
		status, body, err := do(req)
		if err == nil && (status != http.StatusOK || !strings.HasPrefix(body, "hello ")) {
			err = fmt.Errorf("%d: %s", status, body)
		}
		return err
	})
}

// listenerLine tells where the one listener is bound.
var listenerLine = regexp.MustCompile(`(?m)^  (http://\S+) \(for port 8080\)`)

func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
