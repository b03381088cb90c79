package kube

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/internal/resource"
)

// lookMost bounds the Secrets that one Look asks for.
const lookMost = 32

// Decode decodes an object that is not in the API server yet as those are that
// are there. What is of no kind or version that is read is nothing.
func (s *Source) Decode(json []byte) resource.Result {
	u := &unstructured.Unstructured{}
	if u.UnmarshalJSON(json) != nil {
		return resource.Result{}
	}
	gvk := schema.FromAPIVersionAndKind(u.GetAPIVersion(), u.GetKind())
	if !slices.ContainsFunc(s.cfg.Kinds, func(k resource.Kind) bool {
		return k.Group == gvk.Group && k.Kind == gvk.Kind && slices.Contains(k.Versions, gvk.Version) && s.inScope(k, u.GetNamespace())
	}) {
		return resource.Result{}
	}
	return s.decoded(u)
}

// inScope reports whether objects of a kind are watched in a namespace.
func (s *Source) inScope(k resource.Kind, namespace string) bool {
	return slices.ContainsFunc(s.placesOf(k), func(p place) bool { return p.namespace == "" || p.namespace == namespace })
}

// Look returns the Secrets of keys that are there, without their bytes, in the
// namespaces where they may be read.
func (s *Source) Look(ctx context.Context, keys []resource.Key) []*resource.Object {
	f := &fetched{src: s, found: map[resource.Key]*entry{}, turns: make(chan struct{}, fetchers)}
	for _, k := range keys[:min(len(keys), lookMost)] {
		if _, ok := s.secrets.scope(k.Namespace, s.secrets.demand.Load()); ok {
			f.get(ctx, k)
		}
	}
	f.work.Wait()
	var out []*resource.Object
	for _, e := range f.found {
		if e.object != nil {
			out = append(out, e.object)
		}
	}
	return out
}
