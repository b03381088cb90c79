package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// settings is gloo.solo.io/v1 Settings: the product's own configuration, of
// which two fields matter to requests: whether every host needs rbac, and
// what is set of ext auth for all listeners.
type settings struct {
	Spec struct {
		ExtAuth *authServer `json:"extauth"`
		RBAC    *struct {
			RequireRBAC bool `json:"requireRbac"`
		} `json:"rbac"`
	} `json:"spec"`
}

// requireRBAC returns the Settings by which a host without rbac refuses every
// request, or nil. One that could not be read counts.
func (t *translation) requireRBAC() *resource.Object {
	for _, o := range t.v.All(settingsKind) {
		if s := o.Spec.(*settings).Spec; s.RBAC != nil && s.RBAC.RequireRBAC || len(o.Faults) > 0 {
			return o
		}
	}
	return nil
}

// refuseAll is what holds where there is no rbac and Settings require it.
func refuseAll(o *resource.Object) []setting {
	const slot = name + "/rbac"
	origin := o.Origin("spec.rbac.requireRbac")
	step := ir.Step{Phase: ir.PhaseAuthorize, Slot: slot, Origin: origin, ClaimRules: &ir.ClaimRules{}}
	return []setting{{slot: slot, steps: []ir.Step{step}, origin: origin}}
}

// settings attaches what Settings require to the Gateways of the Gateway API;
// VirtualServices read it by themselves.
func (t *translation) settings(o *resource.Object) {
	t.report.Add(status.Warningf(o.Origin(""), "of Settings only extauth and rbac.requireRbac are read").Fix("configure the gateway by its command line"))
	t.options(o, "spec").authServer("extauth", o.Spec.(*settings).Spec.ExtAuth)
	if t.requireRBAC() != o {
		return
	}
	for _, gw := range t.v.All(apiGatewayKind) {
		t.attach(dialect.TargetOf(gw.Key), []int{1}, o, refuseAll(o))
	}
}
