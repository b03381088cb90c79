package infrastructure

import (
	"strings"
	"testing"
	"time"

	own "github.com/postern-gateway/postern/internal/resource"
)

func number(n int32) *int32 { return &n }

// TestCheck refuses what no pods could be made of.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec ProxySpec
		says string // empty: nothing is wrong
	}{
		{"nothing", ProxySpec{}, ""},
		{"everything", ProxySpec{
			Autoscaling: &Autoscaling{MinReplicas: 1, MaxReplicas: 3, CPU: 60}, Drain: "1m30s",
			Resources:    &Resources{Requests: map[string]own.IntOrString{"cpu": {Int: 1}, "memory": {String: "64Mi"}}},
			Service:      &Service{Type: LoadBalancer, LoadBalancerClass: "example.com/lb", ExternalTrafficPolicy: "Local", Annotations: map[string]string{"example.com/a": "b"}},
			NodeSelector: map[string]string{"kubernetes.io/os": "linux"},
		}, ""},
		{"two ways to have replicas", ProxySpec{Replicas: number(1), Autoscaling: &Autoscaling{MaxReplicas: 2}}, "one of the two"},
		{"no replicas", ProxySpec{Replicas: number(0)}, "spec.replicas"},
		{"too many", ProxySpec{Replicas: number(100_000)}, "spec.replicas"},
		{"no most", ProxySpec{Autoscaling: &Autoscaling{}}, "maxReplicas"},
		{"least above most", ProxySpec{Autoscaling: &Autoscaling{MinReplicas: 3, MaxReplicas: 2}}, "minReplicas"},
		{"more than all of the CPU", ProxySpec{Autoscaling: &Autoscaling{MaxReplicas: 2, CPU: 101}}, "cpu"},
		{"no quantity", ProxySpec{Resources: &Resources{Limits: map[string]own.IntOrString{"memory": {String: "much"}}}}, "spec.resources.limits.memory"},
		{"less than nothing", ProxySpec{Resources: &Resources{Requests: map[string]own.IntOrString{"cpu": {Int: -1}}}}, "spec.resources.requests.cpu"},
		{"no such Service", ProxySpec{Service: &Service{Type: "ExternalName"}}, "spec.service.type"},
		{"no such policy", ProxySpec{Service: &Service{ExternalTrafficPolicy: "Near"}}, "externalTrafficPolicy"},
		{"a policy inside", ProxySpec{Service: &Service{Type: ClusterIP, ExternalTrafficPolicy: "Local"}}, "externalTrafficPolicy"},
		{"a class without a balancer", ProxySpec{Service: &Service{Type: NodePort, LoadBalancerClass: "a"}}, "loadBalancerClass"},
		{"an annotation's key", ProxySpec{Service: &Service{Annotations: map[string]string{"a b": ""}}}, "annotations"},
		{"a node's label", ProxySpec{NodeSelector: map[string]string{"a": "b c"}}, "nodeSelector"},
		{"no time", ProxySpec{Drain: "soon"}, "spec.drain"},
		{"a day", ProxySpec{Drain: "24h"}, "spec.drain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.spec.Check()
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestUnder puts a Gateway's parameters over those of its class.
func TestUnder(t *testing.T) {
	class := ProxySpec{Replicas: number(3), Drain: "1m", Service: &Service{Type: ClusterIP}}
	got := class.under(ProxySpec{Autoscaling: &Autoscaling{MaxReplicas: 5}})
	if got.Replicas != nil || got.Autoscaling.MaxReplicas != 5 || got.Service.Type != ClusterIP {
		t.Errorf("%+v", got)
	}
	if d, err := got.DrainTime(time.Hour); err != nil || d != time.Minute {
		t.Errorf("drain %v, %v", d, err)
	}
}
