package service

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

const (
	typeExternalName = "ExternalName"
	headless         = "None"
)

// Lists is the translation of Services to the lists of their endpoints.
func Lists() dialect.Dialect {
	return dialect.Dialect{
		Name:      "service",
		Roots:     func(v *resource.View) []resource.Key { return v.Keys(resource.ServiceKind) },
		Translate: lists,
	}
}

// lists returns the endpoints of a Service's ports. What is wrong with it is
// told where it is named.
func lists(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	f := &dialect.Fragment{}
	obj, svc := Read(v, root.Namespace, root.Name)
	if svc == nil || len(obj.Faults) > 0 || svc.Spec.Type == typeExternalName {
		return f, status.Report{}
	}
	for i, port := range svc.Spec.Ports {
		if slices.ContainsFunc(svc.Spec.Ports[:i], func(p resource.ServicePort) bool { return p.Port == port.Port }) {
			continue // as for findPort, the first of a number counts
		}
		list, found := sliced(v, obj, port)
		if !found && obj.File != "" {
			list = outOfFile(obj, &svc.Spec, port)
		}
		name := UpstreamName("", Ref{root.Namespace, root.Name, port.Port})
		f.Endpoints = append(f.Endpoints, &dialect.EndpointList{Name: name, Endpoints: list})
	}
	return f, status.Report{}
}

// external returns where a Service of type ExternalName leads.
func external(obj *resource.Object, spec *resource.ServiceSpec, port resource.ServicePort) ([]ir.Endpoint, error) {
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
