package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

// memo is an object as it was asked for, and as the API server then had it.
// While both are the same there is nothing to do.
type memo struct{ asked, had string }

// write makes what is missing, puts right what differs, and deletes what is
// wanted no more. What fails is told in errs, by Gateway, and the rest goes on.
// It reports whether all is as it should be.
func (d *Deployer) write(ctx context.Context, set *resource.Set, plans []*plan, errs map[string]error) bool {
	good := true
	wanted := map[objectKey]bool{}
	// Before the pods, which serve nothing until they may read.
	for _, o := range bindings(&d.cfg, plans, d.secrets) {
		wanted[o.key] = true
		if err := d.ensure(ctx, o, nil); err != nil {
			good = false
			d.cfg.Log.Warn("the data planes may not read what they need", "error", err)
		}
	}
	for _, p := range plans {
		if p.frozen {
			continue
		}
		for _, o := range p.objects(&d.cfg) {
			wanted[o.key] = true
			if err := d.ensure(ctx, o, p); err != nil {
				good, errs[p.id()] = false, errors.Join(errs[p.id()], err)
			}
		}
	}
	for k, o := range d.live.all() {
		if wanted[k] || !d.ended(set, plans, k, o) {
			continue
		}
		if err := d.remove(ctx, k, o); err != nil {
			good = false
			d.cfg.Log.Warn("what no Gateway runs on is still there", "error", err)
		}
	}
	return good
}

// ended reports whether an object that nobody wants is to be deleted. What a
// deleted Gateway owned goes with it, or stays if that was asked for; what one
// with wrong parameters runs on stays.
func (d *Deployer) ended(set *resource.Set, plans []*plan, k objectKey, o *unstructured.Unstructured) bool {
	if k.kind == roleBindings || k.kind == clusterRoleBindings {
		return len(o.GetOwnerReferences()) == 0
	}
	for _, owner := range o.GetOwnerReferences() {
		if owner.Kind != parent.GatewayKind.Kind {
			continue
		}
		gw := set.Get(resource.Key{GroupKind: parent.GatewayKind, Namespace: o.GetNamespace(), Name: owner.Name})
		frozen := slices.ContainsFunc(plans, func(p *plan) bool { return p.frozen && p.gateway == gw })
		return gw != nil && gw.UID == string(owner.UID) && !frozen
	}
	return false
}

func (d *Deployer) resource(k objectKey) dynamic.ResourceInterface {
	return d.client.Resource(k.kind.GroupVersionResource).Namespace(k.namespace)
}

// ensure sees that an object is as it is to be. p is whose it is; nil: of no
// one Gateway.
func (d *Deployer) ensure(ctx context.Context, o desired, p *plan) error {
	asked, err := json.Marshal(o.object)
	if err != nil {
		return err
	}
	there := d.live.get(o.key)
	if there != nil && d.applied[o.key] == (memo{string(asked), digest(there)}) {
		return nil
	}
	if there == nil {
		there, err = d.resource(o.key).Get(ctx, o.key.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			there = nil
		} else if err != nil {
			return fmt.Errorf("look for %v: %w", o.key, err)
		}
	}
	if there != nil && !belongs(there, p) {
		return fmt.Errorf("%v is somebody else's, and is left as it is: give the Gateway another name", o.key)
	}
	if o.key.kind == deployments {
		if err := d.hold(ctx, o.key, p); err != nil {
			return err
		}
	}
	got, err := d.apply(ctx, o.key, asked, Manager)
	if err != nil {
		return fmt.Errorf("apply %v: %w", o.key, err)
	}
	d.applied[o.key] = memo{string(asked), digest(got)}
	if o.key.kind == deployments {
		return d.hold(ctx, o.key, p)
	}
	return nil
}

func (d *Deployer) apply(ctx context.Context, k objectKey, object []byte, manager string) (*unstructured.Unstructured, error) {
	force := true
	return d.resource(k).Patch(ctx, k.name, types.ApplyPatchType, object, metav1.PatchOptions{FieldManager: manager, Force: &force})
}

// belongs reports whether an object that is there is ours: made for the
// Gateway of p, or for all.
func belongs(o *unstructured.Unstructured, p *plan) bool {
	if p == nil {
		return o.GetLabels()[ownLabel] == Manager
	}
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool {
		return r.Kind == parent.GatewayKind.Kind && r.Name == p.gateway.Name && r.Controller != nil && *r.Controller
	})
}

// digest returns what an object says, without what changes by itself.
func digest(o *unstructured.Unstructured) string {
	said := fields{}
	for k, v := range o.Object {
		if k != "status" && k != "metadata" {
			said[k] = v
		}
	}
	said["uid"], said["labels"], said["annotations"] = o.GetUID(), o.GetLabels(), o.GetAnnotations()
	said["owners"] = o.GetOwnerReferences()
	text, err := json.Marshal(said)
	if err != nil {
		return ""
	}
	return string(text)
}

// remove deletes an object, as it was seen.
func (d *Deployer) remove(ctx context.Context, k objectKey, o *unstructured.Unstructured) error {
	uid := o.GetUID()
	behind := metav1.DeletePropagationBackground
	err := d.resource(k).Delete(ctx, k.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &behind})
	delete(d.applied, k)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %v: %w", k, err)
	}
	return nil
}
