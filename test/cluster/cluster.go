// Package cluster runs a real Kubernetes API server for tests: etcd,
// kube-apiserver and, if asked for, kube-controller-manager, on loopback, on
// ports that nobody else takes (place.go), with everything they keep in one folder.
//
//	build.sh ─► programs in the cache folder ─► Start ─► Kubeconfig
//
// With Options.Pods the pod runner, a small kubelet, runs the pods (pods.go).
package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/postern-gateway/postern/test/child"
)

// ErrNotBuilt says that build.sh has not been run.
var ErrNotBuilt = errors.New("the cluster's programs are not built: run sh test/cluster/build.sh (make test does)")

// How long a server may take until it answers, and until it has ended. Both take
// seconds; only what is broken takes longer on a busy machine.
const startTime, stopTime = 10 * time.Minute, time.Minute

// Options change what a Cluster runs.
type Options struct {
	// ControllerManager runs the controllers for Deployments, ReplicaSets,
	// EndpointSlices, namespaces and ServiceAccounts, and the garbage collector.
	ControllerManager bool
	// Pods runs pods, with the controller manager. It needs root.
	Pods bool
	// Images say which programs stand for which images of pods.
	Images []Image
	// Env is added to the environment of the programs.
	Env []string

	keeps []*os.File // open in every program
}

// Cluster is a control plane that was started.
type Cluster struct {
	// Dir holds its state and its logs.
	Dir string
	// Kubeconfig is a file with which one is administrator.
	Kubeconfig string
	// URL and Token are the same in parts.
	URL, Token string
	// Node is the address of the node, on the network of the pods; empty without
	// Options.Pods.
	Node string

	bin     string
	env     []string
	keeps   []*os.File // open in every program
	servers []*server
	place   *place
}

// server is one program of a Cluster.
type server struct {
	name  string
	args  []string
	ready []string  // URLs that answer 200 to an administrator
	path  string    // of the program; empty is the name's, in the folder of programs
	stdin io.Closer // ends with this process
	cmd   *exec.Cmd
	ended <-chan error // what its Wait returned, then closed
}

// Programs returns the folder of the programs that build.sh made.
func Programs() (string, error) {
	_, self, _, _ := runtime.Caller(0)
	cmd := exec.Command("sh", filepath.Join(filepath.Dir(self), "build.sh"), "where")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("where the cluster's programs are: %w", err)
	}
	bin := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(bin, "kube-apiserver")); err != nil {
		return "", ErrNotBuilt
	}
	return bin, nil
}

// Start runs a cluster whose files are in dir, an empty folder. The caller
// must Stop it.
func Start(ctx context.Context, dir string, o Options) (*Cluster, error) {
	bin, err := Programs()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), bin: bin}
	if c.place, err = take(); err != nil {
		return nil, err
	}
	c.env, c.keeps = append(os.Environ(), o.Env...), append([]*os.File{c.place.file}, o.keeps...)
	if err := c.run(ctx, o); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// run starts every program.
func (c *Cluster) run(ctx context.Context, o Options) error {
	if err := c.credentials(); err != nil {
		return err
	}
	if o.Pods {
		o.ControllerManager = true
		if err := c.settle(o.Images); err != nil {
			return err
		}
	}
	c.plan(o)
	if o.Pods {
		if err := c.planPods(); err != nil {
			return err
		}
	}
	for _, s := range c.servers {
		if err := c.start(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// plan says what runs, in the order in which it is started.
func (c *Cluster) plan(o Options) {
	in := func(name string) string { return filepath.Join(c.Dir, name) }
	etcd := "http://" + c.place.port(0)
	c.URL = "https://" + c.place.port(2)
	c.servers = []*server{
		{name: "etcd", ready: []string{etcd + "/readyz"}, args: []string{
			"--data-dir", in("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
			"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
			"--listen-peer-urls", "http://" + c.place.port(1),
		}},
		{name: "kube-apiserver", ready: []string{c.URL + "/readyz", c.URL + "/api/v1/namespaces/default"}, args: []string{
			"--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
			"--secure-port", c.place.number(2), "--cert-dir", in("certs"), "--token-auth-file", in("tokens.csv"),
			"--authorization-mode", "RBAC", "--endpoint-reconciler-type", "none",
			"--allow-privileged",
			"--service-account-issuer", "https://kubernetes.default.svc",
			"--service-account-signing-key-file", in("sa.key"), "--service-account-key-file", in("sa.pub"),
			"--kubelet-preferred-address-types", "InternalIP",
		}},
	}
	api := c.servers[1]
	if o.Pods {
		api.args = append(api.args, "--service-cluster-ip-range", c.place.services(),
			"--kubelet-client-certificate", in(kubeletCert), "--kubelet-client-key", in(kubeletKey))
	} else {
		api.args = append(api.args, "--service-cluster-ip-range", "10.96.0.0/16", "--disable-admission-plugins", "ServiceAccount")
	}
	if o.ControllerManager {
		c.servers = append(c.servers, &server{name: "kube-controller-manager", ready: []string{
			"https://" + c.place.port(3) + "/healthz", c.URL + "/api/v1/namespaces/default/serviceaccounts/default", // a pod needs one
		}, args: []string{
			"--kubeconfig", c.Kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", c.place.number(3),
			"--cert-dir", in("manager-certs"),
			"--root-ca-file", in("certs/apiserver.crt"), "--controllers", strings.Join([]string{
				"deployment-controller", "replicaset-controller", "endpointslice-controller", "namespace-controller",
				"garbage-collector-controller", "serviceaccount-controller", "root-ca-certificate-publisher-controller",
				"disruption-controller",
			}, ","),
		}})
	}
}

// credentials makes the administrator's token and the key for those of service
// accounts.
func (c *Cluster) credentials() error {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	c.Token = hex.EncodeToString(raw)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(
		c.write("tokens.csv", []byte(c.Token+",admin,admin,system:masters\n")),
		c.write("sa.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		c.write("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})),
	)
}

func (c *Cluster) write(name string, b []byte) error {
	return os.WriteFile(filepath.Join(c.Dir, name), b, 0o600)
}

// start runs one server and waits until it answers.
func (c *Cluster) start(ctx context.Context, s *server) error {
	log, err := os.OpenFile(filepath.Join(c.Dir, s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	path := s.path
	if path == "" {
		path = filepath.Join(c.bin, s.name)
	}
	s.cmd = exec.Command(path, s.args...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env, s.cmd.ExtraFiles = log, log, c.env, c.keeps
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if s.ended, err = child.Start(s.cmd); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := c.await(ctx, s); err != nil {
		return err
	}
	if s.name == "kube-apiserver" {
		return c.writeKubeconfig()
	}
	return nil
}

// await asks a server until it is ready.
func (c *Cluster) await(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	// The certificates are the servers' own, made anew in each folder.
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last string
	for left := s.ready; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, left[0], nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.Token)
		if resp, err := client.Do(req); err != nil {
			last = err.Error()
		} else {
			said, _ := io.ReadAll(resp.Body) // which check has failed
			_ = resp.Body.Close()
			last = fmt.Sprintf("%s answers %s: %s", left[0], resp.Status, said)
			if resp.StatusCode == http.StatusOK {
				if left = left[1:]; len(left) == 0 {
					return nil
				}
				continue
			}
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("%s ended at its start:\n%s", s.name, c.Log(s.name))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s\n%s", s.name, ctx.Err(), last, c.Log(s.name))
		}
	}
}

func (c *Cluster) writeKubeconfig() error {
	ca, err := os.ReadFile(filepath.Join(c.Dir, "certs", "apiserver.crt"))
	if err != nil {
		return err
	}
	return c.write("kubeconfig", fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, c.URL, base64.StdEncoding.EncodeToString(ca), c.Token))
}

// Log returns the end of what a server wrote.
func (c *Cluster) Log(name string) string {
	b, err := os.ReadFile(filepath.Join(c.Dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}

// Kill ends one server at once, as a crash would.
func (c *Cluster) Kill(name string) {
	if s := c.server(name); s != nil && s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// Pause stops a server without ending it, and Resume lets it go on.
func (c *Cluster) Pause(name string) { c.signal(name, syscall.SIGSTOP) }

// Resume undoes Pause.
func (c *Cluster) Resume(name string) { c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, sig os.Signal) {
	if s := c.server(name); s != nil && s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// Restart starts a server that was killed, on the same port and state.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	s := c.server(name)
	if s == nil {
		return fmt.Errorf("no server is called %q", name)
	}
	return c.start(ctx, s)
}

func (c *Cluster) server(name string) *server {
	for _, s := range c.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Stop ends every server, the last started first, and waits.
func (c *Cluster) Stop() {
	for i := len(c.servers) - 1; i >= 0; i-- {
		s := c.servers[i]
		if s.cmd == nil || s.cmd.Process == nil {
			continue
		}
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(stopTime):
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
	}
	c.place.leave()
}
