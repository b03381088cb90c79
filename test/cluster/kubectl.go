package cluster

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Commands runs kubectl as administrator.
type Commands struct {
	t    testing.TB
	path string
	env  []string
}

// Kubectl returns kubectl for the cluster, or skips the test where it is not built.
func (c *Cluster) Kubectl(t testing.TB) *Commands {
	t.Helper()
	path, err := Kubectl()
	if err != nil {
		t.Skip(err)
	}
	home := t.TempDir() // its cache of kinds is this cluster's
	return &Commands{t, path, append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "HOME="+home)}
}

// Run runs a command, which must succeed, and returns what it prints.
func (k *Commands) Run(args ...string) string {
	k.t.Helper()
	return k.In("", args...)
}

// In is Run with a standard input.
func (k *Commands) In(stdin string, args ...string) string {
	k.t.Helper()
	var errs bytes.Buffer
	cmd := k.command(args)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &errs
	out, err := cmd.Output()
	if err != nil {
		k.t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return string(out)
}

// Try runs a command that may fail, and returns all that it prints.
func (k *Commands) Try(args ...string) (string, error) {
	out, err := k.command(args).CombinedOutput()
	return string(out), err
}

// Apply applies a YAML text.
func (k *Commands) Apply(text string) string {
	k.t.Helper()
	return k.In(text, "apply", "-f", "-")
}

// Until repeats a command until it prints what is wanted.
func (k *Commands) Until(what, want string, args ...string) {
	k.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out, err := k.Try(args...)
		if err == nil && strings.TrimSpace(out) == want {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("%s: kubectl %s: still %q, not %q: %v", what, strings.Join(args, " "), out, want, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (k *Commands) command(args []string) *exec.Cmd {
	cmd := exec.Command(k.path, args...)
	cmd.Env = k.env
	return cmd
}
