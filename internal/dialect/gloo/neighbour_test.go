package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The neighbour is as much of the Gateway API as options attach to: Gateways
// with listeners, and HTTPRoutes of prefixes.

type apiGateway struct {
	Spec struct {
		GatewayClassName string `json:"gatewayClassName"`
		Listeners        []struct {
			Name     string `json:"name"`
			Port     int    `json:"port"`
			Protocol string `json:"protocol"`
		} `json:"listeners"`
	} `json:"spec"`
}

type apiRoute struct {
	Spec struct {
		ParentRefs []ref     `json:"parentRefs"`
		Rules      []apiRule `json:"rules"`
	} `json:"spec"`
}

type apiRule struct {
	Prefix       string   `json:"prefix"`
	RouteOptions []string `json:"routeOptions"`
	Upstream     *ref     `json:"upstream"`
}

func knownKinds() []resource.Kind {
	kinds := append(resource.CoreKinds(), New().Kinds...)
	return append(kinds,
		resource.Kind{GroupKind: apiGatewayKind, Versions: []string{"v1"}, Plural: "gateways", New: func() any { return new(apiGateway) }},
		resource.Kind{GroupKind: httpRouteKind, Versions: []string{"v1"}, Plural: "httproutes", New: func() any { return new(apiRoute) }},
	)
}

func gatewayAPI() dialect.Dialect {
	return dialect.Dialect{
		Name: "neighbour",
		Roots: func(v *resource.View) (out []resource.Key) {
			for _, gk := range []resource.GroupKind{apiGatewayKind, httpRouteKind} {
				for _, o := range v.All(gk) {
					out = append(out, o.Key)
				}
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			f := &dialect.Fragment{}
			o := v.Get(root.GroupKind, root.Namespace, root.Name)
			switch spec := o.Spec.(type) {
			case *apiGateway:
				for _, l := range spec.Spec.Listeners {
					whole := dialect.TargetOf(root)
					section := whole
					section.Section = l.Name
					f.Listeners = append(f.Listeners, &dialect.Listener{
						Listener: ir.Listener{Name: root.Namespace + "/" + root.Name + "/" + l.Name, Port: l.Port, Origin: o.Origin("spec")},
						Targets:  []dialect.Target{section, whole}, Owner: root,
					})
				}
			case *apiRoute:
				f.Hosts = []*dialect.VirtualHost{apiHost(v, o, spec)}
			}
			return f, status.Report{}
		},
	}
}

func apiHost(v *resource.View, o *resource.Object, s *apiRoute) *dialect.VirtualHost {
	h := &dialect.VirtualHost{Hostnames: []string{"*"}, Owner: o.Key, Origin: o.Origin("")}
	for _, p := range s.Spec.ParentRefs {
		_, gw := resource.Spec[apiGateway](v, apiGatewayKind, o.Namespace, p.Name)
		if gw == nil {
			continue
		}
		for _, l := range gw.Spec.Listeners {
			h.Listeners = append(h.Listeners, o.Namespace+"/"+p.Name+"/"+l.Name)
		}
	}
	for _, r := range s.Spec.Rules {
		rt := &dialect.Route{
			Route: ir.Route{
				Name: o.Key.String(), Origin: o.Origin("spec.rules"),
				Matches: []ir.Match{{Path: ir.PathMatch{Kind: ir.PathSegments, Value: r.Prefix}}},
				Action:  ir.Action{Direct: &ir.Direct{Status: 200}},
			},
			Targets: []dialect.Target{dialect.TargetOf(o.Key)}, Owner: o.Key,
		}
		if r.Upstream != nil {
			rt.Action = ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: upstreamName(r.Upstream.in(o.Namespace)), Weight: 1}}}}
		}
		for _, n := range r.RouteOptions {
			target := dialect.Target{GroupKind: routeOptionKind, Namespace: o.Namespace, Name: n}
			rt.References = append(rt.References, dialect.Reference{Target: target, Origin: o.Origin("spec.rules")})
		}
		h.Routes = append(h.Routes, rt)
	}
	return h
}
