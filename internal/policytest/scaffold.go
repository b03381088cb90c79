package policytest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// Where a test holds policies and nothing that they could guard, a scaffold is
// built for them: what they name as their target, with a route that is open to
// everybody. What they let pass is allowed, and they alone decide.

// policiesAlone reports whether the objects are policies, and what policies
// refer to. One object of another kind means that a whole configuration is
// tested: nothing is added to it.
func policiesAlone(objects []*resource.Object) bool {
	policies := 0
	for _, o := range objects {
		switch {
		case isPolicy(o.GroupKind):
			policies++
		case !isSupport(o.GroupKind):
			return false
		}
	}
	return policies > 0
}

func isPolicy(gk resource.GroupKind) bool {
	switch gk.Group {
	case "security.istio.io", "security.policy.gloo.solo.io", "trafficcontrol.policy.gloo.solo.io":
		return true
	case "gateway.solo.io":
		return strings.HasSuffix(gk.Kind, "Option")
	case "gateway.envoyproxy.io":
		return strings.HasSuffix(gk.Kind, "Policy")
	}
	return false
}

// isSupport tells the kinds that hold no route and no listener.
func isSupport(gk resource.GroupKind) bool {
	switch gk {
	case resource.SecretKind, resource.ConfigMapKind, resource.NamespaceKind, resource.ServiceKind, resource.EndpointSliceKind:
		return true
	}
	return gk == resource.GroupKind{Group: "enterprise.gloo.solo.io", Kind: "AuthConfig"} ||
		gk == resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "ReferenceGrant"}
}

// policy is what the policies of every family have in common, as far as it
// says whom they are for.
type policy struct {
	Spec struct {
		TargetRef     *target  `json:"targetRef"`
		TargetRefs    []target `json:"targetRefs"`
		ApplyToRoutes []struct {
			Route struct {
				Labels map[string]string `json:"labels"`
			} `json:"route"`
		} `json:"applyToRoutes"`
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
	} `json:"spec"`
}

type target struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Section   string `json:"sectionName"`
}

// wanted is what the policies ask for.
type wanted struct {
	gateways, routes []target
	labels           map[string]string
	labelled         bool
	// workload says that a policy is for workloads; selected are the labels of
	// one that all of them are for, and namespace is the first's.
	workload  bool
	selected  map[string]string
	namespace string
}

// ScaffoldFile is where a scaffold's objects are said to be written.
const ScaffoldFile = "(scaffold)"

// The names of what is built.
const (
	scaffoldName = "postern-test"
	scaffoldPort = 80
)

var errNoTarget = errors.New("the policies name nothing that they are for, so there is nothing to try them on: add their target, or a whole configuration")

// scaffold returns manifests of what the policies are for.
func scaffold(objects []*resource.Object, w *Workload) ([]any, error) {
	want := &wanted{labels: map[string]string{}, selected: map[string]string{}}
	for _, o := range objects {
		if isPolicy(o.GroupKind) {
			if err := want.add(o); err != nil {
				return nil, err
			}
		}
	}
	var docs []any
	docs = append(docs, want.gatewayAPI()...)
	if want.labelled {
		docs = append(docs, want.mesh()...)
	}
	if want.workload {
		docs = append(docs, want.istio(w)...)
	}
	if len(docs) == 0 {
		return nil, errNoTarget
	}
	return docs, nil
}

// written returns documents as JSON, each of its own.
func written(docs []any) ([]byte, error) {
	var out []byte
	for _, d := range docs {
		b, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "\n---\n"...), b...)
	}
	return out, nil
}

func (w *wanted) add(o *resource.Object) error {
	b, err := json.Marshal(o.Spec)
	if err != nil {
		return err
	}
	var p policy
	if err := json.Unmarshal(b, &p); err != nil {
		return nil // of a shape that has no targets of these kinds
	}
	targets := p.Spec.TargetRefs
	if p.Spec.TargetRef != nil {
		targets = append(targets, *p.Spec.TargetRef)
	}
	if o.Group == "security.istio.io" {
		w.forWorkload(o.Namespace, targets, p.Spec.Selector.MatchLabels)
		return nil
	}
	for _, t := range targets {
		if t.Namespace == "" {
			t.Namespace = o.Namespace
		}
		switch t.Kind {
		case "Gateway":
			w.gateways = with(w.gateways, t)
		case "HTTPRoute", "GRPCRoute":
			w.routes = with(w.routes, t)
		}
	}
	for _, a := range p.Spec.ApplyToRoutes {
		w.labelled = true
		maps.Copy(w.labels, a.Route.Labels)
	}
	return nil
}

// gatewayNameLabel is what a workload's pods are labelled with by the Gateway
// that it was made for.
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// forWorkload adds a policy that selects workloads by labels, or by the Gateway
// that they were made for.
func (w *wanted) forWorkload(namespace string, targets []target, labels map[string]string) {
	w.workload = true
	if w.namespace == "" || w.namespace == istioRoot {
		w.namespace = namespace
	}
	maps.Copy(w.selected, labels)
	for _, t := range targets {
		if t.Kind == "Gateway" {
			w.selected[gatewayNameLabel] = t.Name
		}
	}
}

func with(list []target, t target) []target {
	t.Group = ""
	if slices.Contains(list, t) {
		return list
	}
	return append(list, t)
}

type object = map[string]any

func made(apiVersion, kind, namespace, name string, spec object) object {
	return object{"apiVersion": apiVersion, "kind": kind, "metadata": object{"namespace": namespace, "name": name}, "spec": spec}
}

const gatewayAPI = "gateway.networking.k8s.io/v1"

// gatewayAPI builds the Gateways and HTTPRoutes that are named. The first
// Gateway is the one that requests come to.
func (w *wanted) gatewayAPI() []any {
	if len(w.gateways)+len(w.routes) == 0 {
		return nil
	}
	gateways := w.gateways
	if len(gateways) == 0 {
		gateways = []target{{Namespace: w.routes[0].Namespace, Name: scaffoldName}}
	}
	var docs []any
	for i, g := range gateways {
		listener := object{"name": orText(g.Section, "http"), "protocol": "HTTP", "port": scaffoldPort + i, "allowedRoutes": object{"namespaces": object{"from": "All"}}}
		docs = append(docs, made(gatewayAPI, "Gateway", g.Namespace, g.Name, object{"gatewayClassName": scaffoldName, "listeners": []any{listener}}))
	}
	routes := w.routes
	if len(routes) == 0 {
		routes = []target{{Namespace: gateways[0].Namespace, Name: scaffoldName}}
	}
	var parents []any
	for _, g := range gateways {
		parents = append(parents, object{"namespace": g.Namespace, "name": g.Name})
	}
	for _, r := range routes {
		rule := object{"filters": []any{object{"type": "RequestRedirect", "requestRedirect": object{"path": object{"type": "ReplaceFullPath", "replaceFullPath": "/"}}}}}
		if r.Section != "" {
			rule["name"] = r.Section
		}
		docs = append(docs, made(gatewayAPI, "HTTPRoute", r.Namespace, r.Name, object{"parentRefs": parents, "rules": []any{rule}}))
	}
	return docs
}

func orText(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// mesh builds a route of Gloo Mesh with all labels that are asked for.
func (w *wanted) mesh() []any {
	const version = "networking.gloo.solo.io/v2"
	gateway := object{"workloads": []any{object{"selector": object{}}}, "listeners": []any{object{"port": object{"number": scaffoldPort}, "http": object{}}}}
	route := object{"name": scaffoldName, "labels": w.labels, "matchers": []any{object{"uri": object{"prefix": "/"}}}, "directResponse": object{"status": http.StatusOK}}
	return []any{
		made(version, "VirtualGateway", scaffoldName, scaffoldName, gateway),
		made(version, "RouteTable", scaffoldName, scaffoldName, object{
			"hosts": []any{"*"}, "virtualGateways": []any{object{"namespace": scaffoldName, "name": scaffoldName}}, "http": []any{route},
		}),
	}
}

// istioRoot is the namespace of the mesh's own policies, unless it says another.
const istioRoot = "istio-system"

// istio builds a Gateway that runs on the workload, open to every host. Without
// a workload in the test, it is one that the policies select.
func (want *wanted) istio(w *Workload) []any {
	const version = "networking.istio.io/v1"
	namespace, labels := orText(want.namespace, "default"), want.selected
	if len(labels) == 0 {
		labels = map[string]string{"app": scaffoldName}
	}
	if w != nil {
		namespace = orText(w.Namespace, namespace)
		if len(w.Labels) > 0 {
			labels = w.Labels
		}
	}
	server := object{"port": object{"number": scaffoldPort, "name": "http", "protocol": "HTTP"}, "hosts": []any{"*"}}
	docs := []any{
		made(version, "Gateway", namespace, scaffoldName, object{"selector": labels, "servers": []any{server}}),
		made(version, "VirtualService", namespace, scaffoldName, object{
			"hosts": []any{"*"}, "gateways": []any{scaffoldName},
			"http": []any{object{"directResponse": object{"status": http.StatusOK}}},
		}),
	}
	return docs
}

// meshOf is the mesh's configuration among the objects, with what the test says
// of it; nil: it says nothing.
func meshOf(w *Workload, objects []*resource.Object) (any, error) {
	if w == nil || w.RootNamespace == "" && w.TrustDomain == "" && len(w.TrustDomainAliases) == 0 {
		return nil, nil
	}
	mesh := object{}
	for _, o := range objects {
		m, ok := o.Spec.(*resource.ConfigMap)
		if !ok || o.Namespace != istioRoot || o.Name != "istio" {
			continue
		}
		if err := yaml.Unmarshal([]byte(m.Data["mesh"]), &mesh); err != nil {
			return nil, errors.New("the mesh's configuration, ConfigMap istio-system/istio, is not YAML")
		}
	}
	if w.RootNamespace != "" {
		mesh["rootNamespace"] = w.RootNamespace
	}
	if w.TrustDomain != "" {
		mesh["trustDomain"] = w.TrustDomain
	}
	if len(w.TrustDomainAliases) > 0 {
		mesh["trustDomainAliases"] = w.TrustDomainAliases
	}
	text, err := json.Marshal(mesh)
	if err != nil {
		return nil, err
	}
	return object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"namespace": istioRoot, "name": "istio"},
		"data": object{"mesh": string(text)},
	}, nil
}

// openRoutes makes the scaffold's routes answer everybody whom the policies
// let pass. One that is closed, since a policy is broken, stays closed.
func openRoutes(c *ir.Config) {
	for _, l := range c.Listeners {
		for _, h := range l.Hosts {
			for i, r := range h.Routes {
				if r.Action.Closed != nil {
					continue
				}
				open := *r
				open.Action = ir.Action{Direct: &ir.Direct{Status: http.StatusOK}}
				h.Routes[i] = &open
			}
		}
	}
}
