package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Times between two starts of a container that ends: the first, and the longest.
const firstBackoff, longestBackoff = 500 * time.Millisecond, 10 * time.Second

// container is one container of a pod, through all its starts.
type container struct {
	pod  *pod
	spec *corev1.Container
	init bool

	dismissed context.Context // ends for a sidecar whose pod is done
	dismiss   context.CancelFunc

	mu          sync.Mutex
	state, last corev1.ContainerState
	restarts    int32
	started     bool // it runs, and its startup probe has succeeded
	ready       bool
	pid         int           // of its first process, while it runs
	entry       *entry        // how that was started
	changed     chan struct{} // closed and replaced at each change
}

func newContainer(p *pod, spec *corev1.Container, init bool) *container {
	c := &container{pod: p, spec: spec, init: init, changed: make(chan struct{})}
	c.state.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	c.dismissed, c.dismiss = context.WithCancel(p.ctx)
	return c
}

// set changes what is known of the container, and tells those who wait.
func (c *container) set(change func()) {
	c.mu.Lock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.pod.status.touch()
}

func (c *container) setWaiting(reason, message string) {
	c.set(func() {
		c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		c.started, c.ready = false, false
	})
}

// sidecar reports whether an init container goes on beside the others.
func (c *container) sidecar() bool {
	return c.init && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// awaitStarted waits until it has started, and reports whether it has.
func (c *container) awaitStarted(ctx context.Context) bool {
	for {
		c.mu.Lock()
		started, changed := c.started, c.changed
		c.mu.Unlock()
		if started {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (c *container) succeeded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
}

// again reports whether a container that ended so is started anew.
func (c *container) again(code int) bool {
	if c.sidecar() {
		return true
	}
	switch c.pod.object.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return !c.init || code != 0
}

// run starts the container, and anew when it ends, until its pod shall end.
func (c *container) run() {
	backoff := firstBackoff
	for c.dismissed.Err() == nil {
		p, err := c.plan(c.dismissed)
		if err != nil {
			var not *notNow
			reason := "CreateContainerError"
			if errors.As(err, &not) {
				reason = not.reason
			}
			c.setWaiting(reason, err.Error())
			if !pauseFor(c.dismissed, retryTime) {
				return
			}
			continue
		}
		began := time.Now()
		code := c.once(p)
		if c.dismissed.Err() != nil || !c.again(code) {
			return
		}
		log.Printf("pod %s: container %s ended with exit code %d", c.pod, c.spec.Name, code)
		if time.Since(began) > longestBackoff {
			backoff = firstBackoff
		}
		c.set(func() {
			c.last = c.state
			c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf("ended with exit code %d", code)}}
		})
		if !pauseFor(c.dismissed, backoff) {
			return
		}
		backoff = min(2*backoff, longestBackoff)
		c.set(func() { c.restarts++ })
	}
}

// once runs the program from its start to its end, and returns its exit code.
func (c *container) once(e *entry) int {
	c.mu.Lock()
	n := c.restarts
	c.mu.Unlock()
	out, err := newLog(c.logFile(n))
	if err != nil {
		c.setWaiting("CreateContainerError", err.Error())
		return exitNotStarted
	}
	defer out.close()
	// The end of the runner is the container's, by the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := start(e, out)
	if err != nil {
		c.setWaiting("RunContainerError", err.Error())
		return exitNotStarted
	}
	began := metav1.Now()
	c.set(func() {
		c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
		c.pid, c.entry = cmd.Process.Pid, e
		c.started = c.spec.StartupProbe == nil
		c.ready = c.started && c.spec.ReadinessProbe == nil
	})
	living, ended := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	helpers.Go(func() { c.endWith(living, cmd) })
	helpers.Go(func() { c.probe(living) })
	err = cmd.Wait()
	ended()
	helpers.Wait()
	code, signal := exitOf(cmd, err)
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.set(func() {
		c.pid, c.started, c.ready = 0, false, false
		c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code), Signal: int32(signal), Reason: reason, StartedAt: began, FinishedAt: metav1.Now(), ContainerID: c.id(),
		}}
	})
	return code
}

// start starts the first process of a container.
func start(e *entry, out *logFile) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer discard(from)
	cmd := exec.Command(self, "enter")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{from}
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL, Setpgid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		discard(to)
		return nil, err
	}
	err = json.NewEncoder(to).Encode(e)
	discard(to)
	return cmd, err
}

func exitOf(cmd *exec.Cmd, err error) (code, signal int) {
	if err == nil {
		return 0, 0
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()), int(s.Signal())
	}
	return cmd.ProcessState.ExitCode(), 0
}

// endWith ends the program when the pod shall end: hook, SIGTERM, SIGKILL.
func (c *container) endWith(living context.Context, cmd *exec.Cmd) {
	select {
	case <-living.Done():
		return
	case <-c.dismissed.Done():
	}
	c.terminate(living, cmd.Process.Pid, c.pod.dead)
}

// terminate ends the program: the hook, SIGTERM, and SIGKILL when late ends.
func (c *container) terminate(living context.Context, pid int, late context.Context) {
	c.preStop(living, late)
	if living.Err() != nil {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-living.Done():
	case <-late.Done():
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// preStop does what the container wants done before its end.
func (c *container) preStop(living, late context.Context) {
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PreStop == nil {
		return
	}
	ctx, cancel := context.WithCancel(late)
	defer cancel()
	defer context.AfterFunc(living, cancel)()
	h := c.spec.Lifecycle.PreStop
	var err error
	switch {
	case h.Sleep != nil:
		pauseFor(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
	case h.HTTPGet != nil:
		err = c.httpGet(ctx, h.HTTPGet)
	case h.Exec != nil:
		err = c.runInside(ctx, h.Exec.Command)
	}
	if err != nil {
		log.Printf("pod %s: container %s: preStop: %v", c.pod, c.spec.Name, err)
	}
}

func (c *container) id() string {
	return fmt.Sprintf("podrunner://%s/%s", c.pod.object.UID, c.spec.Name)
}

func (c *container) logFile(restart int32) string {
	return filepath.Join(c.pod.logs, fmt.Sprintf("%s.%d.log", c.spec.Name, restart))
}
