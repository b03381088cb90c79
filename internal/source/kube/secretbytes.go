package kube

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/source"
)

const (
	// fetchOne is the most Secrets of a namespace that are got one by one; of
	// more, the namespace is listed.
	fetchOne = 24
	// fetchPage bounds the Secrets in one answer to a list.
	fetchPage = 250
	// fetchers is how many questions are under way at once.
	fetchers = 8
	// fetchLimit bounds a fetch as a whole.
	fetchLimit = 10 * time.Second
)

// fetch reads the bytes that are wanted and were not kept when they arrived.
func (s *secrets) fetch(ctx context.Context) {
	missing := s.missing()
	if len(missing) == 0 {
		s.short, s.failed = false, false
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	f := &fetched{src: s.src, found: map[resource.Key]*entry{}, turns: make(chan struct{}, fetchers)}
	for namespace, keys := range missing {
		if len(keys) > fetchOne {
			f.list(ctx, namespace, keys)
			continue
		}
		for _, k := range keys {
			f.get(ctx, k)
		}
	}
	f.work.Wait()
	for k, e := range f.found {
		s.src.cfg.Store.Put(e.values)
		s.put(e.values)
		s.src.deliver(k, &entry{object: s.src.delivered[k].object, refs: e.refs, problems: e.problems})
		s.held[k] = true
	}
	s.short, s.failed = f.err != nil, f.err != nil
	if f.err != nil {
		s.src.cfg.Log.Warn("Secrets cannot be read now; what needs them is closed", "error", f.err)
		s.again()
	}
}

// again has the source look again after a pause.
func (s *secrets) again() {
	time.AfterFunc(refillPause, func() {
		s.retry.Store(true)
		s.src.signal()
	})
}

// refill fetches what could not be fetched before. It returns an update if
// there is one to deliver.
func (s *secrets) refill(ctx context.Context) *source.Update {
	if !s.short || s.failed && !s.retry.Swap(false) {
		return nil
	}
	clear(s.since)
	s.fetch(ctx)
	s.src.problems = s.src.allProblems()
	return &source.Update{Problems: s.src.problems}
}

// fetched is what several questions find.
type fetched struct {
	src   *Source
	turns chan struct{}
	work  sync.WaitGroup
	mu    sync.Mutex
	found map[resource.Key]*entry
	err   error // of those that found nothing out
}

// ask does one of the questions, when it is its turn.
func (f *fetched) ask(what func() error) {
	f.work.Go(func() {
		f.turns <- struct{}{}
		defer func() { <-f.turns }()
		if err := what(); err != nil && !apierrors.IsNotFound(err) { // gone: the watch tells
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
		}
	})
}

// get reads one Secret; where that is not allowed, by a list of it alone.
func (f *fetched) get(ctx context.Context, k resource.Key) {
	f.ask(func() error {
		r := f.src.api.dynamic.Resource(secretResource).Namespace(k.Namespace)
		u, err := r.Get(ctx, k.Name, metav1.GetOptions{})
		if apierrors.IsForbidden(err) {
			list, err := r.List(ctx, metav1.ListOptions{FieldSelector: secretFields(k.Name)})
			if err != nil || len(list.Items) == 0 {
				return err
			}
			u = &list.Items[0]
		} else if err != nil {
			return err
		}
		f.add(k, u)
		return nil
	})
}

// list reads a namespace page by page, and keeps what is asked for.
func (f *fetched) list(ctx context.Context, namespace string, keys []resource.Key) {
	wanted := make(map[string]resource.Key, len(keys))
	for _, k := range keys {
		wanted[k.Name] = k
	}
	f.ask(func() error {
		r := f.src.api.dynamic.Resource(secretResource).Namespace(namespace)
		o := metav1.ListOptions{FieldSelector: secretFields(""), Limit: fetchPage}
		for {
			page, err := r.List(ctx, o)
			if err != nil {
				return err
			}
			for i := range page.Items {
				if k, ok := wanted[page.Items[i].GetName()]; ok {
					f.add(k, &page.Items[i])
				}
			}
			if o.Continue = page.GetContinue(); o.Continue == "" {
				return nil
			}
		}
	})
}

func (f *fetched) add(k resource.Key, u *unstructured.Unstructured) {
	e := f.src.decode(u)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found[k] = e
}
