package main

import (
	"context"
	"log"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// node holds the pods that run here.
type node struct {
	client   kubernetes.Interface
	net      *network
	images   images
	name     string
	state    string
	ca       []byte        // of the API server, for pods
	services bool          // ClusterIPs lead somewhere
	stopTime time.Duration // that pods have when the runner ends

	mu   sync.Mutex
	pods map[podKey]*pod
	work sync.WaitGroup
}

// podKey names one life of a pod.
type podKey struct {
	namespace, name string
	uid             types.UID
}

func keyOf(p *corev1.Pod) podKey { return podKey{p.Namespace, p.Name, p.UID} }

// room is what the node says that it has.
var room = corev1.ResourceList{"cpu": resource.MustParse("64"), "memory": resource.MustParse("64Gi"), "pods": resource.MustParse("250")}

// register makes the Node object.
func (n *node) register(ctx context.Context, port int32) error {
	nodes := n.client.CoreV1().Nodes()
	labels := map[string]string{"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux"}
	cur, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: labels}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		cur, err = nodes.Get(ctx, n.name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	now := metav1.Now()
	cur.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: n.net.address().String()}, {Type: corev1.NodeHostName, Address: n.name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now}},
	}
	_, err = nodes.UpdateStatus(ctx, cur, metav1.UpdateOptions{})
	return err
}

// watchPods follows every pod of the API server until ctx ends.
func (n *node) watchPods(ctx context.Context, factory informers.SharedInformerFactory) {
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.see(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { n.see(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if p, ok := o.(*corev1.Pod); ok {
				n.end(p, 0)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// see is told of a pod as it is now.
func (n *node) see(ctx context.Context, p *corev1.Pod) {
	switch {
	case p.DeletionTimestamp != nil:
		grace := 30 * time.Second
		if s := p.DeletionGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		n.end(p, grace)
	case p.Spec.NodeName == "":
		b := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: p.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: n.name}}
		n.work.Go(func() {
			insist(ctx, "bind "+p.Namespace+"/"+p.Name, func(ctx context.Context) error {
				return n.client.CoreV1().Pods(p.Namespace).Bind(ctx, b, metav1.CreateOptions{})
			})
		})
	case p.Spec.NodeName == n.name:
		n.mu.Lock()
		defer n.mu.Unlock()
		if known := n.pods[keyOf(p)]; known != nil {
			known.update(p)
			return
		}
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			return
		}
		life := newPod(n, p)
		n.pods[keyOf(p)] = life
		n.work.Go(life.run)
	}
}

// end ends a pod, and removes its object when nothing of it runs any more.
func (n *node) end(p *corev1.Pod, grace time.Duration) {
	n.mu.Lock()
	life := n.pods[keyOf(p)]
	n.mu.Unlock()
	if life != nil {
		life.end(grace)
		return
	}
	if p.DeletionTimestamp != nil && (p.Spec.NodeName == n.name || p.Spec.NodeName == "") {
		n.work.Go(func() { n.remove(p) })
	}
}

// remove takes a pod's object out of the API server.
func (n *node) remove(p *corev1.Pod) {
	at := int64(0)
	o := metav1.DeleteOptions{GracePeriodSeconds: &at, Preconditions: metav1.NewUIDPreconditions(string(p.UID))}
	insist(context.Background(), "delete "+p.Namespace+"/"+p.Name, func(ctx context.Context) error {
		return n.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, o)
	})
}

// insist repeats what an API server does not do, for it is busy, for a minute.
// That there is no such object, or another one by now, is an answer.
func insist(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return
		}
		log.Printf("%s: %v", what, err)
		if !pauseFor(ctx, retryTime) {
			return
		}
	}
}

// forget is called by a pod that has ended.
func (n *node) forget(p *pod) {
	n.mu.Lock()
	delete(n.pods, keyOf(p.object))
	n.mu.Unlock()
}

// find returns the pod of a name that runs now.
func (n *node) find(namespace, name string) *pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, p := range n.pods {
		if k.namespace == namespace && k.name == name {
			return p
		}
	}
	return nil
}

// stopAll ends every pod, as a node does that is switched off.
func (n *node) stopAll() {
	n.mu.Lock()
	for _, p := range n.pods {
		p.end(n.stopTime)
	}
	n.mu.Unlock()
	n.work.Wait()
}
