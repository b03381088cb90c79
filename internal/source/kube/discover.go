package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/postern-gateway/postern/internal/resource"
)

// How often the kinds are looked at: rarely, soon after a definition has
// changed (the API server takes a moment to serve it), and with growing
// pauses while the API server is away.
const (
	lookRarely = 30 * time.Second
	lookAgain  = 250 * time.Millisecond
	lookSoon   = 5 // times, each twice as late as the one before
	awayLeast  = 250 * time.Millisecond
	awayMost   = 5 * time.Second
)

// lookLimit bounds one look, so that an API server that hangs is noticed.
const lookLimit = 10 * time.Second

// follow looks at the kinds, and watches those that are served, until ctx ends.
func (s *Source) follow(ctx context.Context) {
	wait, soon := awayLeast, 0
	for {
		err := s.survey(ctx)
		if ctx.Err() != nil {
			return
		}
		s.setAway(err)
		if err != nil {
			if !pause(ctx, wait) {
				return
			}
			wait = min(2*wait, awayMost)
			soon = lookSoon
			continue
		}
		wait = awayLeast
		next := lookRarely
		if soon > 0 {
			next = lookAgain << (lookSoon - soon)
			soon--
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.look:
			t.Stop()
			soon = lookSoon
			if !pause(ctx, lookAgain/5) { // and what else nudges now
				return
			}
		}
	}
}

// setAway takes note of whether the API server answers.
func (s *Source) setAway(err error) {
	s.mu.Lock()
	before, serves := s.away, "what it held last"
	if s.held != nil {
		serves = "nothing yet"
	}
	s.away = err
	s.mu.Unlock()
	switch was, is := awayFor(before), awayFor(err); {
	case was == is:
		return
	case err != nil:
		s.cfg.Log.Warn("the API server "+is, "served", serves, "error", err)
	default:
		s.cfg.Log.Info("the API server answers again")
	}
	s.report()
	s.signal()
}

// awayFor says in a few words why nothing is heard of the API server: empty, if
// there is no error.
func awayFor(err error) string {
	switch {
	case err == nil:
		return ""
	case apierrors.IsUnauthorized(err):
		return "does not accept our credential"
	}
	return "does not answer"
}

// survey asks which kinds are served, and brings the watches in line.
func (s *Source) survey(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	served, err := s.api.discover(limited)
	if err != nil {
		return err
	}
	unsure := false
	for _, k := range s.cfg.Kinds {
		if k.GroupKind == resource.SecretKind { // as they are wanted
			continue
		}
		gvr, ok := served.version(k)
		for _, p := range s.placesOf(k) {
			if ok {
				s.ensure(ctx, p, gvr)
				continue
			}
			if served.stale[k.Group] {
				unsure = true
				continue
			}
			if err := s.abandon(limited, p); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	news := !s.found && !unsure
	s.found = s.found || !unsure
	s.mu.Unlock()
	if news {
		s.signal()
	}
	return nil
}

// placesOf returns what is watched of a kind that is served.
func (s *Source) placesOf(k resource.Kind) []place {
	list := s.cfg.Namespaces
	if k.Cluster || len(list) == 0 {
		list = []string{AllNamespaces}
	}
	var out []place
	for _, n := range namespaces(list) {
		out = append(out, place{GroupKind: k.GroupKind, namespace: n})
	}
	return out
}

// namespaces returns a list's namespaces once each; all of them are "".
func namespaces(list []string) []string {
	if slices.Contains(list, AllNamespaces) {
		return []string{""}
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// ensure sees that a place is watched in a version.
func (s *Source) ensure(ctx context.Context, p place, gvr schema.GroupVersionResource) {
	s.mu.Lock()
	old := s.watches[p]
	s.mu.Unlock()
	seen := map[resource.Key]string{}
	if old != nil {
		if old.gvr == gvr {
			return
		}
		old.stop()
		for k := range old.seen { // to be read anew, and until then kept
			seen[k] = ""
		}
	}
	w := s.begin(ctx, p, gvr, seen)
	s.mu.Lock()
	s.watches[p] = w
	s.mu.Unlock()
}

// abandon ends the watch of a place whose kind is no longer served. An API
// server that has only just started does not list every kind at once: that one
// is gone is believed when its own address is not there either.
func (s *Source) abandon(ctx context.Context, p place) error {
	s.mu.Lock()
	w := s.watches[p]
	s.mu.Unlock()
	if w == nil {
		return nil
	}
	_, err := s.api.dynamic.Resource(w.gvr).Namespace(p.namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if !apierrors.IsNotFound(err) {
		return err
	}
	w.stop()
	s.mu.Lock()
	for k := range maps.Clone(w.seen) {
		w.dropLocked(k)
	}
	delete(s.watches, p)
	s.mu.Unlock()
	s.signal()
	return nil
}

// endAll ends every watch.
func (s *Source) endAll() {
	for _, w := range s.watches {
		w.end()
	}
	for _, w := range s.watches {
		<-w.ended
	}
}

// definitions are the objects by which kinds come and go.
var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// followDefinitions has the kinds looked at when a definition changes. Where
// it may not read them, they are looked at by and by.
func (s *Source) followDefinitions(ctx context.Context) {
	r, quiet := s.api.metadata.Resource(definitions), logr.Discard()
	cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			return r.Watch(ctx, o)
		},
	}, &metav1.PartialObjectMetadata{}, trigger{s.look}, cache.ReflectorOptions{Name: "definitions", Logger: &quiet}).RunWithContext(ctx)
}

// trigger is a store that keeps nothing, and says that something has changed.
type trigger struct{ c chan struct{} }

func (t trigger) changed() error {
	nudge(t.c)
	return nil
}

func (t trigger) Add(any) error               { return t.changed() }
func (t trigger) Update(any) error            { return t.changed() }
func (t trigger) Delete(any) error            { return t.changed() }
func (t trigger) Replace([]any, string) error { return t.changed() }
func (t trigger) Resync() error               { return nil }

// served is what an API server serves.
type served struct {
	versions map[resource.GroupKind]map[string]string // version → plural
	stale    map[string]bool                          // groups that could not be asked now
}

// version returns the first version of a kind that both sides know.
func (d served) version(k resource.Kind) (schema.GroupVersionResource, bool) {
	for _, v := range k.Versions {
		if plural := d.versions[k.GroupKind][v]; plural != "" {
			return schema.GroupVersionResource{Group: k.Group, Version: v, Resource: plural}, true
		}
	}
	return schema.GroupVersionResource{}, false
}

// groupList is the part of an APIGroupDiscoveryList that we read.
// https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
type groupList struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string `json:"version"`
			Freshness string `json:"freshness"`
			Resources []struct {
				Resource     string `json:"resource"`
				ResponseKind struct {
					Kind string `json:"kind"`
				} `json:"responseKind"`
				Verbs []string `json:"verbs"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
}

// discover asks for every group but the core one, in one request each.
func (a *api) discover(ctx context.Context) (served, error) {
	d := served{versions: map[resource.GroupKind]map[string]string{}, stale: map[string]bool{}}
	for _, path := range []string{"/api", "/apis"} {
		raw, err := a.plain.Get().AbsPath(path).SetHeader("Accept", aggregated).Do(ctx).Raw()
		if err != nil {
			return d, fmt.Errorf("discover %s: %w", path, err)
		}
		var list groupList
		if err := json.Unmarshal(raw, &list); err != nil {
			return d, fmt.Errorf("discover %s: %w", path, err)
		}
		if list.Kind != "APIGroupDiscoveryList" {
			return d, errors.New("discover " + path + ": the API server is older than Kubernetes 1.26")
		}
		d.add(list)
	}
	return d, nil
}

func (d served) add(list groupList) {
	for _, g := range list.Items {
		for _, v := range g.Versions {
			if v.Freshness == "Stale" {
				d.stale[g.Metadata.Name] = true
			}
			for _, r := range v.Resources {
				gk := resource.GroupKind{Group: g.Metadata.Name, Kind: r.ResponseKind.Kind}
				if !slices.Contains(r.Verbs, "watch") {
					continue
				}
				if d.versions[gk] == nil {
					d.versions[gk] = map[string]string{}
				}
				d.versions[gk][v.Version] = r.Resource
			}
		}
	}
}
