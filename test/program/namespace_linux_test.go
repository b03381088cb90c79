package program

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/cluster"
)

// namespace is a network of the test's own. A thread holds it, with which it
// ends: with the test, and with the test's process however that ends.
type namespace struct {
	t      *testing.T
	thread int
	work   chan func()
}

// newNamespace makes a network with nothing in it but loopback.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if err := cluster.CanRunPods(); err != nil {
		t.Skipf("a network of the test's own: %v", err)
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("a network of the test's own: this kernel has no IPv6")
	}
	n := &namespace{t: t, work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: no other goroutine gets into the network
		n.thread = syscall.Gettid()
		made <- syscall.Unshare(syscall.CLONE_NEWNET)
		for f := range n.work {
			f()
		}
	}()
	t.Cleanup(func() { close(n.work) })
	if err := <-made; err != nil {
		t.Skipf("a network of the test's own: %v", err)
	}
	n.ip("link set lo up")
	return n
}

// do calls f within the network.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// ip runs lines of ip(8) in the network.
func (n *namespace) ip(lines ...string) {
	n.t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out []byte
	var err error
	n.do(func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(lines, "; "), err, out)
	}
}

// sysctl sets one of the network's.
func (n *namespace) sysctl(name, value string) {
	n.t.Helper()
	var err error
	n.do(func() {
		err = os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0o644)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// enter is the beginning of a command that a program is run by in the network.
func (n *namespace) enter() []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/task/%d/ns/net", os.Getpid(), n.thread), "--"}
}

// client returns a client whose connections, one for each request, begin in
// the network. It follows no redirect.
func (n *namespace) client() http.Client {
	return http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			n.do(func() { c, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address) })
			return c, err
		}},
	}
}

// join joins two networks by a wire, each end of which, eth0, gets addresses.
func join(a *namespace, addressesOfA []string, b *namespace, addressesOfB []string) {
	a.t.Helper()
	a.ip(fmt.Sprintf("link add eth0 type veth peer name eth0 netns %d", b.thread))
	for _, end := range []struct {
		of        *namespace
		addresses []string
	}{{a, addressesOfA}, {b, addressesOfB}} {
		end.of.ip("link set eth0 up")
		for _, text := range end.addresses {
			if strings.Contains(text, ":") {
				text += " nodad" // at once: nobody else has it
			}
			end.of.ip("address add " + text + " dev eth0")
		}
	}
}
