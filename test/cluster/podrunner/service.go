package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// services lets the addresses of Services lead to their endpoints, for the
// machine and for pods: each address is put on the bridge, each port listened
// on. TCP only.
type services struct {
	node      *node
	list      corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	apiServer string // behind the Service kubernetes, which has no EndpointSlice here
	balancers netip.Prefix
	names     *names

	changed   chan struct{}
	work      sync.WaitGroup
	addresses map[netip.Addr]bool
	doors     map[netip.AddrPort]*door
	stop      context.CancelFunc
}

func newServices(n *node, factory informers.SharedInformerFactory, cfg *rest.Config, s settings) (*services, error) {
	host, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, err
	}
	out := &services{
		node: n, apiServer: host.Host, changed: make(chan struct{}, 1), stop: func() {},
		list:   factory.Core().V1().Services().Lister(),
		slices: factory.Discovery().V1().EndpointSlices().Lister(),
		doors:  map[netip.AddrPort]*door{}, addresses: map[netip.Addr]bool{},
	}
	if s.balancerCIDR != "" {
		if out.balancers, err = netip.ParsePrefix(s.balancerCIDR); err != nil {
			return nil, err
		}
	}
	touch := func(any) { out.touch() }
	// The endpoints are looked up for each connection.
	factory.Discovery().V1().EndpointSlices().Informer()
	_, err = factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: touch, DeleteFunc: touch, UpdateFunc: func(_, o any) { touch(o) },
	})
	return out, err
}

func (s *services) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// start serves what there is, and follows the changes until close.
func (s *services) start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	var err error
	if s.names, err = newNames(s, s.node.net.address()); err != nil {
		return err
	}
	s.apply(ctx)
	s.work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.changed:
				s.apply(ctx)
			}
		}
	})
	return nil
}

func (s *services) close() {
	s.stop()
	s.work.Wait()
	for _, d := range s.doors {
		d.close()
	}
	if s.names != nil {
		s.names.close()
	}
}

// apply opens and closes doors as the Services say. What fails is tried again.
func (s *services) apply(ctx context.Context) {
	all, err := s.list.List(labels.Everything())
	if err != nil {
		log.Print(err)
		return
	}
	slices.SortFunc(all, func(a, b *corev1.Service) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	again := sync.OnceFunc(func() { time.AfterFunc(retryTime, s.touch) })
	wanted := map[netip.AddrPort]target{}
	addresses := map[netip.Addr]bool{}
	for _, v := range all {
		if err := s.balance(ctx, v, all); err != nil {
			log.Printf("service %s/%s: %v", v.Namespace, v.Name, err)
			again()
		}
		s.want(v, wanted, addresses)
	}
	for at, d := range s.doors {
		if t, ok := wanted[at]; !ok || t != d.target {
			d.close()
			delete(s.doors, at)
		}
	}
	s.assign(addresses)
	for at, t := range wanted {
		if s.doors[at] != nil {
			continue
		}
		d, err := s.open(at, t)
		if err != nil {
			log.Printf("service %s/%s: %v", t.namespace, t.name, err)
			again()
			continue
		}
		s.doors[at] = d
	}
}

// assign puts addresses on the bridge, and takes away those that are no more.
func (s *services) assign(wanted map[netip.Addr]bool) {
	for a := range wanted {
		if !s.addresses[a] {
			if err := ipBatch("", fmt.Sprintf("addr replace %s/32 dev %s", a, s.node.net.bridge)); err != nil {
				log.Print(err)
				continue
			}
			s.addresses[a] = true
		}
	}
	for a := range s.addresses {
		if !wanted[a] {
			_ = ipBatch("", fmt.Sprintf("addr del %s/32 dev %s", a, s.node.net.bridge))
			delete(s.addresses, a)
		}
	}
}

// target is one port of a Service.
type target struct{ namespace, name, port string }

// want adds the addresses and ports of a Service.
func (s *services) want(v *corev1.Service, wanted map[netip.AddrPort]target, addresses map[netip.Addr]bool) {
	var at []netip.Addr
	for _, text := range v.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil {
			at = append(at, a)
		}
	}
	for _, i := range v.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(i.IP); err == nil && s.balancers.Contains(a) {
			at = append(at, a)
		}
	}
	for _, p := range v.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP {
			continue
		}
		t := target{v.Namespace, v.Name, p.Name}
		for _, a := range at {
			addresses[a] = true
			wanted[netip.AddrPortFrom(a, uint16(p.Port))] = t
		}
		if p.NodePort != 0 {
			wanted[netip.AddrPortFrom(s.node.net.address(), uint16(p.NodePort))] = t
		}
	}
}

// balance gives a Service of type LoadBalancer an address, as a cloud would.
func (s *services) balance(ctx context.Context, v *corev1.Service, all []*corev1.Service) error {
	if v.Spec.Type != corev1.ServiceTypeLoadBalancer || !s.balancers.IsValid() || len(v.Status.LoadBalancer.Ingress) > 0 || v.DeletionTimestamp != nil {
		return nil
	}
	taken := map[string]bool{}
	for _, o := range all {
		for _, i := range o.Status.LoadBalancer.Ingress {
			taken[i.IP] = true
		}
	}
	a := s.balancers.Masked().Addr().Next()
	for ; taken[a.String()]; a = a.Next() {
	}
	if !s.balancers.Contains(a) {
		return fmt.Errorf("no address is left in %s", s.balancers)
	}
	v = v.DeepCopy()
	v.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: a.String()}}
	updated, err := s.node.client.CoreV1().Services(v.Namespace).UpdateStatus(ctx, v, metav1.UpdateOptions{})
	if err == nil {
		// The next Service of this round must not get the same.
		for i := range all {
			if all[i].UID == updated.UID {
				all[i] = updated
			}
		}
	}
	return err
}

// endpoint chooses one of the ready endpoints of a port.
func (s *services) endpoint(t target) (string, error) {
	if t.namespace == metav1.NamespaceDefault && t.name == "kubernetes" {
		return s.apiServer, nil
	}
	list, err := s.slices.EndpointSlices(t.namespace).List(labels.SelectorFromSet(labels.Set{"kubernetes.io/service-name": t.name}))
	if err != nil {
		return "", err
	}
	var ready, ending []string
	for _, e := range list {
		for _, p := range e.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != t.port || p.Name == nil && t.port != "" {
				continue
			}
			for _, ep := range e.Endpoints {
				at := net.JoinHostPort(ep.Addresses[0], strconv.Itoa(int(*p.Port)))
				switch c := ep.Conditions; {
				case c.Ready == nil || *c.Ready:
					ready = append(ready, at)
				case c.Serving != nil && *c.Serving && yes(c.Terminating):
					ending = append(ending, at)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = ending
	}
	if len(ready) == 0 {
		return "", fmt.Errorf("service %s/%s has no ready endpoint", t.namespace, t.name)
	}
	return ready[rand.IntN(len(ready))], nil
}
