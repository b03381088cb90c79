// Package istioauth reads Istio's authorization: AuthorizationPolicy,
// RequestAuthentication, and what the mesh's configuration says of both. It is
// no dialect, and imports none.
//
//	ConfigMap istio ──ReadMesh──► Mesh
//	policies of a Workload ──Translate──► ir.Steps, in this order:
//	    CUSTOM    ask another server           PhaseAuthenticate, OrderCustom
//	    JWT       RequestAuthentications       PhaseAuthenticate, OrderJWT
//	    AUDIT, DENY, ALLOW                     PhaseAuthorize
//	one policy ──Check──► its problems
//
// What of a policy cannot be understood never lets more through: in ALLOW a
// faulty rule is dropped, in the other actions the faulty value alone, which
// makes the rule match more.
//
// Sources: istio.io/latest/docs/reference/config/security, and the CRDs of
// istio/istio.
package istioauth

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Orders of the steps in PhaseAuthenticate.
const (
	OrderCustom = 0
	OrderJWT    = 10
)

// Workload is whose policies are asked for: what in Istio is the pod of the
// gateway.
type Workload struct {
	Namespace string
	Labels    map[string]string
	// Gateway is the name of the Gateway API's Gateway that the workload
	// serves; empty: the label gateway.networking.k8s.io/gateway-name says.
	Gateway string
}

// Env is what a translation needs besides the policies.
type Env struct {
	Mesh Mesh
	// Dialect names the steps' slots: "istio"; empty: "istio".
	Dialect string
	// Upstream returns the name of the upstream that serves a port of a host of
	// the mesh, for questions to CUSTOM's servers; empty, and nil: the host is
	// dialled.
	Upstream func(host string, port int) string
}

func (e *Env) slot(what string) string {
	if e.Dialect == "" {
		return "istio/" + what
	}
	return e.Dialect + "/" + what
}

// Result is what holds for a workload.
type Result struct {
	// Steps that every request of the workload has to pass.
	Steps []ir.Step
	// Applied are the objects that the steps are made of. One that is for no
	// workload of ours is worth a report: it protects nothing.
	Applied []resource.Key
}

// Translate returns what every request of a workload has to pass. Problems of
// the objects are those that Check tells of.
func Translate(v *resource.View, env *Env, w Workload) Result {
	var out Result
	if env.Mesh.Closed != nil {
		out.Steps = append(out.Steps, closed(env.slot("mesh"), env.Mesh.Closed))
	}
	policies := applying(v, env, AuthorizationPolicyKind, w)
	tokens := applying(v, env, RequestAuthenticationKind, w)
	for _, o := range slices.Concat(policies, tokens) {
		out.Applied = append(out.Applied, o.Key)
	}
	out.Steps = append(out.Steps, authorization(env, policies)...)
	out.Steps = append(out.Steps, authentication(env, tokens)...)
	slices.SortStableFunc(out.Steps, func(a, b ir.Step) int {
		if a.Phase != b.Phase {
			return int(a.Phase - b.Phase)
		}
		return a.Order - b.Order
	})
	return out
}

// Check returns the problems of one AuthorizationPolicy or
// RequestAuthentication.
func Check(o *resource.Object, mesh *Mesh) []status.Problem {
	r := &reader{o: o, mesh: mesh}
	switch s := o.Spec.(type) {
	case *AuthorizationPolicy:
		r.scope(&s.Spec.Scope)
		r.policy(&s.Spec)
	case *RequestAuthentication:
		r.scope(&s.Spec.Scope)
		r.tokens(&s.Spec)
	}
	return r.problems
}

// applying returns the objects of a kind that are for a workload, those of the
// root namespace first.
func applying(v *resource.View, env *Env, kind resource.GroupKind, w Workload) []*resource.Object {
	root := env.Mesh.RootNamespace
	list := slices.Clone(v.In(kind, root))
	if w.Namespace != root {
		list = append(list, v.In(kind, w.Namespace)...)
	}
	return slices.DeleteFunc(list, func(o *resource.Object) bool { return !Applies(o, w) })
}

// closed is the step that ends every request, because something that protects
// it is broken.
func closed(slot string, c *ir.Closed) ir.Step {
	return ir.Step{Phase: ir.PhasePre, Slot: slot, Origin: c.Origin, Closed: c}
}

// reader is the work on one object.
type reader struct {
	o        *resource.Object
	mesh     *Mesh
	problems []status.Problem
	// action of the policy.
	action ir.AccessAction
	// faulty says that the present rule has a fault, closed that the whole
	// object has one.
	faulty bool
	closed *ir.Closed
}

func (r *reader) warn(field, remedy, format string, args ...any) {
	r.problems = append(r.problems, status.Warningf(r.o.Origin(field), format, args...).Fix("%s", remedy))
}

// fault reports what of a rule cannot be understood.
func (r *reader) fault(field, remedy, format string, args ...any) {
	r.faulty = true
	what := fmt.Sprintf(format, args...)
	if r.action == ir.AccessAllow {
		what += "; the rule allows nothing"
	} else {
		what += "; it is left out, so that the rule matches more"
	}
	r.problems = append(r.problems, status.Errorf(r.o.Origin(field), "%s", what).Fix("%s", remedy))
}

// fail reports what makes the whole object useless.
func (r *reader) fail(field, remedy, format string, args ...any) {
	p := status.Errorf(r.o.Origin(field), format, args...).Fix("%s", remedy)
	p.What += "; what it is for is closed"
	r.problems = append(r.problems, p)
	if r.closed == nil {
		r.closed = &ir.Closed{Reason: p.What, Origin: p.Origin}
	}
}
