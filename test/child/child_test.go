package child

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// killed is set in the process that TestKilled kills.
const killed = "POSTERN_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(killed) == "" {
		os.Exit(m.Run())
	}
	open := os.NewFile(3, "open")
	for range 3 {
		cmd := exec.Command("sleep", "1000")
		cmd.ExtraFiles = []*os.File{open}
		if _, err := Start(cmd); err != nil {
			panic(err)
		}
	}
	_ = open.Close()
	runtime.GC() // threads without work may go, those of the programs may not
	_, _ = os.Stdout.WriteString("started")
	select {}
}

// TestKilled kills a process that has started programs, which hold a pipe open
// as long as they live.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere what a killed process started stays")
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), killed+"=1"), []*os.File{to}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	_ = to.Close()
	if _, err := io.ReadFull(out, make([]byte, len("started"))); err != nil {
		t.Fatal(err)
	}
	if err := from.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the programs ended by themselves: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a program lives on: %v", err)
	}
}

// TestEnds tells of an end, and of a program that there is not.
func TestEnds(t *testing.T) {
	ended, err := Start(exec.Command("false"))
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	if _, more := <-ended; more {
		t.Error("it ended twice")
	}
	if _, err := Start(exec.Command("/none")); err == nil {
		t.Error("what is not there was started")
	}
}
