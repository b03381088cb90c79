package dialect

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// toy is a dialect whose routes read one policy by name and all gateways.
func toy(calls *int) Dialect {
	return Dialect{
		Name: "toy",
		Roots: func(v *resource.View) []resource.Key {
			var out []resource.Key
			for _, o := range v.All(routeGK) {
				out = append(out, o.Key)
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*Fragment, status.Report) {
			*calls++
			o := v.Get(routeGK, root.Namespace, root.Name)
			name := fmt.Sprint(o.Spec, " ", len(v.In(gatewayGK, "ns")))
			if p := v.Get(policyGK, "ns", o.Spec.(string)); p != nil {
				name += " " + p.Spec.(string)
			}
			return &Fragment{Upstreams: []*ir.Upstream{{Name: root.Name + " " + name}}}, status.Report{}
		},
	}
}

func TestTranslatorRepeatsOnlyWhatAChangeConcerns(t *testing.T) {
	object := func(gk resource.GroupKind, name, spec string) *resource.Object {
		return &resource.Object{Key: key(gk, name), Spec: spec}
	}
	set := resource.NewSet([]*resource.Object{
		object(routeGK, "a", "p"), object(routeGK, "b", "q"), object(policyGK, "p", "1"),
	}, nil)
	calls := 0
	tr := NewTranslator([]Dialect{toy(&calls)})
	tr.Translate(set)
	for _, tc := range []struct {
		name    string
		changed []*resource.Object
		removed []resource.Key
		want    int
	}{
		{"nothing", nil, nil, 0},
		{"a policy that one route reads", []*resource.Object{object(policyGK, "p", "2")}, nil, 1},
		{"a policy whose absence one route saw", []*resource.Object{object(policyGK, "q", "1")}, nil, 1},
		{"a policy that nobody reads", []*resource.Object{object(policyGK, "x", "1")}, nil, 0},
		{"a route", []*resource.Object{object(routeGK, "a", "x")}, nil, 1},
		{"a new route", []*resource.Object{object(routeGK, "c", "x")}, nil, 1},
		{"a removed route", nil, []resource.Key{key(routeGK, "c")}, 0},
		{"a list that all routes read", []*resource.Object{object(gatewayGK, "g", "")}, nil, 2},
	} {
		set = set.With(tc.changed, tc.removed)
		if _, _, done := tr.Translate(set); done != tc.want {
			t.Errorf("%s: %d translations, want %d", tc.name, done, tc.want)
		}
	}
}

func TestTranslatorIsTheSameFromNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	calls := 0
	kept := NewTranslator([]Dialect{toy(&calls)})
	set := resource.NewSet(nil, nil)
	kinds := []resource.GroupKind{gatewayGK, routeGK, policyGK}
	for step := range 500 {
		k := key(kinds[rng.IntN(3)], fmt.Sprint(rng.IntN(6)))
		if rng.IntN(3) == 0 {
			set = set.With(nil, []resource.Key{k})
		} else {
			set = set.With([]*resource.Object{{Key: k, Spec: fmt.Sprint(rng.IntN(6))}}, nil)
		}
		got, _, _ := kept.Translate(set)
		want, _, _ := NewTranslator([]Dialect{toy(&calls)}).Translate(set)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("step %d: (-new +kept):\n%s", step, diff)
		}
	}
}
