package kube

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

// unread are types of Secrets that are never a gateway's: tokens of accounts,
// what pulls images, and what Helm keeps, which is most of the bytes in a
// cluster. The API server leaves them out.
var unread = []string{
	"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1",
	"kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson",
}

// secretFields selects the Secrets that a watch reads: one, or all but those
// of the types that are not read.
func secretFields(name string) string {
	var out []string
	if name != "" {
		out = append(out, "metadata.name="+name)
	}
	for _, t := range unread {
		out = append(out, "type!="+t)
	}
	return strings.Join(out, ",")
}

// fewSecrets is the most Secrets of one namespace that are watched each by its
// name; of more, the namespace is watched.
const fewSecrets = 8

// supplyLimit bounds how long a change waits for Secrets that it needs, and
// that the API server is slow to show: what needs them is closed meanwhile.
// The first state waits as long as it takes.
const supplyLimit = 3 * time.Second

// refillPause is how long it takes until bytes that could not be fetched are
// asked for again.
const refillPause = time.Second

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// secrets sees that the Secrets that translations read are there, and the
// bytes of no others. Apart from demand it is of the goroutine of Run.
type secrets struct {
	src    *Source
	demand atomic.Pointer[resource.Demand] // nil: nothing was translated yet
	// none says that no Secret's bytes are for us.
	none bool

	asked uint64 // the version of demand that was seen to
	ready bool   // the first state was supplied
	// held are the Secrets that were delivered: true with their bytes.
	held map[resource.Key]bool
	// short says that bytes are wanted that are not there; failed, that they
	// were asked for in vain.
	short, failed bool
	retry         atomic.Bool // it is time to ask again
	// since are the refs whose bytes came during the update that is applied.
	since map[secret.Ref]bool
}

func newSecrets(s *Source) *secrets {
	i := slices.IndexFunc(s.cfg.Kinds, func(k resource.Kind) bool { return k.GroupKind == resource.SecretKind })
	return &secrets{src: s, none: i < 0 || s.cfg.Kinds[i].KeepSecrets != nil, held: map[resource.Key]bool{}, since: map[secret.Ref]bool{}}
}

// wants reports whether a Secret's bytes are to be kept. It may be called by
// any goroutine.
func (s *secrets) wants(o *resource.Object) bool { return !s.none && s.demand.Load().Wants(o) }

// wantsAs is wants of a Secret that is not decoded.
func (s *secrets) wantsAs(u *unstructured.Unstructured) bool {
	k := resource.Key{GroupKind: resource.SecretKind, Namespace: u.GetNamespace(), Name: u.GetName()}
	return !s.none && s.demand.Load().WantsAs(k, u.GetLabels())
}

// take takes note of a Secret that is delivered.
func (s *secrets) take(k resource.Key, e *entry) {
	if k.GroupKind != resource.SecretKind {
		return
	}
	if e.object == nil {
		delete(s.held, k)
		return
	}
	s.held[k] = !e.lean
	if e.lean && s.wants(e.object) { // since it arrived
		s.short = true
	}
}

// put takes note of bytes that were put into the Store.
func (s *secrets) put(values map[secret.Ref]secret.Value) {
	for ref := range values {
		s.since[ref] = true
	}
}

// supplier returns the Supply of an update.
func (s *secrets) supplier(ctx context.Context, u source.Update) func(*resource.Demand) *source.Update {
	clear(s.since)
	if !s.src.reads(resource.SecretKind) {
		return nil
	}
	return func(d *resource.Demand) *source.Update { return s.supply(ctx, u, d) }
}

// supply brings what is held in line with what is wanted. It returns what takes
// the place of u, or nil if that stands.
func (s *secrets) supply(ctx context.Context, u source.Update, d *resource.Demand) *source.Update {
	s.demand.Store(d)
	if s.ready && s.asked == d.Version() && (!s.short || s.failed) {
		return nil
	}
	s.asked = d.Version()
	s.watch(ctx, d)
	out := source.Update{Dropped: u.Dropped}
	if more := s.src.update(); more != nil {
		out.Set = more.Set
		out.Dropped = append(out.Dropped, more.Dropped...)
	}
	out.Dropped = append(out.Dropped, s.shed()...)
	s.fetch(ctx)
	s.ready = true
	s.src.problems = s.src.allProblems()
	out.Problems = s.src.problems
	out.Dropped = slices.DeleteFunc(out.Dropped, func(ref secret.Ref) bool { return s.since[ref] })
	next := out
	out.Supply = func(d *resource.Demand) *source.Update { return s.supply(ctx, next, d) }
	return &out
}

// shed forgets the bytes of Secrets that are not wanted any more, and returns
// where they are.
func (s *secrets) shed() []secret.Ref {
	var out []secret.Ref
	for k, whole := range s.held {
		e := s.src.delivered[k]
		if !whole || s.wants(e.object) {
			continue
		}
		for ref := range e.refs {
			delete(s.since, ref)
			out = append(out, ref)
		}
		s.src.deliver(k, &entry{object: e.object, lean: true})
		s.held[k] = false
	}
	return out
}

// missing returns the Secrets whose bytes are wanted and not there, by
// namespace.
func (s *secrets) missing() map[string][]resource.Key {
	out := map[string][]resource.Key{}
	for k, whole := range s.held {
		if !whole && s.wants(s.src.delivered[k].object) {
			out[k.Namespace] = append(out[k.Namespace], k)
		}
	}
	return out
}
