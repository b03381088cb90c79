package cluster

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestCluster starts a cluster, loses its API server and gets it back.
func TestCluster(t *testing.T) {
	c, err := Start(context.Background(), t.TempDir(), Options{ControllerManager: true})
	if errors.Is(err, ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	names := func() (string, error) {
		return curl("-H", "Authorization: Bearer "+c.Token, c.URL+"/api/v1/namespaces")
	}
	if out, err := names(); err != nil || !strings.Contains(out, `"kube-system"`) {
		t.Fatal(out, err)
	}
	c.Kill("kube-apiserver")
	if _, err := names(); err == nil {
		t.Error("a killed API server answers")
	}
	if err := c.Restart(context.Background(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	if out, err := names(); err != nil || !strings.Contains(out, `"kube-system"`) {
		t.Fatal(out, err)
	}
}

// curl asks, whatever proxy and settings this machine has.
func curl(args ...string) (string, error) {
	out, err := exec.Command("curl", append([]string{"-q", "-sfk", "-m", "60", "--noproxy", "*"}, args...)...).Output()
	return string(out), err
}
