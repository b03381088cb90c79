package gatewayapi

import (
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
)

// rule is the translation of one rule.
type rule struct {
	*httpRoute
	spec  *gatewayv1.HTTPRouteRule
	field string
	index int
	// fault is the first thing wrong with the rule; it then answers 500.
	fault *parent.Fault
	// prefixed says that every match is by a path prefix, which may then be
	// replaced.
	prefixed bool
	// at is where each match of the route was written, relative to the rule.
	at []string
}

// bad reports a fault of the rule, which closes it. at is relative to it.
func (r *rule) bad(reason, at, remedy, format string, args ...any) {
	f := parent.Fault{Condition: "Accepted", Reason: reason, Field: r.field + at, What: fmt.Sprintf(format, args...), Remedy: remedy}
	r.report.Add(f.Problem(r.obj))
	if r.fault == nil {
		r.fault = &f
	}
}

// translate returns the rule's route, or those of the HTTPRoutes that it
// delegates to; none where it takes nothing of what its parent delegates.
func (r *rule) translate() []*dialect.Route {
	name := parent.Or(r.spec.Name, "")
	out := &dialect.Route{
		Targets: []dialect.Target{dialect.TargetOf(r.obj.Key)},
		Owner:   r.obj.Key,
	}
	if name != "" {
		section := dialect.TargetOf(r.obj.Key)
		section.Section = name
		out.Targets = append([]dialect.Target{section}, out.Targets...)
	} else {
		name = fmt.Sprintf("rule-%d", r.index)
	}
	out.Route = ir.Route{
		Name:    fmt.Sprintf("%s %s/%s/%s", r.kind(), r.obj.Namespace, r.obj.Name, name),
		Matches: r.matches(),
		Origin:  r.obj.Origin(r.field),
	}
	f := r.filters(r.spec.Filters, ".filters", false)
	out.Steps = append(f.steps, r.timing()...)
	out.References = f.references
	delegates := r.delegates()
	if r.link != nil && !r.adopt(out) {
		return nil
	}
	if delegates {
		return r.delegate(out, f)
	}
	out.Action = r.action(f)
	return []*dialect.Route{out}
}

// action decides what becomes of the rule's requests.
func (r *rule) action(f filters) ir.Action {
	if f.redirect != nil && len(r.spec.BackendRefs) > 0 {
		r.bad("IncompatibleFilters", ".filters", "remove one of them", "a rule that redirects has no backends")
	}
	var backends []ir.Backend
	if f.redirect == nil {
		backends = r.backends()
	}
	switch {
	case r.closed != nil:
		return ir.Action{Closed: r.closed}
	case r.fault != nil:
		return ir.Action{Closed: r.close(r.fault)}
	case f.closed != nil:
		return ir.Action{Closed: f.closed}
	case f.redirect != nil:
		return ir.Action{Redirect: f.redirect}
	case len(backends) == 0:
		return ir.Action{Closed: r.close(&parent.Fault{What: "the rule has no backend with a weight", Field: r.field})}
	}
	return ir.Action{Forward: &ir.Forward{Backends: backends, Origin: r.obj.Origin(r.field + ".backendRefs")}}
}

// describe returns an error of the regexp package on one line.
func describe(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "error parsing regexp: ")
}
