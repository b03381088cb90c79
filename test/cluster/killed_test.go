package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/child"
)

// doomed is set in the process that TestKilled kills, to the folder of its
// cluster.
const doomed = "POSTERN_TEST_DOOMED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(doomed); dir != "" {
		startDoomed(dir)
	}
	os.Exit(m.Run())
}

// startDoomed starts a cluster, with pods where they can be run, tells where
// its programs listen, and waits to be killed.
func startDoomed(dir string) {
	c, err := Start(context.Background(), dir, Options{ControllerManager: true, Pods: CanRunPods() == nil})
	if err != nil {
		fmt.Println("not started:", err)
		os.Exit(1)
	}
	for _, s := range c.servers {
		_, rest, _ := strings.Cut(s.ready, "://")
		address, _, _ := strings.Cut(rest, "/")
		fmt.Println(s.name, address)
	}
	fmt.Println("started")
	select {}
}

// TestKilled kills a process that runs a cluster: none of its programs outlives
// it.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere what a killed process started stays")
	}
	if _, err := Programs(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomed+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	listen := heard(t, out)
	if len(listen) < 3 {
		t.Fatalf("it runs %v", listen)
	}
	for name, address := range listen {
		if !listens(address) {
			t.Errorf("%s does not listen at %s", name, address)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for name, address := range listen {
		for deadline := time.Now().Add(patience); listens(address); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s lives on at %s", name, address)
				break
			}
		}
	}
}

// heard reads where programs listen, by name, until all have started.
func heard(t *testing.T, out io.Reader) map[string]string {
	t.Helper()
	listen := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "started" {
			return listen
		}
		name, address, _ := strings.Cut(lines.Text(), " ")
		listen[name] = address
	}
	t.Fatalf("it ended: %v", listen)
	return nil
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
