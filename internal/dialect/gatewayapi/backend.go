package gatewayapi

import (
	"errors"
	"fmt"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

const maxWeight = 1_000_000

// backends translates the rule's backends. One that cannot be used keeps its
// share of the requests, which get 500; one of weight 0 has none.
func (r *rule) backends() []ir.Backend {
	var out []ir.Backend
	for i := range r.spec.BackendRefs {
		ref := &r.spec.BackendRefs[i]
		at := fmt.Sprintf(".backendRefs[%d]", i)
		b := ir.Backend{Weight: 1, Origin: r.obj.Origin(r.field + at)}
		if ref.Weight != nil {
			b.Weight = int(*ref.Weight)
		}
		if b.Weight < 0 || b.Weight > maxWeight {
			r.bad("UnsupportedValue", at+".weight", "use 0 to 1000000", "%d is no weight", b.Weight)
		}
		b.Upstream, b.Closed = r.upstream(ref.BackendObjectReference, at, "requests for it get "+r.answer())
		before := r.fault
		f := r.filters(ref.Filters, at+".filters", true)
		if b.Steps = f.steps; before == nil && r.fault != nil { // only this share is closed
			b.Closed = r.close(r.fault)
			r.partial(*r.fault)
			r.fault = nil
		}
		if b.Weight != 0 {
			out = append(out, b)
		}
	}
	return out
}

// partial notes a fault that closes less than its rule.
func (h *httpRoute) partial(f parent.Fault) {
	if h.invalid == nil {
		h.invalid = &f
	}
}

// upstream resolves a backend to the name of an upstream, or says why the
// backend is closed; effect says in words what comes of that.
func (r *rule) upstream(ref gatewayv1.BackendObjectReference, at, effect string) (string, *ir.Closed) {
	closed := func(reason, at, remedy, format string, args ...any) (string, *ir.Closed) {
		f := parent.Fault{Condition: "ResolvedRefs", Reason: reason, Field: r.field + at, What: fmt.Sprintf(format, args...) + "; " + effect, Remedy: remedy}
		r.unresolved(f)
		return "", r.close(&f)
	}
	key := resource.Key{
		GroupKind: resource.GroupKind{Group: parent.Or(ref.Group, ""), Kind: parent.Or(ref.Kind, "Service")},
		Namespace: parent.Or(ref.Namespace, r.obj.Namespace), Name: string(ref.Name),
	}
	isService := key.GroupKind == resource.ServiceKind
	if !isService && (key.Group == "" || key.Group == parent.Group || !r.v.Knows(key.GroupKind)) {
		return closed("InvalidKind", at, "name a Service, or an upstream of an API family that is read",
			"a backend of kind %v is not supported", key.GroupKind)
	}
	if !parent.Granted(r.v, r.obj.GroupKind, r.obj.Namespace, key) {
		return closed("RefNotPermitted", at, parent.GrantRemedy(r.obj.GroupKind, r.obj.Namespace, key),
			"%v may not be used from %s", key, r.obj.Namespace)
	}
	if !isService {
		return fmt.Sprintf("%s/%s/%s/%s", key.Group, key.Kind, key.Namespace, key.Name), nil
	}
	if ref.Port == nil {
		return closed("BackendNotFound", at+".port", "name one of the Service's ports", "a Service needs a port")
	}
	u, err := r.service(service.Ref{Namespace: key.Namespace, Name: key.Name, Port: int(*ref.Port)})
	if e := (*service.Error)(nil); errors.As(err, &e) {
		return closed(string(e.Fault), at, e.Remedy, "%s", e.What)
	}
	return u, nil
}

// service adds the upstream of a Service's port to the fragment, with the TLS
// that a BackendTLSPolicy demands, and returns its name.
func (h *httpRoute) service(ref service.Ref) (string, error) {
	name := service.UpstreamName(Name, ref)
	if h.grpc != nil {
		name += "/grpc"
	}
	if h.upstreams[name] != nil {
		return name, nil
	}
	tls, closed := h.backendTLS(ref)
	opts := service.Options{Dialect: Name, TLS: tls, GRPC: h.grpc != nil}
	if closed != nil {
		opts.TLS = &ir.ClientTLS{} // nothing is sent
	}
	u, err := service.Upstream(h.v, ref, opts)
	if err != nil {
		return "", err
	}
	u.Name, u.Closed = name, closed
	h.upstreams[name] = u
	h.order = append(h.order, name)
	return name, nil
}

// mirror translates a RequestMirror filter; nil: nothing is copied. A copy
// that cannot be sent is left out, and told.
func (r *rule) mirror(f *gatewayv1.HTTPRequestMirrorFilter, at string) *ir.Mirror {
	out := &ir.Mirror{Numerator: 1, Denominator: 1}
	switch {
	case f.Percent != nil && f.Fraction != nil:
		r.bad("UnsupportedValue", at, "remove one of them", "percent and fraction exclude each other")
	case f.Percent != nil:
		out.Numerator, out.Denominator = int(*f.Percent), 100
	case f.Fraction != nil:
		out.Numerator, out.Denominator = int(f.Fraction.Numerator), 100
		if f.Fraction.Denominator != nil {
			out.Denominator = int(*f.Fraction.Denominator)
		}
	}
	if out.Denominator < 1 || out.Numerator < 0 || out.Numerator > out.Denominator {
		r.bad("UnsupportedValue", at, "use 0 to 100 percent", "%d of %d requests cannot be copied", out.Numerator, out.Denominator)
	}
	if kind := parent.Or(f.BackendRef.Kind, "Service"); kind != "Service" || parent.Or(f.BackendRef.Group, "") != "" {
		r.unresolved(parent.Fault{
			Condition: "ResolvedRefs", Reason: "InvalidKind", Field: r.field + at + ".backendRef",
			What: fmt.Sprintf("requests cannot be copied to an object of kind %s; none are", kind), Remedy: "name a Service",
		})
		return nil
	}
	u, closed := r.upstream(f.BackendRef, at+".backendRef", "nothing is copied")
	if closed != nil || out.Numerator == 0 {
		return nil
	}
	out.Upstream = u
	return out
}

// duration reads a duration of the API; none and 0 mean none.
func (r *rule) duration(d *gatewayv1.Duration, at string) time.Duration {
	s := parent.Or(d, "")
	if s == "" {
		return 0
	}
	v, ok := parseDuration(s)
	if !ok {
		r.bad("UnsupportedValue", at, "write one such as 10s or 1h30m", "%q is no duration", s)
	}
	return v
}

// ignore reports a field that is not in force, and takes nothing away.
func (r *rule) ignore(at, what, remedy string) {
	r.report.Add(status.Errorf(r.obj.Origin(r.field+at), "%s", what).Fix("%s", remedy))
}
