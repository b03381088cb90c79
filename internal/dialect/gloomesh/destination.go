package gloomesh

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// backend resolves a destination. One that leads nowhere is closed.
func (p *place) backend(d *destination) ir.Backend {
	b := ir.Backend{Origin: p.Origin("")}
	closed := func(problem, remedy string) ir.Backend {
		p.t.report.Add(status.Errorf(b.Origin, "%s; requests for it are closed", problem).Fix("%s", remedy))
		b.Closed = &ir.Closed{Reason: problem, Origin: b.Origin}
		return b
	}
	switch {
	case bool(d.AWSLambda):
		return closed("awsLambda is not supported", "name a Service or an ExternalService")
	case d.Ref == nil || d.Ref.Name == "":
		return closed("the destination names nothing", "write ref.name")
	case len(d.Subset) > 0:
		return closed("subset is not supported", "make a Service for the subset")
	}
	r := d.Ref.in(p.Object.Namespace)
	var problem *trouble
	switch d.Kind {
	case toService:
		b.Upstream, problem = p.t.service(r, d.Port)
	default:
		b.Upstream, problem = p.t.declared(d.Kind.of(), r, d.Port)
	}
	if problem != nil {
		return closed(problem.what, problem.remedy)
	}
	return b
}

// upstreamName is the name of one port of an ExternalService or
// VirtualDestination.
func upstreamName(gk resource.GroupKind, namespace, name string, port int) string {
	return fmt.Sprintf("%v/%s/%s:%d", gk, namespace, name, port)
}

// port is one port of a destination.
type port struct {
	number int
	name   string
}

// choose returns the port that a reference means; without one, the only port.
func choose(ref *portRef, ports []port, whose string) (int, *trouble) {
	var numbers []string
	for _, p := range ports {
		if ref != nil && (ref.Number != 0 && ref.Number == p.number || ref.Number == 0 && ref.Name != "" && ref.Name == p.name) {
			return p.number, nil
		}
		numbers = append(numbers, fmt.Sprint(p.number))
	}
	none := ref == nil || *ref == portRef{}
	switch {
	case none && len(ports) == 1:
		return ports[0].number, nil
	case none:
		return 0, &trouble{fmt.Sprintf("%s has %d ports, and none is named", whose, len(ports)), "write port.number"}
	}
	return 0, &trouble{fmt.Sprintf("%s has no port %s", whose, cmp.Or(ref.Name, fmt.Sprint(ref.Number))), fmt.Sprintf("its ports are %v", numbers)}
}

// service returns the upstream of a Service's port, which it brings along.
func (t *translation) service(r objectRef, to *portRef) (string, *trouble) {
	number := 0
	if to != nil {
		number = to.Number
	}
	if _, svc := resource.Spec[resource.Service](t.v, resource.ServiceKind, r.Namespace, r.Name); svc != nil && number == 0 {
		var ports []port
		for _, p := range svc.Spec.Ports {
			ports = append(ports, port{p.Port, p.Name})
		}
		var problem *trouble
		if number, problem = choose(to, ports, fmt.Sprintf("Service %v", r)); problem != nil {
			return "", problem
		}
	}
	u, err := service.Upstream(t.v, service.Ref{Namespace: r.Namespace, Name: r.Name, Port: number}, service.Options{Dialect: name})
	if err != nil {
		problem := &trouble{err.Error(), "correct the reference"}
		if e := (*service.Error)(nil); errors.As(err, &e) {
			problem = &trouble{e.What, e.Remedy}
		}
		return "", problem
	}
	if !slices.ContainsFunc(t.f.Upstreams, func(other *ir.Upstream) bool { return other.Name == u.Name }) {
		t.f.Upstreams = append(t.f.Upstreams, u)
	}
	return u.Name, nil
}

// declared returns the upstream that an ExternalService or VirtualDestination
// brings along by itself.
func (t *translation) declared(gk resource.GroupKind, r objectRef, to *portRef) (string, *trouble) {
	o := t.v.Get(gk, r.Namespace, r.Name)
	if o == nil {
		return "", &trouble{fmt.Sprintf("no %s %q in %s", gk.Kind, r.Name, r.Namespace), reading.Suggest(t.v, gk, r.Namespace, r.Name)}
	}
	var ports []port
	switch spec := o.Spec.(type) {
	case *externalService:
		for _, p := range spec.Spec.Ports {
			ports = append(ports, port{p.Number, p.Name})
		}
	case *virtualDestination:
		for _, p := range spec.Spec.Ports {
			ports = append(ports, port{p.Number, ""})
		}
	}
	number, problem := choose(to, ports, fmt.Sprintf("%s %v", gk.Kind, r))
	if problem != nil {
		return "", problem
	}
	return upstreamName(gk, r.Namespace, r.Name, number), nil
}
