package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// attempts at one object, each with its newest form.
const attempts = 5

// page is how many objects are listed at once.
const page = 250

// api returns the client of a kind in the version in which an object was read.
func (s *Statuses) api(k *kind, version, namespace string) dynamic.ResourceInterface {
	r := s.client.Resource(schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Plural})
	if k.Cluster || namespace == "" {
		return r
	}
	return r.Namespace(namespace)
}

// write brings the status of one object up to date.
func (s *Statuses) write(ctx context.Context, key resource.Key) error {
	k := s.kinds[key.GroupKind]
	o := s.latest.Load().set.Get(key)
	if o == nil || s.isMuted(key.GroupKind) { // a list will tell when it can be written
		return nil
	}
	s.read.Add(1)
	live, err := s.api(k, o.Version, key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if err != nil {
		return s.failed(ctx, k, key, err)
	}
	return s.put(ctx, k, live)
}

// put brings the status of an object up to date, whose newest known form is
// live. An object that was changed meanwhile is read again.
func (s *Statuses) put(ctx context.Context, k *kind, live *unstructured.Unstructured) error {
	key := resource.Key{GroupKind: k.GroupKind, Namespace: live.GetNamespace(), Name: live.GetName()}
	for n := 0; ; n++ {
		want, ok := s.wanted(k, key, live)
		if !ok {
			return nil
		}
		patch, err := json.Marshal([]any{
			map[string]any{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
			map[string]any{"op": "add", "path": "/status", "value": want},
		})
		if err != nil {
			return fmt.Errorf("status of %v: %w", key, err)
		}
		api := s.api(k, versionOf(live), key.Namespace)
		_, err = api.Patch(ctx, key.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: userAgent}, "status")
		if err == nil {
			s.written.Add(1)
			return nil
		}
		if !apierrors.IsConflict(err) || n >= attempts {
			return s.failed(ctx, k, key, err)
		}
		s.read.Add(1)
		if live, err = api.Get(ctx, key.Name, metav1.GetOptions{}); err != nil {
			return s.failed(ctx, k, key, err)
		}
	}
}

// versionOf returns the version in which an object was read.
func versionOf(u *unstructured.Unstructured) string { return u.GroupVersionKind().Version }

// wanted returns the status that an object should have; false: it has it, or
// nothing is known of it.
func (s *Statuses) wanted(k *kind, key resource.Key, live *unstructured.Unstructured) (map[string]any, bool) {
	now := s.latest.Load()
	o := now.set.Get(key)
	if o == nil || o.UID != string(live.GetUID()) { // gone, or made anew
		return nil, false
	}
	there, _ := live.Object["status"].(map[string]any)
	want := k.status(there, dialect.Standing{
		View: resource.NewView(now.set), Object: o, Outcomes: now.ledger.Outcomes(key.Status()), Problems: now.ledger.Problems(key.Status()),
		Attached: now.attached, Addresses: now.addresses,
		Reporter: s.cfg.Reporter, Now: s.cfg.Clock(),
	})
	if len(want) == 0 && len(there) == 0 {
		return nil, false
	}
	return want, !equality.Semantic.DeepEqual(want, there)
}

// failed says what is to be done about an error: nil, where nothing is.
func (s *Statuses) failed(ctx context.Context, k *kind, key resource.Key, err error) error {
	switch {
	case ctx.Err() != nil:
		return err
	case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
		return s.missing(ctx, k, key, err)
	case apierrors.IsForbidden(err):
		return s.mute(k.GroupKind, "it is not allowed: grant get, list and patch of its status", err)
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		s.cfg.Log.Error("the API server refuses a status", "object", key.String(), "error", err)
		return nil // until there is something else to be said
	}
	s.cfg.Log.Debug("a status was not written", "object", key.String(), "error", err)
	return fmt.Errorf("status of %v: %w", key, err)
}

// missing tells an object that is gone from a kind without statuses.
func (s *Statuses) missing(ctx context.Context, k *kind, key resource.Key, err error) error {
	o := s.latest.Load().set.Get(key)
	if o == nil {
		return nil
	}
	s.read.Add(1)
	if _, gone := s.api(k, o.Version, key.Namespace).Get(ctx, key.Name, metav1.GetOptions{}); gone != nil {
		return nil // the source will tell
	}
	return s.mute(k.GroupKind, "its definition has no status subresource", err)
}

// compare brings the statuses of all objects of a kind up to date.
func (s *Statuses) compare(ctx context.Context, gk resource.GroupKind) error {
	k := s.kinds[gk]
	all := s.latest.Load().set.All(gk)
	if len(all) == 0 {
		return nil
	}
	namespaces := []string{""}
	if !k.Cluster && len(s.cfg.Namespaces) > 0 && !slices.Contains(s.cfg.Namespaces, "*") {
		namespaces = s.cfg.Namespaces
	}
	for _, namespace := range namespaces {
		if err := s.compareIn(ctx, k, all[0].Version, namespace); err != nil {
			return err
		}
	}
	s.unmute(gk)
	return nil
}

// compareIn does so in one namespace, page by page; "" is all.
func (s *Statuses) compareIn(ctx context.Context, k *kind, version, namespace string) error {
	o := metav1.ListOptions{Limit: page}
	for {
		s.read.Add(1)
		list, err := s.api(k, version, namespace).List(ctx, o)
		if apierrors.IsNotFound(err) { // the kind is gone; the source will tell
			return nil
		}
		if err != nil {
			return s.failed(ctx, k, resource.Key{GroupKind: k.GroupKind, Namespace: namespace}, err)
		}
		if err := s.putAll(ctx, k, list.Items); err != nil {
			return err
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// putAll brings the statuses of a page up to date. Where the kind cannot be
// written, the first answer ends it; any other fault is that object's alone.
func (s *Statuses) putAll(ctx context.Context, k *kind, items []unstructured.Unstructured) error {
	next := make(chan *unstructured.Unstructured)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	for range min(writers, len(items)) {
		work.Go(func() {
			for u := range next {
				switch err := s.put(ctx, k, u); {
				case err == errMuted:
					stop(err)
				case err != nil && ctx.Err() == nil:
					s.objects.AddRateLimited(resource.Key{GroupKind: k.GroupKind, Namespace: u.GetNamespace(), Name: u.GetName()})
				}
			}
		})
	}
	for i := range items {
		if ctx.Err() != nil {
			break
		}
		next <- &items[i]
	}
	close(next)
	work.Wait()
	return context.Cause(ctx)
}
