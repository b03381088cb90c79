package program

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// revocation is how long a revoked key may still work (security row 14).
const revocation = time.Second

// generation is one Secret of the walk-through: a caller's key and the
// provider's token beside it.
type generation struct {
	name, key, token string
	using            sync.WaitGroup // requests with the key that are under way
}

// firstGeneration is the Secret that the walk-through itself makes.
func firstGeneration() *generation {
	return &generation{name: "api-huggingface-key", key: "mysecretkey", token: huggingFaceKey}
}

func generationOf(i int) *generation {
	if i == 0 {
		return firstGeneration()
	}
	return &generation{name: fmt.Sprintf("api-key-%d", i), key: fmt.Sprintf("caller-MARKER-%d", i), token: fmt.Sprintf("hf_MARKER-rotated-%d", i)}
}

// file is the generation as the walk-through writes its Secret.
func (g *generation) file(t *testing.T) string {
	return strings.NewReplacer(
		"name: api-huggingface-key", "name: "+g.name,
		"bXlzZWNyZXRrZXk=", base64.StdEncoding.EncodeToString([]byte(g.key)),
		"${HF_API_TOKEN}", g.token,
	).Replace(meshStage(t, 4)["secret.yaml"])
}

// rotation is the walk-through's gateway under a steady load of callers, none
// of whom may be refused.
type rotation struct {
	*mesh
	http     *http.Client
	mu       sync.RWMutex
	current  *generation
	stop     chan struct{}
	work     sync.WaitGroup
	sent     atomic.Int64
	failures atomic.Int64
	began    time.Time
}

// maxGenerations is how many tokens the provider knows.
const maxGenerations = 64

// rotate starts the gateway with all stages, and callers that send about 500
// requests per second with the first key.
func rotate(t *testing.T) *rotation {
	leaksNothing(t)
	hf, flags := providers(t, func(c *simulate.Config) {
		c.Keep = 1 << 15
		var tokens []string
		for i := range maxGenerations {
			tokens = append(tokens, generationOf(i).token)
		}
		for _, k := range simulate.Kinds() {
			for i, p := range c.Providers {
				if p.Name() == k.Name && k.Name == "huggingface" {
					c.Providers[i] = k.New(simulate.ProviderConfig{Keys: tokens, Hosts: k.Hosts})
				}
			}
		}
	})
	p := run(t, meshStage(t, 4), settings{args: append(flags, "--port", "80=127.0.0.1:0", "--access-log", os.DevNull)})
	r := &rotation{
		mesh: &mesh{p, hf, "http://" + p.addr("80")}, http: client(t, "HTTP/1.1"),
		current: firstGeneration(), stop: make(chan struct{}), began: time.Now(),
	}
	if got := r.ask(http.MethodPost, r.current.key); got.status != 200 {
		t.Fatalf("before the load: %v", got)
	}
	r.load()
	t.Cleanup(r.end)
	r.await("load", func() bool { return r.sent.Load() > 100 })
	return r
}

func (r *rotation) load() {
	turns := make(chan struct{}, 64)
	r.work.Go(func() {
		defer close(turns)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
			}
			select {
			case turns <- struct{}{}:
			default: // the machine is busy
			}
		}
	})
	workers := 8
	if timed() {
		workers = 32
	}
	for range workers {
		r.work.Go(func() {
			for range turns {
				r.call()
			}
		})
	}
}

// call is one request with the key that is current when it begins.
func (r *rotation) call() {
	r.mu.RLock()
	g := r.current
	g.using.Add(1)
	r.mu.RUnlock()
	defer g.using.Done()
	status, body, err := r.post(g.key)
	r.sent.Add(1)
	if err != nil || status != 200 || !strings.Contains(body, "generated_text") {
		if r.failures.Add(1) <= 5 {
			r.t.Errorf("a caller with the valid key of %s: %d %q, %v", g.name, status, body, err)
		}
	}
}

// post asks with a key, again where a busy machine has not connected to the
// provider in time: that says nothing of the key.
func (r *rotation) post(key string) (status int, body string, err error) {
	for {
		status, body, err = r.postOnce(key)
		if timed() || status != 503 || !strings.Contains(body, connection) {
			return status, body, err
		}
	}
}

func (r *rotation) postOnce(key string) (status int, body string, err error) {
	q, err := http.NewRequest(http.MethodPost, r.base+"/huggingface", bytes.NewReader([]byte(`{"inputs": "Hello"}`)))
	if err != nil {
		return 0, "", err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("api-key", key)
	resp, err := r.http.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// move gives all callers another key, and returns when the last request with
// the old one is answered.
func (r *rotation) move(to *generation) {
	r.mu.Lock()
	old := r.current
	r.current = to
	r.mu.Unlock()
	old.using.Wait()
}

// end ends the load and tells what it was.
func (r *rotation) end() {
	close(r.stop)
	r.work.Wait()
	r.http.CloseIdleConnections()
	took := time.Since(r.began)
	r.t.Logf("%d requests in %v (%.0f per second), %d failed", r.sent.Load(), took.Round(time.Millisecond), float64(r.sent.Load())/took.Seconds(), r.failures.Load())
	if bad := strings.Count(r.err.String(), "error: "); bad > 0 {
		r.t.Errorf("%d errors:\n%s", bad, r.err)
	}
}

// revoked takes a key away by change, and checks that it is refused within a
// second (on a busy machine: soon), that no request with it passes later, and that from then on the
// provider never sees the token beside it.
func (r *rotation) revoked(g *generation, change func()) {
	r.t.Helper()
	began := time.Now()
	change()
	limit := patience
	if timed() {
		limit = revocation
	}
	refused := time.Duration(0)
	for refused == 0 || time.Since(began) < revocation {
		status, _, err := r.post(g.key)
		switch {
		case err != nil || status != 200 && status != 401:
			r.t.Fatalf("the removed key of %s: %d, %v", g.name, status, err)
		case status == 401 && refused == 0:
			refused = time.Since(began)
		case status == 200 && refused != 0:
			r.t.Errorf("the removed key of %s came back", g.name)
		}
		if refused == 0 && time.Since(began) > limit {
			r.t.Fatalf("the removed key of %s still passes after %v", g.name, limit)
		}
		<-time.After(5 * time.Millisecond)
	}
	r.t.Logf("the key of %s was refused after %v", g.name, refused.Round(time.Millisecond))
	r.gone(g, func() {
		if status, _, err := r.post(g.key); status != 401 || err != nil {
			r.t.Errorf("the removed key of %s: %d, %v, want 401", g.name, status, err)
		}
	})
}

// gone watches the provider for a while under load: the token of g must not
// appear. Meanwhile it calls try now and then.
func (r *rotation) gone(g *generation, try func()) {
	r.t.Helper()
	r.hf.Clear()
	least := r.sent.Load() + 100
	r.await("further load", func() bool { try(); return r.sent.Load() >= least })
	for _, rec := range r.hf.Requests() {
		if rec.HeaderIs("Authorization", "Bearer "+g.token) {
			r.t.Fatalf("the provider saw the token of %s more than %v after its end", g.name, revocation)
		}
	}
}

// turn is one rotation by a second Secret that overlaps the first.
func (r *rotation) turn(file string, from *generation, i int) (to *generation, toFile string) {
	r.t.Helper()
	to, toFile = generationOf(i), fmt.Sprintf("secret-%d.yaml", i)
	r.write(toFile, to.file(r.t))
	r.await("the new key", func() bool {
		status, _, err := r.post(to.key)
		if err != nil || status != 200 && status != 401 {
			r.t.Fatalf("the new key: %d, %v", status, err)
		}
		return status == 200
	})
	if status, _, err := r.post(from.key); status != 200 || err != nil {
		r.t.Errorf("the old key beside the new: %d, %v", status, err)
	}
	r.hf.Clear()
	r.move(to)
	least := r.sent.Load() + 50
	r.await("load with the new key", func() bool { return r.sent.Load() >= least })
	r.paired(from, to)
	r.revoked(from, func() { r.remove(file) })
	return to, toFile
}

// paired checks that each request bore the token of the caller that it was
// made for, and that both kinds of them came.
func (r *rotation) paired(from, to *generation) {
	r.t.Helper()
	count := map[string]int{}
	for _, rec := range r.hf.Requests() {
		id := rec.Headers.Get("x-user-id")
		count[id]++
		for _, g := range []*generation{from, to} {
			if mine := rec.HeaderIs("Authorization", "Bearer "+g.token); mine != (id == g.name) {
				r.t.Fatalf("a request of %s bore the token of another", id)
			}
		}
	}
	if count[to.name] < 40 {
		r.t.Errorf("the provider saw %v", count)
	}
}

// TestAuthRotationByOverlap replaces the caller's key and the provider's token
// by a second Secret, under load, again and again.
func TestAuthRotationByOverlap(t *testing.T) {
	r := rotate(t)
	file, now := "secret.yaml", r.current
	until := r.began.Add(3 * time.Second)
	if timed() {
		until = r.began.Add(time.Minute)
	}
	turns := 0
	for ; turns == 0 || time.Now().Before(until) && turns+1 < maxGenerations; turns++ {
		now, file = r.turn(file, now, turns+1)
	}
	t.Logf("%d rotations", turns)
}

// TestAuthRotationInPlace changes the bytes of the one Secret, under load:
// first the provider's token, so that no caller notices; then the key.
func TestAuthRotationInPlace(t *testing.T) {
	r := rotate(t)
	first := r.current
	changed := generationOf(1)
	changed.name, changed.key = first.name, first.key
	began := time.Now()
	r.write("secret.yaml", changed.file(t))
	r.await("the new token", func() bool {
		list := r.hf.Requests()
		return len(list) > 0 && list[len(list)-1].HeaderIs("Authorization", "Bearer "+changed.token)
	})
	took := time.Since(began)
	t.Logf("the token changed in place went out after %v", took.Round(time.Millisecond))
	if timed() && took > revocation {
		t.Errorf("the new token went out after %v", took)
	}
	r.move(changed) // to the same key: what was under way is answered
	r.gone(first, func() {})

	// The callers have another Secret while the first one's key changes.
	other := generationOf(2)
	r.write("other.yaml", other.file(t))
	r.await("the other key", func() bool { status, _, _ := r.post(other.key); return status == 200 })
	r.move(other)
	next := generationOf(3)
	next.name = first.name
	r.revoked(&generation{name: first.name, key: first.key, token: changed.token}, func() { r.write("secret.yaml", next.file(t)) })
	if status, _, err := r.post(next.key); status != 200 || err != nil {
		t.Errorf("the key that took its place: %d, %v", status, err)
	}
}

// TestAuthRotationByLabel takes the label off a Secret, and then its type and
// its key: each ends it.
func TestAuthRotationByLabel(t *testing.T) {
	r := rotate(t)
	other := generationOf(1)
	r.write("other.yaml", other.file(t))
	r.await("the other key", func() bool { status, _, _ := r.post(other.key); return status == 200 })
	first := r.current
	r.move(other)
	whole := first.file(t)
	for i, cut := range []struct{ name, old, new string }{
		{"without its label", "labels:\n    api-key: api-huggingface", "labels:\n    team: none"},
		{"without a key", "  api-key: bXl", "  no-key: bXl"},
	} {
		without := strings.Replace(whole, cut.old, cut.new, 1)
		if without == whole {
			t.Fatalf("%s: the Secret has changed", cut.name)
		}
		if i > 0 {
			r.write("secret.yaml", whole)
			r.await("the key again", func() bool { status, _, _ := r.post(first.key); return status == 200 })
		}
		t.Log(cut.name)
		r.revoked(first, func() { r.write("secret.yaml", without) })
	}
}
