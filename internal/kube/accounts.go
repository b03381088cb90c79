package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Labels of what is made for a Gateway: those of the Gateway API
// (https://gateway-api.sigs.k8s.io/geps/gep-1762), and the one by which we know
// our own.
const (
	gatewayLabel = "gateway.networking.k8s.io/gateway-name"
	classLabel   = "gateway.networking.k8s.io/gateway-class-name"
	ownLabel     = "app.kubernetes.io/managed-by"
)

// Accounts keeps a ServiceAccount for each Gateway that one process serves at
// an address of the Gateway's own. Nothing runs under it: it bears the
// Gateway's infrastructure labels and annotations, by which other programs find
// what belongs to a Gateway, and goes with the Gateway, which owns it. An
// account of the same name that is not ours is never touched.
type Accounts struct {
	cfg    Config
	client dynamic.Interface
	latest atomic.Pointer[resource.Set]
	news   chan struct{}

	// Of one Run.
	kept map[resource.Key]string // by Gateway: what was applied
	told map[resource.Key]string // by Gateway: why it was not
}

var serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}

// NewAccounts returns Accounts. It connects to nothing yet.
func NewAccounts(cfg Config) (*Accounts, error) {
	cfg.Rate, cfg.Resync = defaultRate, defaultResync
	client, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	return &Accounts{cfg: cfg, client: client, news: make(chan struct{}, 1)}, nil
}

// Offer makes a Set the one whose Gateways have accounts. It takes no time.
func (a *Accounts) Offer(set *resource.Set, _ *status.Ledger, _ status.News) {
	if set == nil {
		return
	}
	a.latest.Store(set)
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// Run keeps the accounts until ctx ends. It may be called again, and never
// twice at once. What the API server refuses is tried again with the next
// change, and at the next look at everything.
func (a *Accounts) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, logr.Discard())
	a.kept, a.told = map[resource.Key]string{}, map[resource.Key]string{}
	resync := time.NewTicker(a.cfg.Resync)
	defer resync.Stop()
	for {
		if set := a.latest.Load(); set != nil {
			a.keep(ctx, resource.NewView(set))
		}
		select {
		case <-ctx.Done():
			return
		case <-resync.C:
			clear(a.kept)
		case <-a.news:
		}
	}
}

// keep applies the accounts that are not as they were applied last.
func (a *Accounts) keep(ctx context.Context, v *resource.View) {
	gateways := map[resource.Key]bool{}
	for _, gw := range v.All(parent.GatewayKind) {
		if !parent.Ours(v, gw) {
			continue
		}
		gateways[gw.Key] = true
		want := accountOf(gw)
		text, err := json.Marshal(want)
		if err != nil || a.kept[gw.Key] == string(text) {
			continue
		}
		if err := a.apply(ctx, want); err != nil {
			a.tell(ctx, gw.Key, err)
			continue
		}
		delete(a.told, gw.Key)
		a.kept[gw.Key] = string(text)
	}
	gone := func(k resource.Key, _ string) bool { return !gateways[k] }
	maps.DeleteFunc(a.kept, gone)
	maps.DeleteFunc(a.told, gone)
}

// apply makes an account, or brings ours up to date.
func (a *Accounts) apply(ctx context.Context, want *unstructured.Unstructured) error {
	api := a.client.Resource(serviceAccounts).Namespace(want.GetNamespace())
	live, err := api.Get(ctx, want.GetName(), metav1.GetOptions{})
	switch {
	case err == nil && live.GetLabels()[ownLabel] != userAgent:
		return fmt.Errorf("there is a ServiceAccount %q that is not ours", want.GetName())
	case err != nil && !apierrors.IsNotFound(err):
		return err
	}
	_, err = api.Apply(ctx, want.GetName(), want, metav1.ApplyOptions{FieldManager: userAgent, Force: true})
	return err
}

// tell tells why a Gateway has no account, once for each reason.
func (a *Accounts) tell(ctx context.Context, k resource.Key, err error) {
	why := err.Error()
	if ctx.Err() != nil || a.told[k] == why {
		return
	}
	a.told[k] = why
	a.cfg.Log.Warn("a Gateway has no ServiceAccount to bear its labels", "gateway", k.Namespace+"/"+k.Name, "error", err)
}

// accountOf returns the account of a Gateway.
func accountOf(gw *resource.Object) *unstructured.Unstructured {
	spec := &gw.Spec.(*parent.Gateway).Spec
	labels, annotations := map[string]any{}, map[string]any{}
	if infra := spec.Infrastructure; infra != nil {
		for k, value := range infra.Labels {
			labels[string(k)] = string(value)
		}
		for k, value := range infra.Annotations {
			annotations[string(k)] = string(value)
		}
	}
	class := string(spec.GatewayClassName)
	labels[gatewayLabel], labels[classLabel], labels[ownLabel] = short(gw.Name, 63), short(class, 63), userAgent
	meta := map[string]any{
		"namespace": gw.Namespace, "name": short(gw.Name+"-"+class, 253), "labels": labels,
		"ownerReferences": []any{map[string]any{
			"apiVersion": gw.Group + "/" + gw.Version, "kind": gw.Kind, "name": gw.Name, "uid": gw.UID,
		}},
	}
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": false,
	}}
}

// short cuts a name that is too long, and ends it with a digest of the whole,
// so that no two become one.
func short(name string, most int) string {
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := "-" + hex.EncodeToString(sum[:5])
	return strings.TrimRight(name[:most-len(end)], "-.") + end
}
