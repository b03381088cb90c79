package program

import (
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/cluster"
)

// lastOpen is when a key was let in last, by replica.
type lastOpen struct {
	mu   sync.Mutex
	last map[string]time.Time
	shut map[string]int // requests that were refused since
}

func (l *lastOpen) took(addr string) func(int, time.Time) bool {
	return func(status int, began time.Time) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch status {
		case 200:
			if began.After(l.last[addr]) {
				l.last[addr] = began
			}
			l.shut[addr] = 0
		case 401, 403:
			l.shut[addr]++
		default:
			return false
		}
		return true
	}
}

// TestSecurityRow14Revoke deletes the Secret of an API key while it is used at
// two replicas: it stops there within a second, and nobody else notices.
func TestSecurityRow14Revoke(t *testing.T) {
	rate, rounds := 200, 3
	if timed() {
		rate, rounds = 500, 20
	}
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Put(guardedKinds)
	for _, o := range []string{keyAuthConfig, guarded("/one"), apiKey("stays"), apiKey("goes")} {
		objects.Put(o)
	}
	var replicas []*program
	var calls []call
	seen := &lastOpen{last: map[string]time.Time{}, shut: map[string]int{}}
	for range 2 {
		p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: []string{"--dialects", "gloo", "--read-only", "--access-log", ""}})
		replicas = append(replicas, p)
		addr := p.addr("8080")
		calls = append(calls,
			call{addr, "/always", "stays", func(status int, _ time.Time) bool { return status == 200 }},
			call{addr, "/always", "goes", seen.took(addr)})
	}
	key, err := cluster.Parse(apiKey("goes"))
	if err != nil {
		t.Fatal(err)
	}
	all := callAll(t, rate, calls...)
	var took []time.Duration
	for range rounds {
		began := time.Now()
		for _, p := range replicas { // it is in use
			addr := p.addr("8080")
			p.await("the key works", func() bool {
				seen.mu.Lock()
				defer seen.mu.Unlock()
				return seen.last[addr].After(began)
			})
		}
		deleted := time.Now()
		objects.Delete(key[0])
		worst := time.Duration(0)
		for _, p := range replicas {
			addr := p.addr("8080")
			p.await("the key is refused, again and again", func() bool {
				seen.mu.Lock()
				defer seen.mu.Unlock()
				return seen.shut[addr] >= rate/8
			})
			seen.mu.Lock()
			worst = max(worst, seen.last[addr].Sub(deleted))
			seen.mu.Unlock()
		}
		if took = append(took, worst); timed() && worst > revocation {
			t.Errorf("the key was let in %v after it was deleted", worst)
		}
		objects.Put(apiKey("goes"))
	}
	t.Logf("at %d requests per second, the last with the key after: %v", rate, took)
	all.end(t)
}
