package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitNotStarted is the exit code of a container whose program cannot be run.
const exitNotStarted = 128

// exitNotFound is that of a command that cannot be run in a running container.
const exitNotFound = 127

// bind shows a file or folder of the machine inside a container.
type bind struct {
	Source, Target string
	ReadOnly       bool
}

// entry is what a container's first process makes of itself, in namespaces for
// mounts, processes and names that it was started in.
type entry struct {
	Netns, Hostname string
	Root            string // an empty folder
	Copy            string // a folder whose files are the root's
	Host            bool   // the machine's programs are the root's
	Binds           []bind
	ReadOnly        bool
	Dir             string
	Args, Env       []string
	rights
}

// rights are who a program runs as, and what it is never to do.
type rights struct {
	UID, GID        int
	Groups          []int
	DropAll         bool
	NoNewPrivileges bool
}

// become gives up all rights but those of the entry that is the argument, and
// becomes its program, inside a container that somebody else has entered.
func become(argument string) error {
	runtime.LockOSThread()
	var e entry
	if err := json.Unmarshal([]byte(argument), &e); err != nil {
		return fmt.Errorf("read entry: %w", err)
	}
	e.Env = os.Environ()
	unix.CloseOnExec(3)
	return e.start()
}

// enter becomes the program of the entry on file descriptor 3, or fails.
func enter() error {
	runtime.LockOSThread()
	var e entry
	in := os.NewFile(3, "entry")
	if err := json.NewDecoder(in).Decode(&e); err != nil {
		return fmt.Errorf("read entry: %w", err)
	}
	_ = in.Close()
	if err := setNetns(e.Netns); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(e.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := e.mountRoot(); err != nil {
		return err
	}
	return e.start()
}

// start gives up rights, and becomes the program.
func (e *entry) start() error {
	if err := e.dropRights(); err != nil {
		return err
	}
	if err := os.Chdir(e.Dir); err != nil {
		return err
	}
	program, err := e.program()
	if err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, e.Args, e.Env))
}

// mountRoot makes the root folder and moves into it.
func (e *entry) mountRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", e.Root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	if e.Copy != "" {
		if err := os.CopyFS(e.Root, os.DirFS(e.Copy)); err != nil {
			return err
		}
	}
	steps := []func() error{e.mountHost, e.mountDevices, e.mountBinds, e.pivot}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if !e.ReadOnly {
		return nil
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID, "")
}

// mountHost shows the machine's programs.
func (e *entry) mountHost() error {
	if !e.Host {
		return nil
	}
	if err := os.Mkdir(filepath.Join(e.Root, "tmp"), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(e.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	for _, p := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ssl", "/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache"} {
		if to, err := os.Readlink(p); err == nil {
			if err := os.Symlink(to, e.Root+p); err != nil {
				return err
			}
			continue
		}
		if err := e.bind(bind{p, p, true}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// mountDevices makes /proc and the devices that every program may expect.
func (e *entry) mountDevices() error {
	proc, dev := filepath.Join(e.Root, "proc"), filepath.Join(e.Root, "dev")
	for _, d := range []string{proc, dev} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, d := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := e.bind(bind{"/dev/" + d, "/dev/" + d, false}); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) mountBinds() error {
	for _, b := range e.Binds {
		if err := e.bind(b); err != nil {
			return err
		}
	}
	return nil
}

// bind mounts a file or folder, on an empty one that it makes if need be.
func (e *entry) bind(b bind) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return err
	}
	target := filepath.Join(e.Root, b.Target)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		var f *os.File
		if f, err = os.OpenFile(target, os.O_CREATE, 0o644); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(b.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", b.Source, b.Target, err)
	}
	if !b.ReadOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", b.Target, err)
	}
	return nil
}

// pivot makes the root folder the root, and lets go of the machine's.
func (e *entry) pivot() error {
	if err := os.Chdir(e.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}

// dropRights becomes the container's user.
func (e *rights) dropRights() error {
	if e.DropAll {
		for c := range uintptr(64) {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				break // beyond the last one
			}
		}
	}
	if err := syscall.Setgroups(e.Groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(e.GID); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setuid(e.UID); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	if e.DropAll && e.UID == 0 {
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	if e.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	// A change of user takes back that the runner's end is this one's.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// program finds what to run.
func (e *entry) program() (string, error) {
	name := e.Args[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, v := range e.Env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, d := range filepath.SplitList(path) {
			p := filepath.Join(d, name)
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("start %s: no such program", name)
}

// setNetns moves the current thread into a network namespace.
func setNetns(name string) error {
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}

// inNetns calls do on a thread in a network namespace. The thread is not used
// for anything else after.
func inNetns(name string, do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := setNetns(name); err != nil {
			result <- err
			return
		}
		result <- do()
	}()
	return <-result
}

// discard closes what nobody will read.
func discard(c io.Closer) { _ = c.Close() }
