// Package sourcetest is the suite that every source runs: what a source
// promises, whatever its resources live in.
//
// A member describes its Place, where the suite puts objects and takes them
// away, and calls Run. Its own tests then hold only its peculiarities.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// Marker is part of every secret that the suite uses. It must never be seen in
// a Set or a problem.
const Marker = "MARKER-hunter2"

// Deadline is how long anything may take: only what never comes takes as long.
const Deadline = 2 * time.Minute

// Widget is the kind that the suite uses beside the core kinds.
type Widget struct {
	Spec struct {
		Host  string     `json:"host"`
		Port  int        `json:"port"`
		Token secret.Ref `json:"token"`
	} `json:"spec"`
}

// WidgetKind names Widget.
var WidgetKind = resource.GroupKind{Group: "test.example.com", Kind: "Widget"}

// Kinds are the kinds that a Place's source is to read.
func Kinds() []resource.Kind {
	return append(resource.CoreKinds(), resource.Kind{
		GroupKind: WidgetKind, Versions: []string{"v1"}, Plural: "widgets",
		SecretFields: []string{"spec.token"}, New: func() any { return new(Widget) },
	})
}

// Place is where a source's resources live in a test: a folder, an API server.
type Place interface {
	// Put writes the objects of a YAML text in the place of what was put under
	// the same name before.
	Put(t *testing.T, name, yaml string)
	// Delete removes what was put under a name.
	Delete(t *testing.T, name string)
	// Source returns a source of the place, of Kinds, not yet run.
	Source(t *testing.T, store *secret.Store) source.Source
}

// State is what a source has delivered so far.
type State struct {
	Set      *resource.Set
	Problems []status.Problem
	// Updates and Sets count the updates, and those among them with a Set.
	Updates, Sets int
	Last          time.Time
}

// Widget returns the host of a Widget in namespace default, or "".
func (s State) Widget(name string) string {
	if o := s.Object(name); o != nil {
		return o.Spec.(*Widget).Spec.Host
	}
	return ""
}

// Object returns a Widget's object in namespace default, or nil.
func (s State) Object(name string) *resource.Object {
	if s.Set == nil {
		return nil
	}
	return s.Set.Get(resource.Key{GroupKind: WidgetKind, Namespace: "default", Name: name})
}

// Says reports whether a problem contains text.
func (s State) Says(text string) bool {
	for _, p := range s.Problems {
		if strings.Contains(p.String(), text) {
			return true
		}
	}
	return false
}

// Watch follows a running source.
type Watch struct {
	Store *secret.Store
	// Wanted are the Secrets whose bytes are asked for; nil: all.
	Wanted *resource.Demand

	mu    sync.Mutex
	state State
	news  chan struct{}
	stop  context.CancelFunc
	ended chan error
}

// Start runs a source until the test ends, and checks every update.
func Start(t *testing.T, src source.Source, store *secret.Store) *Watch {
	t.Helper()
	return StartWanting(t, src, store, nil)
}

// StartWanting is Start with the bytes of some Secrets alone.
func StartWanting(t *testing.T, src source.Source, store *secret.Store, wanted *resource.Demand) *Watch {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{Store: store, Wanted: wanted, news: make(chan struct{}, 1), stop: cancel, ended: make(chan error, 1)}
	go func() { w.ended <- src.Run(ctx, func(u source.Update) { w.apply(t, u) }) }()
	t.Cleanup(func() { w.Stop(t) })
	return w
}

// Stop ends the source and waits for it. It may be called twice.
func (w *Watch) Stop(t *testing.T) {
	w.stop()
	select {
	case err := <-w.ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the source ended: %v", err)
		}
		w.ended <- nil
	case <-time.After(Deadline):
		t.Errorf("the source does not end")
	}
}

func (w *Watch) apply(t *testing.T, u source.Update) {
	u = w.supplied(u)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Updates++
	w.state.Problems, w.state.Last = u.Problems, time.Now()
	if u.Set != nil {
		w.state.Set = u.Set
		w.state.Sets++
		w.check(t, u)
	}
	for _, p := range u.Problems {
		if strings.Contains(p.String(), Marker) {
			t.Errorf("a problem shows a secret: %v", p)
		}
	}
	for _, ref := range u.Dropped {
		if !w.Store.Has(ref) {
			t.Errorf("%v was dropped before the state without it was served", ref)
		}
	}
	w.Store.Drop(u.Dropped)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *Watch) wants(o *resource.Object) bool { return w.Wanted == nil || w.Wanted.Wants(o) }

// supplied returns an update with the Secrets that are wanted.
func (w *Watch) supplied(u source.Update) source.Update {
	wanted := w.Wanted
	if wanted == nil {
		wanted = resource.DemandAll()
	}
	set := u.Set
	for u.Supply != nil {
		more := u.Supply(wanted)
		if more == nil {
			break
		}
		if u = *more; u.Set != nil {
			set = u.Set
		}
	}
	u.Set = set
	return u
}

// check sees that the secrets of a set are there when it is applied, and not in
// it.
func (w *Watch) check(t *testing.T, u source.Update) {
	for _, o := range u.Set.All(resource.SecretKind) {
		for _, k := range o.Spec.(*resource.Secret).Keys {
			ref := secret.Ref{Kind: "Secret", Namespace: o.Namespace, Name: o.Name, Key: k}
			if !w.Store.Has(ref) && len(o.Faults) == 0 && w.wants(o) {
				t.Errorf("%v is in the set and not yet in the store", ref)
			}
		}
	}
	for _, o := range u.Set.All(WidgetKind) {
		ref := o.Spec.(*Widget).Spec.Token
		if !ref.IsZero() && !w.Store.Has(ref) {
			t.Errorf("%v is in the set and not yet in the store", ref)
		}
		if strings.Contains(fmt.Sprintf("%+v %+v", *o, o.Spec), Marker) {
			t.Errorf("the set shows a secret of %v", o.Key)
		}
	}
}

// State returns what was delivered so far.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Await waits until what was delivered fulfils a condition, and returns it.
func (w *Watch) Await(t *testing.T, what string, ok func(State) bool) State {
	t.Helper()
	deadline := time.After(Deadline)
	for {
		s := w.State()
		if s.Updates > 0 && ok(s) {
			return s
		}
		select {
		case <-w.news:
		case err := <-w.ended:
			w.ended <- err
			t.Fatalf("%s: the source has ended: %v", what, err)
		case <-deadline:
			t.Fatalf("%s: not within %v; %d updates, problems %v", what, Deadline, s.Updates, s.Problems)
		}
	}
}
