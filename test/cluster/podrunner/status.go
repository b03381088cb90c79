package main

import (
	"context"
	"encoding/json"
	"log"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reporter writes a pod's status whenever something of it has changed.
type reporter struct {
	pod     *pod
	changed chan struct{}
	last    string // what was written

	mu         sync.Mutex
	inited     bool
	conditions map[corev1.PodConditionType]corev1.PodCondition
}

func newReporter(p *pod) *reporter {
	return &reporter{pod: p, changed: make(chan struct{}, 1), conditions: map[corev1.PodConditionType]corev1.PodCondition{}}
}

// touch asks for the status to be written.
func (r *reporter) touch() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// initialized is told when the init containers are done.
func (r *reporter) initialized() {
	r.mu.Lock()
	r.inited = true
	r.mu.Unlock()
	r.touch()
}

// run writes until ctx ends, and a last time then.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-r.changed:
		case <-ctx.Done():
			r.write()
			return
		}
		if err := r.write(); err != nil {
			log.Printf("pod %s: status: %v", r.pod, err)
			pauseFor(ctx, retryTime)
			r.touch()
		}
	}
}

func (r *reporter) write() error {
	o := r.pod.object
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.UID}, "status": r.status()})
	if err != nil || string(b) == r.last {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = r.pod.node.client.CoreV1().Pods(o.Namespace).Patch(ctx, o.Name, types.StrategicMergePatchType, b, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or another has its name
	}
	if err == nil {
		r.last = string(b)
	}
	return err
}

// status is the pod's as of now.
func (r *reporter) status() corev1.PodStatus {
	p := r.pod
	r.mu.Lock()
	defer r.mu.Unlock()
	began := metav1.NewTime(p.began.Truncate(time.Second))
	s := corev1.PodStatus{StartTime: &began, HostIP: p.node.net.address().String()}
	s.HostIPs = []corev1.HostIP{{IP: s.HostIP}}
	if p.box != nil {
		s.PodIP = p.box.ip.String()
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	for _, c := range p.init {
		s.InitContainerStatuses = append(s.InitContainerStatuses, c.status())
	}
	for _, c := range p.main {
		s.ContainerStatuses = append(s.ContainerStatuses, c.status())
	}
	s.Phase = phase(p, s, r.inited)
	ready := r.inited
	for _, c := range append(append([]corev1.ContainerStatus{}, s.ContainerStatuses...), sidecarStatuses(p, s)...) {
		ready = ready && c.Ready
	}
	gates := true
	for _, g := range p.object.Spec.ReadinessGates {
		gates = gates && conditionTrue(p.now(), g.ConditionType)
	}
	for _, c := range []struct {
		kind corev1.PodConditionType
		is   bool
	}{
		{corev1.PodScheduled, true}, {corev1.PodReadyToStartContainers, p.box != nil}, {corev1.PodInitialized, r.inited},
		{corev1.ContainersReady, ready}, {corev1.PodReady, ready && gates},
	} {
		s.Conditions = append(s.Conditions, r.condition(c.kind, c.is, s.Phase))
	}
	return s
}

func sidecarStatuses(p *pod, s corev1.PodStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i, c := range p.init {
		if c.sidecar() {
			out = append(out, s.InitContainerStatuses[i])
		}
	}
	return out
}

// condition keeps the time of the last change.
func (r *reporter) condition(kind corev1.PodConditionType, is bool, phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue}
	if !is {
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
		if phase == corev1.PodSucceeded {
			c.Reason = "PodCompleted"
		}
	}
	old, known := r.conditions[kind]
	c.LastTransitionTime = old.LastTransitionTime
	if !known || old.Status != c.Status {
		c.LastTransitionTime = metav1.NewTime(time.Now().Truncate(time.Second))
	}
	r.conditions[kind] = c
	return c
}

func conditionTrue(p *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// phase is where a pod is in its life.
func phase(p *pod, s corev1.PodStatus, inited bool) corev1.PodPhase {
	if !inited {
		for i, c := range s.InitContainerStatuses {
			if t := c.State.Terminated; t != nil && t.ExitCode != 0 && !p.init[i].again(int(t.ExitCode)) {
				return corev1.PodFailed
			}
		}
		return corev1.PodPending
	}
	ran, failed := 0, 0
	for i, c := range s.ContainerStatuses {
		t := c.State.Terminated
		if t == nil || p.ctx.Err() == nil && p.main[i].again(int(t.ExitCode)) {
			continue
		}
		ran++
		if t.ExitCode != 0 {
			failed++
		}
	}
	switch {
	case ran < len(s.ContainerStatuses):
		for _, c := range s.ContainerStatuses {
			if c.State.Waiting == nil || c.LastTerminationState.Terminated != nil {
				return corev1.PodRunning
			}
		}
		return corev1.PodPending
	case failed > 0:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

// status is the container's as of now.
func (c *container) status() corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.started
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: c.id(),
		State: c.state, LastTerminationState: c.last, RestartCount: c.restarts, Started: &started, Ready: c.ready,
	}
	if c.init && !c.sidecar() {
		s.Ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}
	if c.state.Waiting != nil && c.restarts == 0 {
		s.ContainerID = ""
	}
	return s
}
