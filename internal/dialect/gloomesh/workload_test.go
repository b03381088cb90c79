package gloomesh

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestWorkload serves the VirtualGateways that select the workload that we are.
func TestWorkload(t *testing.T) {
	us := &Workload{Namespace: "edge", Name: "ingress", Labels: map[string]string{"istio": "ingressgateway", "more": "a"}}
	for _, tc := range []struct {
		name, workloads string
		us              *Workload
		served          bool
	}{
		{"nobody said who we are", "[{selector: {labels: {istio: other}}}]", nil, true},
		{"none is named", "[]", us, true},
		{"our label", "[{selector: {labels: {istio: ingressgateway}}}]", us, true},
		{"another's label", "[{selector: {labels: {istio: other}}}]", us, false},
		{"one of several", "[{selector: {labels: {istio: other}}}, {selector: {labels: {more: a}}}]", us, true},
		{"our label, elsewhere", "[{selector: {labels: {istio: ingressgateway}, namespace: other}}]", us, false},
		{"our name", "[{selector: {name: ingress, namespace: edge, cluster: any}}]", us, true},
		{"another's name", "[{selector: {name: other}}]", us, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "apiVersion: networking.gloo.solo.io/v2\nkind: VirtualGateway\nmetadata: {name: g, namespace: infra}\nspec:\n  workloads: " +
				tc.workloads + "\n  listeners: [{http: {}, port: {number: 8080}}]\n"
			r := resource.NewDecoder(knownKinds(), resource.Options{}).Decode("in.yaml", []byte(text))
			if len(r.Problems) > 0 {
				t.Fatal(r.Problems)
			}
			fragments, report, _ := dialect.NewTranslator([]dialect.Dialect{New(Options{Workload: tc.us})}).Translate(resource.NewSet(r.Objects, knownKinds()))
			served := false
			for _, f := range fragments {
				served = served || len(f.Listeners) > 0
			}
			told := len(report.Problems) == 1 && strings.Contains(report.Problems[0].What, "other workloads than edge/ingress")
			if served != tc.served || told == tc.served {
				t.Errorf("served %v, told %v: %v", served, told, report.Problems)
			}
		})
	}
}
