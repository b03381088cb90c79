package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// retryTime is between two attempts at what cannot be done yet.
const retryTime = 300 * time.Millisecond

// pod is one life of a Pod.
type pod struct {
	node   *node
	object *corev1.Pod // as it was first seen
	dir    string      // volumes and roots
	logs   string
	box    *sandbox
	began  time.Time

	ctx    context.Context // ends when the pod shall end
	cancel context.CancelFunc
	dead   context.Context // ends when nothing may run any more
	kill   context.CancelFunc

	init, main []*container
	volumes    *volumes
	status     *reporter

	mu       sync.Mutex
	deadline time.Time
	current  *corev1.Pod // as it was seen last
}

func newPod(n *node, o *corev1.Pod) *pod {
	name := fmt.Sprintf("%s_%s_%s", o.Namespace, o.Name, o.UID)
	p := &pod{node: n, object: o, current: o, began: time.Now(), dir: filepath.Join(n.state, "run", name), logs: filepath.Join(n.state, "logs", name)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.dead, p.kill = context.WithCancel(context.Background())
	for i := range o.Spec.InitContainers {
		p.init = append(p.init, newContainer(p, &o.Spec.InitContainers[i], true))
	}
	for i := range o.Spec.Containers {
		p.main = append(p.main, newContainer(p, &o.Spec.Containers[i], false))
	}
	p.status = newReporter(p)
	return p
}

func (p *pod) String() string { return p.object.Namespace + "/" + p.object.Name }

// update is told of the object's changes: labels and annotations may change.
func (p *pod) update(o *corev1.Pod) {
	p.mu.Lock()
	p.current = o
	p.mu.Unlock()
	p.status.touch()
}

func (p *pod) now() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// end asks for the pod's end within a time. A later call can only make it shorter.
func (p *pod) end(grace time.Duration) {
	p.mu.Lock()
	until := time.Now().Add(grace)
	if p.deadline.IsZero() || until.Before(p.deadline) {
		p.deadline = until
		time.AfterFunc(grace, p.kill)
	}
	p.mu.Unlock()
	p.cancel()
}

// run is the pod's whole life.
func (p *pod) run() {
	defer p.node.forget(p)
	var report sync.WaitGroup
	reporting, stop := context.WithCancel(context.Background())
	report.Go(func() { p.status.run(reporting) })
	if err := p.prepare(); err != nil {
		log.Printf("pod %s: %v", p, err)
	} else {
		p.work()
	}
	<-p.ctx.Done()
	if p.box != nil {
		p.box.leave()
	}
	stop()
	report.Wait()
	if err := os.RemoveAll(p.dir); err != nil {
		log.Printf("pod %s: %v", p, err)
	}
	p.node.remove(p.now())
}

// prepare makes the network and the volumes, and waits for what they are of.
func (p *pod) prepare() error {
	for _, d := range []string{p.dir, p.logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if s := p.object.Spec; s.HostNetwork || s.HostPID || s.HostIPC {
		return p.refuse("the namespaces of the host are not given to pods here")
	}
	sysctls := map[string]string{}
	if c := p.object.Spec.SecurityContext; c != nil {
		for _, s := range c.Sysctls {
			sysctls[s.Name] = s.Value
		}
	}
	box, err := p.node.net.join(sysctls)
	if err != nil {
		return p.refuse(err.Error())
	}
	p.box = box
	p.status.touch()
	if err := p.machineFiles(); err != nil {
		return err
	}
	p.volumes = newVolumes(p)
	for {
		err := p.volumes.refresh(p.ctx)
		if err == nil {
			return nil
		}
		p.waiting("ContainerCreating", err.Error())
		if !pauseFor(p.ctx, retryTime) {
			return err
		}
	}
}

// refuse tells why no container will be started.
func (p *pod) refuse(why string) error {
	p.waiting("CreateContainerError", why)
	return fmt.Errorf("refused: %s", why)
}

func (p *pod) waiting(reason, message string) {
	for _, c := range append(append([]*container{}, p.init...), p.main...) {
		c.setWaiting(reason, message)
	}
}

// work runs the containers until the pod shall end, or all of them have.
func (p *pod) work() {
	var main, sidecars, follow sync.WaitGroup
	refreshing, stop := context.WithCancel(p.ctx)
	follow.Go(func() { p.volumes.follow(refreshing) })
	if p.initialize(&sidecars) {
		p.status.initialized()
		for _, c := range p.main {
			main.Go(c.run)
		}
	}
	main.Wait()
	for _, c := range p.init {
		c.dismiss()
	}
	sidecars.Wait()
	stop()
	follow.Wait()
}

// initialize runs the init containers, one after the other, and reports whether
// the others may start.
func (p *pod) initialize(sidecars *sync.WaitGroup) bool {
	for _, c := range p.init {
		if c.sidecar() {
			sidecars.Go(c.run)
			if !c.awaitStarted(p.ctx) {
				return false
			}
			continue
		}
		c.run()
		if !c.succeeded() {
			return false
		}
	}
	return p.ctx.Err() == nil
}

// machineFiles are those that tell a program where it runs.
func (p *pod) machineFiles() error {
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", p.box.ip, p.hostname())
	for _, a := range p.object.Spec.HostAliases {
		for _, name := range a.Hostnames {
			hosts += a.IP + " " + name + "\n"
		}
	}
	resolv := fmt.Sprintf("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", p.node.net.address(), p.object.Namespace)
	if !p.node.services {
		resolv = ""
	}
	for name, text := range map[string]string{"hosts": hosts, "resolv.conf": resolv, "hostname": p.hostname() + "\n"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) hostname() string {
	if h := p.object.Spec.Hostname; h != "" {
		return h
	}
	return p.object.Name
}

// pauseFor waits, and reports whether ctx has not ended meanwhile.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
