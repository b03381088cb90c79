package service

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

const (
	typeExternalName = "ExternalName"
	headless         = "None"
)

// endpoints returns where the port's requests go.
func endpoints(v *resource.View, obj *resource.Object, spec *resource.ServiceSpec, port resource.ServicePort) ([]ir.Endpoint, error) {
	if spec.Type == typeExternalName {
		if obj.File == "" { // whoever may write a Service must not choose whom we reach
			return nil, &Error{
				Fault:  NotFound,
				What:   fmt.Sprintf("Service %s/%s: type ExternalName is not followed in a cluster", obj.Namespace, obj.Name),
				Remedy: "name the host in a resource that is about hosts, such as a Backend, an Upstream or a ServiceEntry",
			}
		}
		name := strings.TrimSuffix(spec.ExternalName, ".")
		if name == "" || strings.ContainsAny(name, "/: \t\r\n@") {
			return nil, &Error{
				Fault:  NotFound,
				What:   fmt.Sprintf("Service %s/%s: externalName %q is no DNS name", obj.Namespace, obj.Name, spec.ExternalName),
				Remedy: "write a name such as api.example.com",
			}
		}
		return []ir.Endpoint{{Host: name, Port: port.Port}}, nil
	}
	list, any := sliced(v, obj, port)
	if any || obj.File == "" {
		return list, nil
	}
	return outOfFile(obj, spec, port), nil
}

// sliced gathers the addresses of the Service's EndpointSlices that take
// requests for the port: the ready ones, or where none is, those that still
// serve while they terminate. Readiness that is not told counts as ready, as
// the API says. found tells whether there is any slice at all.
func sliced(v *resource.View, obj *resource.Object, port resource.ServicePort) (list []ir.Endpoint, found bool) {
	var ready, draining []ir.Endpoint
	for _, o := range v.InByLabel(resource.EndpointSliceKind, obj.Namespace, resource.ServiceNameLabel, obj.Name) {
		found = true
		if len(o.Faults) > 0 {
			continue
		}
		slice := o.Spec.(*resource.EndpointSlice)
		number := slicePort(slice, port)
		if number == 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			c := e.Conditions
			for _, a := range e.Addresses {
				at := ir.Endpoint{Host: a, Port: number}
				switch {
				case c.Ready == nil || *c.Ready:
					ready = append(ready, at)
				case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
					draining = append(draining, at)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = draining
	}
	slices.SortFunc(ready, func(a, b ir.Endpoint) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(ready), found
}

// slicePort returns the number that the Service's port has in a slice, which
// lists it by the name of the Service's port; 0: it is not there. That is how
// a targetPort given by name is resolved, pod by pod.
func slicePort(slice *resource.EndpointSlice, port resource.ServicePort) int {
	for _, p := range slice.Ports {
		if p.Name != port.Name || (p.Protocol != "" && p.Protocol != "TCP") {
			continue
		}
		if p.Port == 0 { // unrestricted: the Service decides
			return targetNumber(port)
		}
		return p.Port
	}
	return 0
}

// outOfFile is where a Service goes that was read from a file beside no
// EndpointSlice of its own: to its clusterIP, or to its name in the cluster's
// DNS, which --connect-to can send elsewhere.
func outOfFile(obj *resource.Object, spec *resource.ServiceSpec, port resource.ServicePort) []ir.Endpoint {
	if spec.ClusterIP != "" && spec.ClusterIP != headless {
		return []ir.Endpoint{{Host: spec.ClusterIP, Port: port.Port}}
	}
	number := port.Port
	if spec.ClusterIP == headless { // its name stands for the pods
		number = targetNumber(port)
	}
	return []ir.Endpoint{{Host: fmt.Sprintf("%s.%s.svc.cluster.local", obj.Name, obj.Namespace), Port: number}}
}

// targetNumber returns the targetPort where it is a number, else the port.
func targetNumber(port resource.ServicePort) int { return cmp.Or(port.TargetPort.Int, port.Port) }
