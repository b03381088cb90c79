package deploy

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/status"
)

// tell takes note of what became of the Gateways, and says when that is
// another thing than before.
func (d *Deployer) tell(plans []*plan, errs map[string]error, leads bool) {
	next := map[string]*state{}
	d.mu.Lock()
	for _, p := range plans {
		s := d.stateOf(p)
		if err := errs[p.id()]; err != nil {
			s.fault = err.Error()
		} else if old := d.states[p.id()]; old != nil && !leads {
			s.fault = old.fault
		}
		next[p.id()] = s
	}
	changed := !maps.EqualFunc(d.states, next, func(a, b *state) bool { return reflect.DeepEqual(a, b) })
	d.states = next
	d.mu.Unlock()
	if changed && d.cfg.Changed != nil {
		d.cfg.Changed()
	}
}

// stateOf reads off what is there where a Gateway is reached.
func (d *Deployer) stateOf(p *plan) *state {
	s := &state{uid: p.gateway.UID}
	service := d.live.get(objectKey{services, p.gateway.Namespace, p.name})
	if service != nil && belongs(service, p) {
		s.addresses = addressesOf(service)
	}
	s.missing = p.missing(s.addresses, d.live.get(objectKey{deployments, p.gateway.Namespace, p.name}))
	return s
}

// missing returns why a Gateway is not programmed, or nothing.
func (p *plan) missing(have []status.Address, pods *unstructured.Unstructured) outcome {
	for _, a := range p.static {
		if len(have) > 0 && !slices.Contains(have, status.Address{Type: "IPAddress", Value: a}) {
			return outcome{"AddressNotUsable", "the Service did not get the address " + a}
		}
	}
	if len(have) == 0 {
		return outcome{"AddressNotAssigned", "its Service has no address yet"}
	}
	ready := int64(0)
	if pods != nil && belongs(pods, p) {
		ready, _, _ = unstructured.NestedInt64(pods.Object, "status", "readyReplicas")
	}
	if ready == 0 {
		return outcome{"NoResources", "no pod is ready yet"}
	}
	return outcome{}
}

// addressesOf returns where a Service is reached: its load balancer, or its
// address in the cluster where it is to have none.
func addressesOf(service *unstructured.Unstructured) []status.Address {
	kind, _, _ := unstructured.NestedString(service.Object, "spec", "type")
	if kind != infrastructure.LoadBalancer {
		list, _, _ := unstructured.NestedStringSlice(service.Object, "spec", "clusterIPs")
		var out []status.Address
		for _, ip := range list {
			if ip != "" && ip != "None" {
				out = append(out, status.Address{Type: "IPAddress", Value: ip})
			}
		}
		return out
	}
	points, _, _ := unstructured.NestedSlice(service.Object, "status", "loadBalancer", "ingress")
	var out []status.Address
	for _, point := range points {
		m, _ := point.(fields)
		if ip, _ := m["ip"].(string); ip != "" {
			out = append(out, status.Address{Type: "IPAddress", Value: ip})
		} else if host, _ := m["hostname"].(string); host != "" {
			out = append(out, status.Address{Type: "Hostname", Value: host})
		}
	}
	slices.SortFunc(out, func(a, b status.Address) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	return out
}
