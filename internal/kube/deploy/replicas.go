package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// scaleManager owns the replicas of Deployments that load decides of, until
// the autoscaler takes them over.
const scaleManager = Manager + "-scale"

// hold sees that a Deployment whose replicas load decides of has as many as
// its autoscaler would leave it. Without this it would begin with one; and one
// that had a fixed number would fall back to one when we let go of it.
func (d *Deployer) hold(ctx context.Context, k objectKey, p *plan) error {
	if p.infra.Proxy.Replicas != nil {
		return nil
	}
	o, err := d.resource(k).Get(ctx, k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %v: %w", k, err)
	}
	now, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	least, most, _ := p.scale()
	want := min(max(now, least), most)
	if want == now && !owns(o, Manager, "f:replicas") {
		return nil
	}
	text, err := json.Marshal(fields{
		"apiVersion": k.kind.GroupVersion().String(), "kind": k.kind.name,
		"metadata": fields{"name": k.name, "namespace": k.namespace, "uid": o.GetUID()},
		"spec":     fields{"replicas": want},
	})
	if err != nil {
		return err
	}
	if _, err := d.apply(ctx, k, text, scaleManager); err != nil {
		return fmt.Errorf("scale %v: %w", k, err)
	}
	return nil
}

// owns reports whether a manager owns a field of an object's spec.
func owns(o *unstructured.Unstructured, manager, field string) bool {
	for _, m := range o.GetManagedFields() {
		if m.Manager != manager || m.Operation != metav1.ManagedFieldsOperationApply || m.FieldsV1 == nil {
			continue
		}
		var owned map[string]map[string]json.RawMessage
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &owned) == nil {
			_, has := owned["f:spec"][field]
			return has
		}
	}
	return false
}
