package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/kube"
)

// leaseServer keeps a Lease as an API server does, and takes a while for each
// answer.
type leaseServer struct {
	takes time.Duration

	mu      sync.Mutex
	lease   map[string]any // nil: there is none
	version int
}

// RoundTrip implements http.RoundTripper.
func (s *leaseServer) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		if s.lease == nil {
			return refusal(http.StatusNotFound, "NotFound")
		}
		return answer(http.StatusOK, s.lease)
	}
	var given map[string]any
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		return nil, err
	}
	metadata := given["metadata"].(map[string]any)
	switch {
	case r.Method == http.MethodPost && s.lease != nil:
		return refusal(http.StatusConflict, "AlreadyExists")
	case r.Method == http.MethodPut && metadata["resourceVersion"] != fmt.Sprint(s.version):
		return refusal(http.StatusConflict, "Conflict")
	}
	s.version++
	metadata["resourceVersion"] = fmt.Sprint(s.version)
	s.lease = given
	return answer(http.StatusOK, given)
}

func refusal(code int, reason string) (*http.Response, error) {
	return answer(code, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code})
}

func answer(code int, v any) (*http.Response, error) {
	b, err := json.Marshal(v)
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b))}, err
}

// candidate is a replica that leads when it can, and remembers when it did.
type candidate struct {
	dead         atomic.Bool // its connection
	began, ended chan time.Time
	stop         func()
}

// candidate starts one, at a server that takes note of who leads at once.
func (s *leaseServer) candidate(t *testing.T, id string, length time.Duration, leading *atomic.Int32) *candidate {
	c := &candidate{began: make(chan time.Time, 1), ended: make(chan time.Time, 1)}
	client := &rest.Config{Host: "http://api.test", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if c.dead.Load() {
			return nil, errors.New("this replica is dead")
		}
		return s.RoundTrip(r)
	})}
	l := kube.Leader{Client: client, Namespace: "default", Identity: id, Lease: length, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		err := l.Run(ctx, func(ctx context.Context) {
			if n := leading.Add(1); n != 1 {
				t.Errorf("%d lead at once", n)
			}
			c.began <- time.Now()
			<-ctx.Done()
			c.ended <- time.Now()
			leading.Add(-1)
		})
		if err != nil {
			t.Error(err)
		}
	})
	c.stop = func() { cancel(); work.Wait() }
	return c
}

// TestLeaseTimes: who ends in order hands the lease on at once. Who dies knows
// before another leads that he leads no more, whenever in his turn that is, and
// another leads before the lease has passed. The clock is the test's own.
func TestLeaseTimes(t *testing.T) {
	const length = 24 * time.Second
	for _, takes := range []time.Duration{0, length / 50} {
		for turn := range 8 {
			t.Run(fmt.Sprint(takes, " ", turn), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { leaseTimes(t, length, takes, time.Duration(turn)*length/64) })
			})
		}
	}
}

func leaseTimes(t *testing.T, length, takes, turn time.Duration) {
	server := &leaseServer{takes: takes}
	var leading atomic.Int32
	all := map[string]*candidate{}
	for _, id := range []string{"a", "b", "c"} {
		all[id] = server.candidate(t, id, length, &leading)
		defer all[id].stop()
	}
	// next returns who leads now, and since when.
	next := func() (string, time.Time) {
		for range 10 * length / time.Second {
			for id, c := range all {
				select {
				case at := <-c.began:
					return id, at
				default:
				}
			}
			time.Sleep(time.Second / 10)
		}
		t.Fatal("nobody leads")
		return "", time.Time{}
	}
	first, _ := next()
	time.Sleep(10*length + turn)
	if leading.Load() != 1 || len(all[first].ended) > 0 {
		t.Fatal("it did not go on leading")
	}
	stopped := time.Now()
	all[first].stop()
	delete(all, first)
	second, at := next()
	if took := at.Sub(stopped); took > length/8+4*takes {
		t.Errorf("the next waited %v for one that ended in order", took)
	}
	time.Sleep(2*length + turn)
	died := time.Now()
	all[second].dead.Store(true)
	dead := all[second]
	_, at = next()
	ended := <-dead.ended
	if took := at.Sub(died); took > length {
		t.Errorf("the next waited %v for one that died, of which the lease is %v", took, length)
	}
	if !ended.Before(at) || ended.Sub(died) > length*2/3 {
		t.Errorf("who had died led for %v, and the next after %v", ended.Sub(died), at.Sub(died))
	}
}
