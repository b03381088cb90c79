package gloomesh

import (
	"fmt"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/resource"
)

// keySecret is a Secret with an API key, of a team.
func keySecret(i int, team string) *resource.Object {
	return &resource.Object{
		Key:    resource.Key{GroupKind: resource.SecretKind, Namespace: fmt.Sprint("ns", i%100), Name: fmt.Sprintf("key-%06d", i)},
		Labels: map[string]string{"team": team},
		Spec:   &resource.Secret{Type: "extauth.solo.io/apikey", Keys: []string{"api-key", "token"}},
	}
}

func manyObjects(secrets, routes, policies int) []*resource.Object {
	var out []*resource.Object
	for i := range secrets {
		out = append(out, keySecret(i, "a"))
	}
	gw := &virtualGateway{}
	gw.Spec.Listeners = []gatewayListener{{Port: &portRef{Number: 80}}}
	out = append(out, &resource.Object{Key: resource.Key{GroupKind: virtualGatewayKind, Namespace: "gw", Name: "gw"}, Spec: gw})
	for i := range routes / 10 {
		rt := &routeTable{}
		rt.Spec.Hosts = []string{fmt.Sprintf("h%d.example", i)}
		rt.Spec.VirtualGateways = []objectRef{{Name: "gw"}}
		for j := range 10 {
			rt.Spec.HTTP = append(rt.Spec.HTTP, httpRoute{Labels: map[string]string{"route": fmt.Sprint(i*10 + j)}, DirectResponse: &directResponse{Status: 200}})
		}
		out = append(out, &resource.Object{Key: resource.Key{GroupKind: routeTableKind, Namespace: "gw", Name: fmt.Sprint("rt", i)}, Spec: rt})
	}
	for i := range policies {
		p := &extAuthPolicy{}
		p.Spec.ApplyToRoutes = []routeSelector{{Route: &routeLabels{Labels: map[string]string{"route": fmt.Sprint(i)}}}}
		team := "none"
		if i == 0 {
			team = "a"
		}
		p.Spec.Config.GlooAuth = &glooauth.Spec{Configs: []glooauth.Config{{APIKeyAuth: &glooauth.APIKeyAuth{
			LabelSelector:       map[string]string{"team": team},
			HeadersFromMetadata: map[string]glooauth.MetadataEntry{"x-token": {Name: "token"}},
		}}}}
		out = append(out, &resource.Object{Key: resource.Key{GroupKind: extAuthPolicyKind, Namespace: "gw", Name: fmt.Sprint("p", i)}, Spec: p})
	}
	return out
}

// TestManySecrets holds a change of one Secret among many to one policy's
// translation; one that no policy follows repeats nothing.
func TestManySecrets(t *testing.T) {
	set := resource.NewSet(manyObjects(20_000, 100, 50), knownKinds())
	tr := dialect.NewTranslator([]dialect.Dialect{New(Options{})})
	tr.Translate(set)
	for _, tc := range []struct {
		name string
		team string
		want int
	}{{"one that a policy follows", "a", 1}, {"one that loses its label", "b", 1}, {"one that nobody follows", "c", 0}} {
		set = set.With([]*resource.Object{keySecret(5, tc.team)}, nil)
		start := time.Now()
		if _, _, done := tr.Translate(set); done != tc.want {
			t.Errorf("%s: %d translations, want %d", tc.name, done, tc.want)
		}
		t.Logf("%s: %v", tc.name, time.Since(start))
	}
}

// BenchmarkSecretChange is a change of one Secret among 100,000.
func BenchmarkSecretChange(b *testing.B) {
	set := resource.NewSet(manyObjects(100_000, 100, 50), knownKinds())
	tr := dialect.NewTranslator([]dialect.Dialect{New(Options{})})
	tr.Translate(set)
	for b.Loop() {
		b.StopTimer()
		set = set.With([]*resource.Object{keySecret(5, "a")}, nil)
		b.StartTimer()
		tr.Translate(set)
	}
}

// BenchmarkTableChange is a change of one RouteTable among 100, which 200
// policies look at.
func BenchmarkTableChange(b *testing.B) {
	objects := manyObjects(0, 1000, 200)
	set := resource.NewSet(objects, knownKinds())
	tr := dialect.NewTranslator([]dialect.Dialect{New(Options{})})
	tr.Translate(set)
	var table *resource.Object
	for _, o := range objects {
		if o.GroupKind == routeTableKind {
			table = o
		}
	}
	for b.Loop() {
		n := *table
		set = set.With([]*resource.Object{&n}, nil)
		tr.Translate(set)
	}
}
