package kube

import (
	"context"
	"errors"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// LeaseName is the Lease that the replicas of one installation share.
const LeaseName = "postern-leader"

// leases is where Leases are in the API.
var leases = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

// lease is a Lease in the hands of one replica. It is for one goroutine.
type lease struct {
	api        dynamic.ResourceInterface
	namespaces dynamic.ResourceInterface
	log        *slog.Logger
	namespace  string
	name       string
	identity   string
	duration   time.Duration

	seen    string    // the version that was seen last
	changed time.Time // when that was seen first
	lost    bool      // another holds it
	said    string    // why it cannot be had, as it was told
}

func newLease(l Leader) (*lease, error) {
	cfg := rest.CopyConfig(l.Client)
	cfg.UserAgent = userAgent
	cfg.QPS = -1
	cfg.Timeout = max(l.Lease/3, time.Second)
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &lease{
		api: client.Resource(leases).Namespace(l.Namespace), log: l.Log,
		namespaces: client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}),
		namespace:  l.Namespace, name: l.Name, identity: l.Identity, duration: l.Lease,
	}, nil
}

// String returns "namespace/name".
func (b *lease) String() string { return b.namespace + "/" + b.name }

// take obtains or renews the lease, and reports whether it is ours now.
func (b *lease) take(ctx context.Context) bool {
	err := b.try(ctx)
	if ctx.Err() == nil || err == nil {
		b.tell(err)
	}
	return err == nil
}

// errHeld says that another replica is the leader.
var errHeld = errors.New("another replica holds the lease")

func (b *lease) try(ctx context.Context) error {
	there, err := b.api.Get(ctx, b.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		b.lost = false
		return b.create(ctx)
	}
	if err != nil {
		return err
	}
	if v := there.GetResourceVersion(); v != b.seen {
		b.seen, b.changed = v, time.Now()
	}
	holder, _, _ := unstructured.NestedString(there.Object, "spec", "holderIdentity")
	if holder != "" && holder != b.identity && time.Since(b.changed) < b.patience() {
		b.lost = true
		return errHeld
	}
	b.lost = false
	_, err = b.api.Update(ctx, b.made(there), metav1.UpdateOptions{FieldManager: userAgent})
	return err
}

// patience is for how long a lease that another holds is left to him after it
// was seen to change: longer than he leads without renewing it, and shorter
// than the lease, since we see it late and must look again to take it.
func (b *lease) patience() time.Duration { return b.duration * 3 / 4 }

// left is how long it takes until a lease that another holds may be taken,
// unless it changes; false: nothing says when to try again.
func (b *lease) left() (time.Duration, bool) {
	d := b.patience() - time.Since(b.changed)
	return d, b.lost && d > 0
}

// create makes the lease, and its namespace too where that is missing and we
// may: whoever runs one gateway by hand has installed nothing.
func (b *lease) create(ctx context.Context) error {
	_, err := b.api.Create(ctx, b.made(nil), metav1.CreateOptions{FieldManager: userAgent})
	if !apierrors.IsNotFound(err) {
		return err
	}
	place := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": b.namespace},
	}}
	if _, failed := b.namespaces.Create(ctx, place, metav1.CreateOptions{FieldManager: userAgent}); failed != nil {
		return err // which tells what is missing
	}
	_, err = b.api.Create(ctx, b.made(nil), metav1.CreateOptions{FieldManager: userAgent})
	return err
}

// made returns the lease as ours, in place of what is there; nil: nothing.
func (b *lease) made(there *unstructured.Unstructured) *unstructured.Unstructured {
	now := time.Now().UTC().Format(microTime)
	seconds := max(int64(b.duration.Seconds()), 1)
	if there == nil {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": leases.Group + "/" + leases.Version, "kind": "Lease",
			"metadata": map[string]any{"namespace": b.namespace, "name": b.name},
			"spec": map[string]any{
				"holderIdentity": b.identity, "leaseDurationSeconds": seconds, "leaseTransitions": int64(0),
				"acquireTime": now, "renewTime": now,
			},
		}}
	}
	u := there.DeepCopy()
	spec, _ := u.Object["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
		u.Object["spec"] = spec
	}
	if spec["holderIdentity"] != b.identity {
		n, _ := spec["leaseTransitions"].(int64)
		spec["leaseTransitions"], spec["acquireTime"], spec["holderIdentity"] = n+1, now, b.identity
	}
	spec["leaseDurationSeconds"], spec["renewTime"] = seconds, now
	return u
}

// release gives the lease back, if it is ours, so that nobody need wait.
func (b *lease) release(ctx context.Context) {
	there, err := b.api.Get(ctx, b.name, metav1.GetOptions{})
	if err != nil {
		return // it will end by itself
	}
	holder, _, _ := unstructured.NestedString(there.Object, "spec", "holderIdentity")
	if holder != b.identity || unstructured.SetNestedField(there.Object, "", "spec", "holderIdentity") != nil {
		return
	}
	_, _ = b.api.Update(ctx, there, metav1.UpdateOptions{FieldManager: userAgent}) // likewise
}

// tell tells why the lease cannot be had, once for each reason.
func (b *lease) tell(err error) {
	why := ""
	switch {
	case err == nil, errors.Is(err, errHeld), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err): // another was faster
	case apierrors.IsNotFound(err):
		why = "its namespace does not exist: create it, or name another in --leader-election-namespace"
	case apierrors.IsUnauthorized(err):
		why = "the API server does not accept our credential"
	case apierrors.IsForbidden(err):
		why = "it is not allowed: grant get, create and update of leases there, or name another namespace in --leader-election-namespace"
	default:
		why = "the API server does not answer"
	}
	if why != b.said && why != "" {
		b.log.Warn("no leader can be elected, so no status is written", "lease", b.String(), "because", why, "error", err)
	}
	b.said = why
}
