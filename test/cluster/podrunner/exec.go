package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// command returns a command that will run inside the running container, with
// its rights: nsenter starts this program there, which gives up the others.
func (c *container) command(argv []string) (*exec.Cmd, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return nil, fmt.Errorf("container %s does not run", c.spec.Name)
	}
	who, err := json.Marshal(entry{Dir: c.entry.Dir, Args: argv, rights: c.entry.rights})
	if err != nil {
		return nil, err
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	self, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(c.pid), "-m", "-n", "-p", "-u", "-i", "--", "/proc/self/fd/3", "become", string(who))
	cmd.Env = c.entry.Env
	cmd.ExtraFiles = []*os.File{self} // closed by runGroup and execTerminal
	return cmd, nil
}

// runInside runs a command in the container to its end.
func (c *container) runInside(ctx context.Context, argv []string) error {
	cmd, err := c.command(argv)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := runGroup(ctx, cmd); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// runGroup runs a command, and kills all that it started when ctx ends.
func runGroup(ctx context.Context, cmd *exec.Cmd) error {
	defer closeExtra(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	return cmd.Wait()
}

func closeExtra(cmd *exec.Cmd) {
	for _, f := range cmd.ExtraFiles {
		discard(f)
	}
}

// ExecInContainer runs a command with the streams of someone elsewhere; name is
// not looked at, since the container is known.
func (c *container) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	cmd, err := c.command(argv)
	if err != nil {
		return err
	}
	if tty {
		err = c.execTerminal(ctx, cmd, in, out, resize)
	} else {
		err = execPipes(ctx, cmd, in, out, errs)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, _ := exitOf(cmd, err)
		return utilexec.CodeExitError{Err: err, Code: code}
	}
	return err
}

// execPipes runs a command without a terminal.
func execPipes(ctx context.Context, cmd *exec.Cmd, in io.Reader, out, errs io.Writer) error {
	if out != nil {
		cmd.Stdout = out
	}
	if errs != nil {
		cmd.Stderr = errs
	}
	if in != nil {
		// Not cmd.Stdin: its end would be waited for.
		to, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(to, in)
			discard(to)
		}()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return runGroup(ctx, cmd)
}

// execTerminal runs a command on a terminal of its own.
func (c *container) execTerminal(ctx context.Context, cmd *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	defer closeExtra(cmd)
	master, err := pty.Start(cmd)
	if err != nil {
		return err
	}
	defer discard(master)
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	go func() {
		for size := range resize {
			_ = pty.Setsize(master, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(master, in) }()
	}
	if out != nil {
		_, _ = io.Copy(out, master) // ends when nobody holds the terminal's other side
	}
	return cmd.Wait()
}

// PortForward joins a stream to a port inside the pod.
func (p *pod) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	var conn net.Conn
	err := inNetns(p.box.netns, func() (err error) {
		conn, err = net.DialTimeout("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), 10*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer discard(conn)
	defer discard(stream)
	defer context.AfterFunc(ctx, func() { discard(conn) })()
	go func() {
		_, _ = io.Copy(conn, stream)
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	}()
	_, err = io.Copy(stream, conn)
	return err
}
