// Package infrastructure is what a Gateway says of the machinery that it runs
// on in a cluster: spec.infrastructure, the parameters of its class, the
// addresses that it asks for, and the kind PosternProxy that parameters are
// written in. It is no dialect: the Gateway API's dialect tells what is wrong
// with all this, and whoever makes Deployments reads what is right.
//
//	GatewayClass.parametersRef ──► PosternProxy ─┐
//	Gateway.infrastructure ──────► PosternProxy ─┴─► Infrastructure, or why not
package infrastructure

import (
	"fmt"
	"maps"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

// Infrastructure is what a Gateway is to run on.
type Infrastructure struct {
	// Labels and Annotations for everything that is made for the Gateway.
	Labels, Annotations map[string]string
	// Proxy are the parameters, those of the class below those of the Gateway.
	Proxy ProxySpec
}

// Of returns what a Gateway runs on, or what is wrong with the parameters that
// it or its class names. Nothing may be changed for it then: what runs already
// runs on.
func Of(v *resource.View, gateway *resource.Object) (Infrastructure, *parent.Fault) {
	var out Infrastructure
	spec := &gateway.Spec.(*parent.Gateway).Spec
	name := string(spec.GatewayClassName)
	if obj, class := resource.Spec[parent.GatewayClass](v, parent.GatewayClassKind, "", name); class != nil {
		p, f := ofClass(v, class)
		if f != nil {
			f.Field, f.What = "spec.gatewayClassName", fmt.Sprintf("the parameters of class %q cannot be used: %s", obj.Name, f.What)
			return out, f
		}
		out.Proxy = p
	}
	if spec.Infrastructure == nil {
		return out, nil
	}
	out.Labels, out.Annotations = texts(spec.Infrastructure.Labels), texts(spec.Infrastructure.Annotations)
	if r := spec.Infrastructure.ParametersRef; r != nil {
		p, f := find(v, reference{string(r.Group), string(r.Kind), gateway.Namespace, r.Name, "spec.infrastructure.parametersRef"})
		if f != nil {
			return out, f
		}
		out.Proxy = out.Proxy.under(p)
	}
	return out, nil
}

// OfClass returns what is wrong with the parameters of a class, or nil.
func OfClass(v *resource.View, class *resource.Object) *parent.Fault {
	_, f := ofClass(v, class.Spec.(*parent.GatewayClass))
	return f
}

func ofClass(v *resource.View, class *parent.GatewayClass) (ProxySpec, *parent.Fault) {
	r := class.Spec.ParametersRef
	if r == nil {
		return ProxySpec{}, nil
	}
	namespace := ""
	if r.Namespace != nil {
		namespace = string(*r.Namespace)
	}
	return find(v, reference{string(r.Group), string(r.Kind), namespace, r.Name, "spec.parametersRef"})
}

// reference leads to parameters; field is where it is written.
type reference struct{ group, kind, namespace, name, field string }

// find returns the parameters that a reference leads to.
func find(v *resource.View, r reference) (ProxySpec, *parent.Fault) {
	fault := func(remedy, format string, args ...any) (ProxySpec, *parent.Fault) {
		return ProxySpec{}, &parent.Fault{
			Condition: "Accepted", Reason: "InvalidParameters", Field: r.field, Partial: true,
			What: fmt.Sprintf(format, args...), Remedy: remedy,
		}
	}
	if gk := (resource.GroupKind{Group: r.group, Kind: r.kind}); gk != ProxyKind {
		return fault("name a "+ProxyKind.String(), "parameters of kind %v are not supported", gk)
	}
	if r.namespace == "" {
		return fault("name its namespace", "a PosternProxy is in a namespace, and none is named")
	}
	obj, p := resource.Spec[PosternProxy](v, ProxyKind, r.namespace, r.name)
	switch {
	case p == nil && !v.Knows(ProxyKind):
		return fault("install the definition of the kind", "the kind PosternProxy is not known here")
	case p == nil:
		return fault("create it, or correct the name", "there is no PosternProxy %q in %s", r.name, r.namespace)
	case len(obj.Faults) > 0:
		return fault("correct it", "PosternProxy %s/%s is not understood in full: %s", r.namespace, r.name, obj.Faults[0].What)
	}
	if err := p.Spec.Check(); err != nil {
		return fault("correct it", "PosternProxy %s/%s: %v", r.namespace, r.name, err)
	}
	return p.Spec, nil
}

// texts returns a map of the Gateway API as one of plain texts.
func texts[K, V ~string](m map[K]V) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range maps.All(m) {
		out[string(k)] = string(v)
	}
	return out
}
