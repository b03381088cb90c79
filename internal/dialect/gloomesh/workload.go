package gloomesh

import "github.com/postern-gateway/postern/internal/resource"

// Options are what the dialect is told of the gateway. The zero Options are a
// gateway that is every workload that a VirtualGateway selects.
type Options struct {
	// Workload that the gateway is; nil: every one.
	Workload *Workload
}

// Workload is what the selectors of VirtualGateways select.
type Workload struct {
	Namespace, Name string
	Labels          map[string]string
}

// String returns "namespace/name".
func (w *Workload) String() string { return w.Namespace + "/" + w.Name }

// elsewhere reports whether a VirtualGateway is for other workloads than the
// one that we are. One that selects none is for all of them, as the proto says
// (solo-apis, networking.gloo.solo.io/v2).
func (t *translation) elsewhere(o *resource.Object, s *virtualGatewaySpec) bool {
	us := t.opts.Workload
	if us == nil || len(s.Workloads) == 0 {
		return false
	}
	pod := &resource.Object{Key: resource.Key{Namespace: us.Namespace, Name: us.Name}, Labels: us.Labels}
	for _, w := range s.Workloads {
		if t.picks(w.Selector, pod, o.Namespace) {
			return false
		}
	}
	return true
}
