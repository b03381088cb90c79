package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// object returns an object of the namespace n whose spec is JSON.
func object[T any](gk resource.GroupKind, name, file, text string) *resource.Object {
	spec := new(T)
	if err := json.Unmarshal([]byte(text), spec); err != nil {
		panic(err)
	}
	return &resource.Object{
		Key: resource.Key{GroupKind: gk, Namespace: "n", Name: name}, File: file, Spec: spec,
		Labels: map[string]string{resource.ServiceNameLabel: "s"},
	}
}

func svc(file, text string) *resource.Object {
	return object[resource.Service](resource.ServiceKind, "s", file, `{"spec":`+text+`}`)
}

func slice(name, text string) *resource.Object {
	return object[resource.EndpointSlice](resource.EndpointSliceKind, name, "", text)
}

// addresses returns the endpoints of an upstream, its own or those that are
// discovered.
func addresses(u *ir.Upstream, f *dialect.Fragment) string {
	endpoints := u.Endpoints
	for _, l := range f.Endpoints {
		if l.Name == u.Discovered {
			endpoints = append(endpoints, l.Endpoints...)
		}
	}
	var out []string
	for _, e := range endpoints {
		out = append(out, fmt.Sprintf("%s:%d", e.Host, e.Port))
	}
	return strings.Join(out, " ")
}

func TestEndpoints(t *testing.T) {
	const web = `{"ports":[{"name":"web","port":80,"targetPort":"http"}]}`
	const ports = `"ports":[{"name":"other","port":1},{"name":"web","port":8080}]`
	for _, tc := range []struct {
		name    string
		objects []*resource.Object
		want    string
	}{
		{"ready or not told", []*resource.Object{svc("", web), slice("1", `{`+ports+`,"endpoints":[
			{"addresses":["2.2.2.2"]},{"addresses":["1.1.1.1"],"conditions":{"ready":true}},{"addresses":["3.3.3.3"],"conditions":{"ready":false}}]}`)},
			"1.1.1.1:8080 2.2.2.2:8080"},
		{"draining only where none is ready", []*resource.Object{svc("", web), slice("1", `{`+ports+`,"endpoints":[
			{"addresses":["1.1.1.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},
			{"addresses":["2.2.2.2"],"conditions":{"ready":false,"serving":false,"terminating":true}}]}`)},
			"1.1.1.1:8080"},
		{"ready before draining", []*resource.Object{svc("", web), slice("1", `{`+ports+`,"endpoints":[
			{"addresses":["1.1.1.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},{"addresses":["2.2.2.2"]}]}`)},
			"2.2.2.2:8080"},
		{"named port differs by slice; doubles collapse", []*resource.Object{svc("", web),
			slice("1", `{`+ports+`,"endpoints":[{"addresses":["1.1.1.1"]}]}`),
			slice("2", `{"ports":[{"name":"web","port":9090}],"endpoints":[{"addresses":["1.1.1.1"]}]}`),
			slice("3", `{`+ports+`,"endpoints":[{"addresses":["1.1.1.1"]}]}`)},
			"1.1.1.1:8080 1.1.1.1:9090"},
		{"a slice without the port", []*resource.Object{svc("", web), slice("1", `{"ports":[{"name":"x","port":1}],"endpoints":[{"addresses":["1.1.1.1"]}]}`)}, ""},
		{"no slices, from the API", []*resource.Object{svc("", `{"clusterIP":"10.0.0.9","ports":[{"name":"web","port":80}]}`)}, ""},
		{"no ready endpoints, from a file", []*resource.Object{svc("f", web), slice("1", `{`+ports+`,"endpoints":[]}`)}, ""},
		{"file: cluster IP", []*resource.Object{svc("f", `{"clusterIP":"10.0.0.9","ports":[{"port":80,"targetPort":8080}]}`)}, "10.0.0.9:80"},
		{"file: DNS name", []*resource.Object{svc("f", `{"ports":[{"port":80,"targetPort":8080}]}`)}, "s.n.svc.cluster.local:80"},
		{"file: headless", []*resource.Object{svc("f", `{"clusterIP":"None","ports":[{"port":80,"targetPort":8080}]}`)}, "s.n.svc.cluster.local:8080"},
		{"external name", []*resource.Object{svc("f", `{"type":"ExternalName","externalName":"api.example.com."}`)}, "api.example.com:80"},
	} {
		v := resource.NewView(resource.NewSet(tc.objects, nil))
		u, err := Upstream(v, Ref{"n", "s", 80}, Options{Dialect: "d"})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		f, _ := Lists().Translate(v, resource.Key{GroupKind: resource.ServiceKind, Namespace: "n", Name: "s"})
		if got := addresses(u, f); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
		if u.Name != "d:Service/n/s:80" {
			t.Errorf("%s: name %q", tc.name, u.Name)
		}
	}
}

func TestProtocol(t *testing.T) {
	tls := &ir.ClientTLS{}
	for _, tc := range []struct {
		port string
		tls  *ir.ClientTLS
		want ir.Protocol
		err  Fault
	}{
		{`"appProtocol":""`, nil, ir.ProtocolHTTP1, ""},
		{`"appProtocol":"HTTP"`, nil, ir.ProtocolHTTP1, ""},
		{`"appProtocol":"kubernetes.io/ws"`, nil, ir.ProtocolHTTP1, ""},
		{`"appProtocol":"kubernetes.io/h2c"`, nil, ir.ProtocolHTTP2, ""},
		{`"appProtocol":"kubernetes.io/wss"`, tls, ir.ProtocolHTTP1, ""},
		{`"appProtocol":"https"`, tls, ir.ProtocolHTTP1, ""},
		{`"appProtocol":"https"`, nil, "", UnsupportedProtocol},
		{`"appProtocol":"kubernetes.io/wss"`, nil, "", UnsupportedProtocol},
		{`"appProtocol":"mysql"`, nil, "", UnsupportedProtocol},
		{`"protocol":"UDP"`, nil, "", UnsupportedProtocol},
	} {
		v := resource.NewView(resource.NewSet([]*resource.Object{svc("f", `{"ports":[{"port":80,`+tc.port+`}]}`)}, nil))
		u, err := Upstream(v, Ref{"n", "s", 80}, Options{TLS: tc.tls})
		var fault Fault
		if e := (*Error)(nil); errors.As(err, &e) {
			fault = e.Fault
		}
		if fault != tc.err || (u != nil && u.Protocol != tc.want) {
			t.Errorf("%s: got %v, %v", tc.port, u, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		object *resource.Object
		ref    Ref
		want   string
	}{
		{"no Service", svc("f", `{}`), Ref{"n", "t", 80}, `no Service "t" in n`},
		{"no port", svc("f", `{"ports":[{"port":81}]}`), Ref{"n", "s", 80}, "Service n/s has no port 80"},
		{"an external name in a cluster", svc("", `{"type":"ExternalName","externalName":"api.example.com"}`), Ref{"n", "s", 80}, "Service n/s: type ExternalName is not followed in a cluster"},
		{"no external name", svc("f", `{"type":"ExternalName","externalName":"a/b"}`), Ref{"n", "s", 80}, `Service n/s: externalName "a/b" is no DNS name`},
	} {
		_, err := Upstream(resource.NewView(resource.NewSet([]*resource.Object{tc.object}, nil)), tc.ref, Options{})
		if e := (*Error)(nil); !errors.As(err, &e) || e.What != tc.want || e.Fault != NotFound || e.Remedy == "" {
			t.Errorf("%s: got %+v", tc.name, err)
		}
	}
}
