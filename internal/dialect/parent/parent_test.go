package parent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestIntersect(t *testing.T) {
	for _, tc := range []struct {
		name, listener, route, want string
	}{
		{"both any", "", "", "*"},
		{"listener's", "a.com", "", "a.com"},
		{"route's", "", "a.com b.com", "a.com b.com"},
		{"equal", "a.com", "a.com", "a.com"},
		{"different", "a.com", "b.com", ""},
		{"route within wildcard", "*.a.com", "x.a.com", "x.a.com"},
		{"several labels within wildcard", "*.a.com", "x.y.a.com", "x.y.a.com"},
		{"wildcard is not its own suffix", "*.a.com", "a.com", ""},
		{"suffix is by labels", "*.a.com", "xa.com", ""},
		{"listener within route's wildcard", "x.a.com", "*.a.com", "x.a.com"},
		{"narrower wildcard", "*.a.com", "*.b.a.com", "*.b.a.com"},
		{"wider wildcard", "*.b.a.com", "*.a.com", "*.b.a.com"},
		{"equal wildcards", "*.a.com", "*.a.com", "*.a.com"},
		{"listener once", "x.a.com", "*.a.com x.a.com", "x.a.com"},
	} {
		got := strings.Join(Intersect(tc.listener, strings.Fields(tc.route)), " ")
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestHostnames(t *testing.T) {
	for h, valid := range map[string]bool{
		"a": true, "a.b": true, "*.a": true, "a-b.c1": true,
		"": false, "*": false, "*.": false, "A.b": false, "a.b.": false, "a:80": false, "10.0.0.1": false,
		"a..b": false, "-a": false, "a.*.b": false, "*.*.a": false, "a b": false, "a\n": false, strings.Repeat("a", 254): false,
	} {
		if ValidHostname(h) != valid {
			t.Errorf("ValidHostname(%q) = %v", h, !valid)
		}
		if ValidPrecise(h) && strings.HasPrefix(h, "*") {
			t.Errorf("ValidPrecise(%q)", h)
		}
	}
}

// TestOrder lists matches from the first to the last.
func TestOrder(t *testing.T) {
	one := []ir.StringMatch{{Name: "a"}}
	two := []ir.StringMatch{{Name: "a"}, {Name: "b"}}
	list := []ir.Match{
		{Path: ir.PathMatch{Kind: ir.PathExact, Value: "/a/b"}},
		{Path: ir.PathMatch{Kind: ir.PathExact, Value: "/a"}},
		{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "/.*"}},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a/b"}},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Methods: []string{"GET"}, Headers: one},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Methods: []string{"GET"}},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Headers: two},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Headers: one, Query: one},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Headers: one},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}, Query: two},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/a"}},
		{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/"}, Headers: two},
		{},
	}
	for i := 1; i < len(list); i++ {
		if slices.Compare(Order(list[i-1]), Order(list[i])) >= 0 {
			t.Errorf("match %d does not come before match %d", i-1, i)
		}
	}
}

func grant(from, to string, name *gatewayv1.ObjectName) *resource.Object {
	return &resource.Object{
		Key: resource.Key{GroupKind: ReferenceGrantKind, Namespace: "b", Name: "g"},
		Spec: &ReferenceGrant{Spec: gatewayv1.ReferenceGrantSpec{
			From: []gatewayv1.ReferenceGrantFrom{{Group: Group, Kind: gatewayv1.Kind(from), Namespace: "a"}},
			To:   []gatewayv1.ReferenceGrantTo{{Kind: gatewayv1.Kind(to), Name: name}},
		}},
	}
}

func TestGranted(t *testing.T) {
	svc, other := gatewayv1.ObjectName("svc"), gatewayv1.ObjectName("other")
	faulty := grant("HTTPRoute", "Service", nil)
	faulty.Faults = []status.Problem{{}}
	for _, tc := range []struct {
		name      string
		grant     *resource.Object
		namespace string
		want      bool
	}{
		{"same namespace", nil, "b", true},
		{"no grant", nil, "a", false},
		{"all of a kind", grant("HTTPRoute", "Service", nil), "a", true},
		{"by name", grant("HTTPRoute", "Service", &svc), "a", true},
		{"another name", grant("HTTPRoute", "Service", &other), "a", false},
		{"another kind", grant("HTTPRoute", "Secret", nil), "a", false},
		{"from another kind", grant("Gateway", "Service", nil), "a", false},
		{"from another namespace", grant("HTTPRoute", "Service", nil), "c", false},
		{"not understood", faulty, "a", false},
	} {
		var objects []*resource.Object
		if tc.grant != nil {
			objects = append(objects, tc.grant)
		}
		v := resource.NewView(resource.NewSet(objects, nil))
		to := resource.Key{GroupKind: resource.ServiceKind, Namespace: "b", Name: "svc"}
		if got := Granted(v, HTTPRouteKind, tc.namespace, to); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func gateway(file string, listeners ...gatewayv1.Listener) *resource.Object {
	return &resource.Object{
		Key: resource.Key{GroupKind: GatewayKind, Namespace: "a", Name: "gw"}, File: file, Created: time.Unix(1, 0),
		Spec: &Gateway{Spec: gatewayv1.GatewaySpec{GatewayClassName: "class", Listeners: listeners}},
	}
}

func class(controller gatewayv1.GatewayController) *resource.Object {
	return &resource.Object{
		Key:  resource.Key{GroupKind: GatewayClassKind, Name: "class"},
		Spec: &GatewayClass{Spec: gatewayv1.GatewayClassSpec{ControllerName: controller}},
	}
}

// TestOurs holds that a Gateway of an API server is ours by its class alone,
// and that routes say nothing about those of others.
func TestOurs(t *testing.T) {
	http := gatewayv1.Listener{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}
	for _, tc := range []struct {
		name    string
		objects []*resource.Object
		foreign bool
	}{
		{"file", []*resource.Object{gateway("f.yaml", http)}, false},
		{"our class", []*resource.Object{gateway("", http), class(Controller)}, false},
		{"another class", []*resource.Object{gateway("", http), class("example.com/other")}, true},
		{"no class", []*resource.Object{gateway("", http)}, true},
		{"no Gateway", nil, true},
	} {
		v := resource.NewView(resource.NewSet(tc.objects, nil))
		route := &resource.Object{Key: resource.Key{GroupKind: HTTPRouteKind, Namespace: "a", Name: "r"}}
		var report status.Report
		got := Attach(v, Route{Object: route, Refs: []gatewayv1.ParentReference{{Name: "gw"}}, Field: "spec.parentRefs"}, &report)
		if got[0].Foreign != tc.foreign || got[0].Accepted == tc.foreign {
			t.Errorf("%s: %+v", tc.name, got[0])
		}
	}
}

// TestKinds holds that a route of another kind attaches by its own kind, or by
// the one that it becomes.
func TestKinds(t *testing.T) {
	other := resource.GroupKind{Group: "example.com", Kind: "ModelRoute"}
	group := gatewayv1.Group("example.com")
	byKind := gatewayv1.Listener{Name: "l", Port: 80, Protocol: gatewayv1.HTTPProtocolType, AllowedRoutes: &gatewayv1.AllowedRoutes{
		Kinds: []gatewayv1.RouteGroupKind{{Group: &group, Kind: "ModelRoute"}},
	}}
	plain := gatewayv1.Listener{Name: "l", Port: 80, Protocol: gatewayv1.HTTPProtocolType}
	for _, tc := range []struct {
		name     string
		listener gatewayv1.Listener
		kinds    []resource.GroupKind
		want     bool
	}{
		{"own kind listed", byKind, nil, true},
		{"own kind not listed", plain, nil, false},
		{"becomes an HTTPRoute", plain, []resource.GroupKind{other, HTTPRouteKind}, true},
	} {
		v := resource.NewView(resource.NewSet([]*resource.Object{gateway("f.yaml", tc.listener)}, []resource.Kind{{GroupKind: other}}))
		route := &resource.Object{Key: resource.Key{GroupKind: other, Namespace: "a", Name: "r"}, File: "f.yaml"}
		var report status.Report
		got := Attach(v, Route{Object: route, Kinds: tc.kinds, Refs: []gatewayv1.ParentReference{{Name: "gw"}}, Field: "spec.parentRefs"}, &report)
		if got[0].Accepted != tc.want {
			t.Errorf("%s: %+v", tc.name, got[0])
		}
	}
}
