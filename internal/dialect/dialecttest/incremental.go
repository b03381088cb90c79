package dialecttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Incremental changes a set at random, out of the objects of all cases,
// and holds every state's result against one made from nothing: a translation
// that read something without the View's knowledge would differ.
func (s *Suite) Incremental(t *testing.T) {
	pool := s.allObjects(t)
	random := rand.New(rand.NewPCG(1, 2))
	translator, merger := dialect.NewTranslator(s.Dialects), new(dialect.Merger)
	set := resource.NewSet(nil, s.Kinds)
	repeated, total, pods := 0, 0, 0
	for n := range 300 {
		slice := slice(random, set)
		if n%3 > 0 || slice == nil {
			slice, set = nil, change(random, set, pool)
		} else {
			set, pods = set.With([]*resource.Object{slice}, nil), pods+1
		}
		fragments, report, done := translator.Translate(set)
		if slice != nil && done > 1 {
			t.Errorf("other pods of one Service: %d translations were repeated, want that of its endpoints", done)
		}
		config, merged := merger.Merge(fragments)
		report.Join(merged)

		fresh, wantReport, all := dialect.NewTranslator(s.Dialects).Translate(set)
		want, wantMerged := new(dialect.Merger).Merge(fresh)
		wantReport.Join(wantMerged)
		repeated, total = repeated+done, total+all
		if d := cmp.Diff(text(t, want, wantReport), text(t, config, report)); d != "" {
			t.Fatalf("incremental differs (-from nothing +incremental):\n%s", d)
		}
	}
	if repeated >= total/2 {
		t.Errorf("%d of %d translations were repeated; what did not change should not be", repeated, total)
	}
	if pods < 5 {
		t.Errorf("pods of a Service changed %d times only", pods)
	}
}

// allObjects returns the objects of all cases; many share a key.
func (s *Suite) allObjects(t *testing.T) []*resource.Object {
	t.Helper()
	var pool []*resource.Object
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, _ := s.Objects(t, a)
		pool = append(pool, objects...)
	}
	return pool
}

// change puts a few objects into a set and takes a few out.
func change(random *rand.Rand, set *resource.Set, pool []*resource.Object) *resource.Set {
	var put []*resource.Object
	var removed []resource.Key
	seen := map[resource.Key]bool{}
	for range 1 + random.IntN(4) {
		o := pool[random.IntN(len(pool))]
		if seen[o.Key] {
			continue
		}
		seen[o.Key] = true
		if set.Get(o.Key) != nil && random.IntN(3) == 0 {
			removed = append(removed, o.Key)
		} else {
			put = append(put, relabelled(random, o))
		}
	}
	return set.With(put, removed)
}

// relabelled returns o, at times with another label and annotation.
func relabelled(random *rand.Rand, o *resource.Object) *resource.Object {
	if random.IntN(3) > 0 {
		return o
	}
	n, mark := *o, map[string]string{"version": fmt.Sprint(random.IntN(9))}
	n.Labels, n.Annotations = maps.Clone(mark), maps.Clone(mark)
	maps.Copy(n.Labels, o.Labels)
	maps.Copy(n.Annotations, o.Annotations)
	return &n
}

// slice returns other endpoints of a Service in the set; nil: it has none.
func slice(random *rand.Rand, set *resource.Set) *resource.Object {
	services := set.All(resource.ServiceKind)
	if len(services) == 0 {
		return nil
	}
	svc := services[random.IntN(len(services))]
	spec := &resource.EndpointSlice{AddressType: "IPv4"}
	for range random.IntN(3) {
		spec.Endpoints = append(spec.Endpoints, resource.Endpoint{Addresses: []string{fmt.Sprint("10.0.0.", random.IntN(9))}})
	}
	for _, p := range svc.Spec.(*resource.Service).Spec.Ports {
		spec.Ports = append(spec.Ports, resource.EndpointPort{Name: p.Name, Port: 8080 + random.IntN(2)})
	}
	return &resource.Object{
		Key:    resource.Key{GroupKind: resource.EndpointSliceKind, Namespace: svc.Namespace, Name: svc.Name + "-pods"},
		Labels: map[string]string{resource.ServiceNameLabel: svc.Name}, Spec: spec,
	}
}

func text(t *testing.T, config any, report status.Report) string {
	t.Helper()
	report.Sort()
	b, err := json.MarshalIndent([]any{config, report}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
