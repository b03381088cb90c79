package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
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

// startDoomed starts a cluster, with pods where they can be run, in whose
// programs a pipe is open as long as they live, and waits to be killed.
func startDoomed(dir string) {
	open := os.NewFile(3, "open")
	c, err := Start(context.Background(), dir, Options{ControllerManager: true, Pods: CanRunPods() == nil, keeps: []*os.File{open}})
	if err != nil {
		fmt.Println("not started:", err)
		os.Exit(1)
	}
	_ = open.Close()
	fmt.Println("started", len(c.servers))
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
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), doomed+"="+t.TempDir()), []*os.File{to}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	_ = to.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if running, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "started ")); err != nil || running < 3 {
		t.Errorf("it says %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := from.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a program lives on: %v", err)
	}
}
