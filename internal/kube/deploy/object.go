package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

// fields is a piece of an object, as the API server takes it.
type fields = map[string]any

// The kinds that are made, by how the API server calls them.
var (
	serviceAccounts     = kind{schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, "ServiceAccount", false}
	services            = kind{schema.GroupVersionResource{Version: "v1", Resource: "services"}, "Service", false}
	deployments         = kind{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "Deployment", false}
	budgets             = kind{schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, "PodDisruptionBudget", false}
	autoscalers         = kind{schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, "HorizontalPodAutoscaler", false}
	networkPolicies     = kind{schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}, "NetworkPolicy", false}
	roleBindings        = kind{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}, "RoleBinding", false}
	clusterRoleBindings = kind{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}, "ClusterRoleBinding", true}
)

// kinds returns all of them.
func kinds() []kind {
	return []kind{serviceAccounts, services, deployments, budgets, autoscalers, networkPolicies, roleBindings, clusterRoleBindings}
}

// kind is one kind that is made.
type kind struct {
	schema.GroupVersionResource
	name    string
	cluster bool
}

// objectKey identifies an object that is made.
type objectKey struct {
	kind            kind
	namespace, name string
}

// String returns "Service namespace/name".
func (k objectKey) String() string {
	return resource.Key{GroupKind: resource.GroupKind{Kind: k.kind.name}, Namespace: k.namespace, Name: k.name}.String()
}

// desired is an object as it is to be.
type desired struct {
	key    objectKey
	object fields
}

// objects returns what a Gateway runs on, in the order in which it is made.
func (p *plan) objects(cfg *Config) []desired {
	out := []desired{
		p.object(serviceAccounts, fields{"automountServiceAccountToken": false}),
		p.object(services, fields{"spec": p.service()}),
	}
	if p.guarded(cfg) { // before there are pods
		out = append(out, p.object(networkPolicies, fields{"spec": p.networkPolicy(cfg)}))
	}
	out = append(out,
		p.object(deployments, fields{"spec": p.deployment(cfg)}),
		p.object(budgets, fields{"spec": fields{
			"maxUnavailable": int64(1), "selector": fields{"matchLabels": anyMap(p.selector())},
			// A pod that serves nothing holds up no node's end.
			"unhealthyPodEvictionPolicy": "AlwaysAllow",
		}}),
	)
	if p.infra.Proxy.Replicas == nil {
		out = append(out, p.object(autoscalers, fields{"spec": p.autoscaler()}))
	}
	return out
}

// object puts the metadata to an object of a Gateway.
func (p *plan) object(k kind, rest fields) desired {
	o := fields{
		"apiVersion": k.GroupVersion().String(), "kind": k.name,
		"metadata": fields{
			"name": p.name, "namespace": p.gateway.Namespace,
			"labels": anyMap(p.labels()),
			"ownerReferences": []any{fields{
				"apiVersion": parent.Group + "/v1", "kind": parent.GatewayKind.Kind,
				"name": p.gateway.Name, "uid": p.gateway.UID,
				"controller": true, "blockOwnerDeletion": false,
			}},
		},
	}
	annotations := maps.Clone(p.infra.Annotations)
	if s := p.infra.Proxy.Service; k == services && s != nil && len(s.Annotations) > 0 {
		if annotations == nil {
			annotations = map[string]string{}
		}
		maps.Copy(annotations, s.Annotations)
	}
	if len(annotations) > 0 {
		o["metadata"].(fields)["annotations"] = anyMap(annotations)
	}
	maps.Copy(o, rest)
	return desired{objectKey{k, p.gateway.Namespace, p.name}, o}
}

// serviceType returns the type of a Gateway's Service.
func (p *plan) serviceType() string {
	if s := p.infra.Proxy.Service; s != nil && s.Type != "" {
		return s.Type
	}
	return infrastructure.LoadBalancer
}

func (p *plan) service() fields {
	kind := p.serviceType()
	out := fields{"type": kind, "selector": anyMap(p.selector()), "ports": p.servicePorts()}
	s := p.infra.Proxy.Service
	if s == nil {
		s = &infrastructure.Service{}
	}
	if s.ExternalTrafficPolicy != "" {
		out["externalTrafficPolicy"] = s.ExternalTrafficPolicy
	}
	if s.LoadBalancerClass != "" {
		out["loadBalancerClass"] = s.LoadBalancerClass
	}
	if len(p.static) > 0 {
		if kind == infrastructure.LoadBalancer {
			out["loadBalancerIP"] = p.static[0]
		} else {
			out["clusterIP"] = p.static[0]
		}
	}
	return out
}

// servicePorts returns at least one port: there is no Service without.
func (p *plan) servicePorts() []any {
	list := p.ports
	if len(list) == 0 {
		list = portsOf([]int{80})
	}
	var out []any
	for _, q := range list {
		out = append(out, fields{
			"name": fmt.Sprintf("port-%d", q.number), "port": int64(q.number), "targetPort": int64(q.target), "protocol": "TCP",
		})
	}
	return out
}

// scale returns between how many pods load decides.
func (p *plan) scale() (least, most, cpu int64) {
	a := p.infra.Proxy.Autoscaling
	if a == nil {
		a = &infrastructure.Autoscaling{MaxReplicas: 10}
	}
	least = int64(cmp.Or(a.MinReplicas, min(2, a.MaxReplicas)))
	return least, int64(a.MaxReplicas), int64(cmp.Or(a.CPU, 80))
}

func (p *plan) autoscaler() fields {
	least, most, cpu := p.scale()
	return fields{
		"scaleTargetRef": fields{"apiVersion": "apps/v1", "kind": "Deployment", "name": p.name},
		"minReplicas":    least, "maxReplicas": most,
		"metrics": []any{fields{"type": "Resource", "resource": fields{
			"name": "cpu", "target": fields{"type": "Utilization", "averageUtilization": cpu},
		}}},
	}
}

// bindings returns what lets the pods of all Gateways read. It is not owned by
// one of them: their subjects are in many namespaces.
func bindings(cfg *Config, plans []*plan, needs secretNeeds) []desired {
	everyone := func(*plan) bool { return true }
	out := []desired{binding(cfg, "-read-cluster", "", plans, everyone)}
	for _, n := range namespacesOf(cfg.Namespaces) {
		out = append(out, binding(cfg, "-read", n, plans, everyone))
	}
	for _, n := range secretPlaces(cfg) {
		out = append(out, binding(cfg, "-read-secrets", n, plans, func(p *plan) bool {
			return n == "" || n == p.gateway.Namespace || needs.has(p.id(), n)
		}))
	}
	return slices.DeleteFunc(out, func(d desired) bool { return d.object == nil })
}

// binding binds a ClusterRole, in a namespace or in all, to the pods of the
// Gateways that it is for; for none there is none.
func binding(cfg *Config, role, namespace string, plans []*plan, isFor func(*plan) bool) desired {
	var subjects []any
	for _, p := range plans {
		if isFor(p) {
			subjects = append(subjects, fields{"kind": "ServiceAccount", "namespace": p.gateway.Namespace, "name": p.name})
		}
	}
	if len(subjects) == 0 {
		return desired{}
	}
	k := roleBindings
	if namespace == "" {
		k = clusterRoleBindings
	}
	name := cfg.Roles + "-data-planes" + role
	meta := fields{"name": name, "labels": fields{ownLabel: Manager, nameLabel: "postern"}}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	return desired{objectKey{k, namespace, name}, fields{
		"apiVersion": k.GroupVersion().String(), "kind": k.name, "metadata": meta, "subjects": subjects,
		"roleRef": fields{"apiGroup": k.Group, "kind": "ClusterRole", "name": cfg.Roles + role},
	}}
}

// secretPlaces returns the namespaces whose Secrets may be read; all of them
// are "".
func secretPlaces(cfg *Config) []string {
	if len(cfg.SecretNamespaces) == 0 {
		return nil
	}
	return namespacesOf(cfg.SecretNamespaces)
}

// namespacesOf returns a list's namespaces once each; all of them are "".
func namespacesOf(list []string) []string {
	if len(list) == 0 || slices.Contains(list, "*") {
		return []string{""}
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// anyMap returns m as a piece of an object.
func anyMap(m map[string]string) fields {
	out := make(fields, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
