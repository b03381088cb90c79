// Package service turns Services into upstreams, and their EndpointSlices into
// the endpoints of these. Every dialect whose routes may name a Service uses
// it; it is no dialect, and imports none.
//
//	Service port ──► ir.Upstream, with the name of its list of endpoints
//	             └─► EndpointSlices of its name ──► ready addresses
//	                 none, and out of a file ─────► clusterIP, else its DNS name
//	                 type ExternalName ───────────► that name
//
// The two are apart: pods come and go at all times, and what names a Service
// is not translated anew for that. Lists are translated once for all dialects,
// which have Lists among what they share.
//
// What protects the way to a Service (TLS) belongs to the dialects: they hand
// it in.
package service

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// Ref names one port of a Service.
type Ref struct {
	Namespace, Name string
	Port            int
}

// String returns "Service namespace/name:port".
func (r Ref) String() string { return fmt.Sprintf("Service %s/%s:%d", r.Namespace, r.Name, r.Port) }

// Options say how a dialect uses a Service. The zero value speaks plain text
// and gives the upstream no dialect's name.
type Options struct {
	// Dialect that the upstream belongs to. Two dialects may reach the same
	// Service differently, so each has an upstream of its own.
	Dialect string
	// TLS that the Service is spoken to with; nil: plain text. A port whose
	// appProtocol demands TLS is an error without it.
	TLS *ir.ClientTLS
	// GRPC says that the Service is asked in gRPC, and so in HTTP/2 where its
	// port's appProtocol leaves that open.
	GRPC bool
}

// Fault says why an Error occurred; the values are the Gateway API's reasons.
type Fault string

// The faults.
const (
	// NotFound: there is no such Service, or it has no such port.
	NotFound Fault = "BackendNotFound"
	// UnsupportedProtocol: the port speaks something that we do not.
	UnsupportedProtocol Fault = "UnsupportedProtocol"
)

// Error says why a Ref yields no upstream, in words for the user; the caller
// adds the origin of the reference and closes what depends on it.
type Error struct {
	Fault  Fault
	What   string
	Remedy string
}

// Error returns what is wrong, without the remedy.
func (e *Error) Error() string { return e.What }

// Read returns a Service, or nil, for who looks at neither its labels nor its
// annotations: controllers write to these at any time.
func Read(v *resource.View, namespace, name string) (*resource.Object, *resource.Service) {
	o := v.Body(resource.ServiceKind, namespace, name)
	if o == nil {
		return nil, nil
	}
	return o, o.Spec.(*resource.Service)
}

// UpstreamName returns the name of the upstream that Upstream makes:
// "gatewayapi:Service/ns/name:80".
func UpstreamName(dialect string, ref Ref) string {
	name := fmt.Sprintf("Service/%s/%s:%d", ref.Namespace, ref.Name, ref.Port)
	if dialect != "" {
		name = dialect + ":" + name
	}
	return name
}

// Upstream returns the upstream of one port of a Service, whose endpoints are
// Discovered as a rule. The result is the caller's to complete. A Service
// without ready endpoints is an upstream without endpoints: it answers 503. Any
// error is an *Error.
func Upstream(v *resource.View, ref Ref, opts Options) (*ir.Upstream, error) {
	obj, svc := Read(v, ref.Namespace, ref.Name)
	if svc == nil {
		return nil, missing(v, ref)
	}
	if len(obj.Faults) > 0 {
		return nil, &Error{Fault: NotFound, What: fmt.Sprintf("Service %s/%s is not understood in full", ref.Namespace, ref.Name), Remedy: "see the problem there"}
	}
	port, field, err := findPort(&svc.Spec, ref)
	if err != nil {
		return nil, err
	}
	u := &ir.Upstream{
		Name:   UpstreamName(opts.Dialect, ref),
		TLS:    opts.TLS,
		Origin: obj.Origin(field),
	}
	if u.Protocol, err = protocol(port, ref, opts); err != nil {
		return nil, err
	}
	if svc.Spec.Type == typeExternalName {
		u.Endpoints, err = external(obj, &svc.Spec, port)
		return u, err
	}
	u.Discovered = UpstreamName("", ref)
	return u, nil
}

// missing explains that there is no Service, with the nearest name that is.
func missing(v *resource.View, ref Ref) *Error {
	var names []string
	for _, o := range v.In(resource.ServiceKind, ref.Namespace) {
		names = append(names, o.Name)
	}
	e := &Error{Fault: NotFound, What: fmt.Sprintf("no Service %q in %s", ref.Name, ref.Namespace)}
	if e.Remedy = dialect.Suggest(ref.Name, names); e.Remedy == "" {
		e.Remedy = "create it, or correct the name"
	}
	return e
}

// findPort returns the port of the Service that ref names, and its field. An
// ExternalName Service need not list ports.
func findPort(spec *resource.ServiceSpec, ref Ref) (resource.ServicePort, string, error) {
	var there []string
	for i, p := range spec.Ports {
		if p.Port == ref.Port {
			return p, fmt.Sprintf("spec.ports[%d]", i), nil
		}
		there = append(there, fmt.Sprint(p.Port))
	}
	if spec.Type == typeExternalName && len(spec.Ports) == 0 {
		return resource.ServicePort{Port: ref.Port}, "spec.externalName", nil
	}
	e := &Error{
		Fault:  NotFound,
		What:   fmt.Sprintf("Service %s/%s has no port %d", ref.Namespace, ref.Name, ref.Port),
		Remedy: "add the port to the Service",
	}
	if len(there) > 0 {
		e.Remedy = "its ports are " + strings.Join(there, ", ")
	}
	return resource.ServicePort{}, "", e
}

// protocol reads a port's protocol and appProtocol, by KEP-3726 and GEP-1911;
// names are compared without regard to case, and "tcp" says nothing.
func protocol(p resource.ServicePort, ref Ref, opts Options) (ir.Protocol, error) {
	unsupported := func(remedy, format string, args ...any) (ir.Protocol, error) {
		return "", &Error{Fault: UnsupportedProtocol, What: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if p.Protocol != "" && p.Protocol != "TCP" {
		return unsupported("name a TCP port", "%v is a %s port", ref, p.Protocol)
	}
	needsTLS := false
	proto := ir.ProtocolHTTP1
	switch name := strings.ToLower(p.AppProtocol); name {
	case "", "tcp", "http":
	case "ws", "kubernetes.io/ws", "wss", "kubernetes.io/wss":
		if opts.GRPC {
			return unsupported("use kubernetes.io/h2c or grpc", "%v has appProtocol %q, which does not carry gRPC", ref, p.AppProtocol)
		}
		needsTLS = strings.HasSuffix(name, "wss")
	case "kubernetes.io/h2c", "h2c", "http2", "grpc":
		proto = ir.ProtocolHTTP2
	case "https":
		needsTLS = true
	case "h2", "grpcs":
		needsTLS, proto = true, ir.ProtocolHTTP2
	default:
		return unsupported("use http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss",
			"%v has appProtocol %q, which is not supported", ref, p.AppProtocol)
	}
	if needsTLS && opts.TLS == nil {
		return unsupported("say it, in Gateway API by a BackendTLSPolicy for the Service",
			"%v has appProtocol %q, and nothing says how to verify its certificate", ref, p.AppProtocol)
	}
	if opts.GRPC {
		proto = ir.ProtocolHTTP2
	}
	return proto, nil
}

// PortName returns the name of the Service's port; "": it has none, or is not
// there.
func PortName(v *resource.View, ref Ref) string {
	_, svc := Read(v, ref.Namespace, ref.Name)
	if svc == nil {
		return ""
	}
	p, _, _ := findPort(&svc.Spec, ref)
	return p.Name
}
