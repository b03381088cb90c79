package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

// TestHistoryLeavesNoTrace changes objects of all families at random, and holds
// what serves after every change against what a gateway serves that has just
// been started: the model, the report, and what becomes of requests.
func TestHistoryLeavesNoTrace(t *testing.T) {
	const seeds, steps = 3, 25
	first, last := 0, seeds
	if os.Getenv("POSTERN_SOAK") != "" {
		first, last = seeds, 25*seeds
	}
	pool := readPool(t)
	var allowed, refused atomic.Int64
	t.Run("seed", func(t *testing.T) {
		for seed := first; seed < last; seed++ {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				h := newHistory(pool, uint64(seed))
				for n := 0; n < steps && !t.Failed(); n++ {
					h.step()
					h.compare(t, n)
				}
				allowed.Add(int64(h.allowed))
				refused.Add(int64(h.refused))
			})
		}
	})
	t.Logf("%d requests were let in and %d refused", allowed.Load(), refused.Load())
	if least := int64(10 * (last - first)); allowed.Load() < least || refused.Load() < least {
		t.Error("these configurations show too little")
	}
}

// pool is what histories are made of: every dialect's golden cases, the objects
// beside these and the examples.
type pool struct {
	kinds   []resource.Kind
	decoder *resource.Decoder
	// cases may speak of the same objects.
	cases, beside []resource.Result
}

func readPool(t *testing.T) *pool {
	t.Helper()
	p := &pool{kinds: builtin.Kinds(builtin.Dialects(builtin.Options{}))}
	p.decoder = resource.NewDecoder(p.kinds, resource.Options{EnvMode: resource.EnvPlaceholder})
	for _, root := range []string{"../dialect", "../../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			switch filepath.Ext(path) {
			case ".yaml":
				p.beside = append(p.beside, p.decoder.Decode(path, b))
			case ".txtar":
				for _, f := range txtar.Parse(b).Files {
					if filepath.Ext(f.Name) == ".yaml" && f.Name != "ir.yaml" {
						p.cases = append(p.cases, p.decoder.Decode(f.Name, f.Data))
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(p.cases) < 200 || len(p.beside) < 20 {
		t.Fatalf("%d cases and %d files beside them were found", len(p.cases), len(p.beside))
	}
	return p
}

// history is a gateway that has seen many changes.
type history struct {
	*pool
	random   *rand.Rand
	objects  []*resource.Object
	secrets  []map[secret.Ref]secret.Value
	store    *secret.Store
	pipeline *gateway.Pipeline
	set      *resource.Set
	now      *gateway.Result

	allowed, refused int
}

// newHistory is one of some cases, drawn by the seed: what is beside them is
// there from the beginning.
func newHistory(p *pool, seed uint64) *history {
	const cases = 40
	h := &history{pool: p, random: rand.New(rand.NewPCG(seed, 0)), store: secret.NewStore()}
	for _, r := range p.beside {
		h.add(r)
	}
	h.set = resource.NewSet(h.objects, p.kinds)
	for range cases {
		h.add(p.cases[h.random.IntN(len(p.cases))])
	}
	h.pipeline = h.started()
	return h
}

func (h *history) add(r resource.Result) {
	h.objects = append(h.objects, r.Objects...)
	if len(r.Secrets) > 0 {
		h.secrets = append(h.secrets, r.Secrets)
		h.store.Put(r.Secrets)
	}
}

func (h *history) started() *gateway.Pipeline {
	deps := offline(h.store)
	deps.Rehearse = true
	deps.Forward.Rand = func() uint64 { return 0 }
	return gateway.NewPipeline(builtin.Dialects(builtin.Options{}), compile.New(deps), "")
}

// step changes some objects, at times as many as a folder holds, and the bytes
// of some Secrets, and serves them.
func (h *history) step() {
	most := 4
	if h.random.IntN(8) == 0 {
		most = 200
	}
	changed, removed := map[resource.Key]*resource.Object{}, map[resource.Key]bool{}
	for range 1 + h.random.IntN(most) {
		o := h.objects[h.random.IntN(len(h.objects))]
		if h.set.Get(o.Key) != nil && h.random.IntN(4) == 0 {
			delete(changed, o.Key)
			removed[o.Key] = true
			continue
		}
		delete(removed, o.Key)
		changed[o.Key] = o
	}
	h.store.Put(h.secrets[h.random.IntN(len(h.secrets))])
	h.set = h.set.With(slices.Collect(maps.Values(changed)), slices.Collect(maps.Keys(removed)))
	h.now = h.pipeline.Apply(source.Update{Set: h.set})
}

// compare holds what there is against what a start makes of it.
func (h *history) compare(t *testing.T, n int) {
	t.Helper()
	fresh := h.started().Apply(source.Update{Set: h.set})
	differ := func(what, want, got string) {
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("step %d: %s (-just started +after changes):\n%s", n, what, d)
		}
	}
	differ("the model", written(t, fresh.Config), written(t, h.now.Config))
	differ("the report", written(t, fresh.Report()), written(t, h.now.Report()))
	for _, q := range h.requests() {
		differ(fmt.Sprint(q.Title(), " with ", q.Header), h.become(t, fresh, q), h.become(t, h.now, q))
	}
}

// requests returns one for each of some matches.
func (h *history) requests() []*explain.Request {
	const most = 40
	var out []*explain.Request
	for _, l := range h.now.Config.Listeners {
		for _, v := range l.Hosts {
			for _, r := range v.Routes {
				for _, m := range r.Matches {
					out = append(out, h.request(l, v, m))
				}
			}
		}
	}
	h.random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(len(out), most)]
}

// request is one that a match may take, with more or less of what it asks for.
func (h *history) request(l *ir.Listener, v *ir.VirtualHost, m ir.Match) *explain.Request {
	host := strings.Replace(strings.Replace(v.Hostname, "*.", "a.b.", 1), "*", "any.example", 1)
	q := &explain.Request{Host: host, Port: l.Port, Path: m.Path.Value, Header: http.Header{}}
	if !strings.HasPrefix(q.Path, "/") {
		q.Path = "/"
	}
	if len(m.Methods) > 0 {
		q.Method = m.Methods[0]
	}
	for _, s := range m.Headers {
		if h.random.IntN(4) > 0 && !strings.HasPrefix(s.Name, ":") {
			q.Header.Set(s.Name, fitting(s))
		}
	}
	if len(m.Model) > 0 {
		q.Method, q.Body = http.MethodPost, fmt.Appendf(nil, `{"model": %q}`, fitting(m.Model[0]))
		q.Header.Set("Content-Type", "application/json")
	}
	if h.random.IntN(2) == 0 {
		q.Claims = map[string]any{"iss": "https://issuer.example.com", "sub": "alice", "org": "internal", "scope": "read write"}
	}
	if h.random.IntN(3) == 0 {
		q.Peer = "spiffe://cluster.local/ns/default/sa/client"
	}
	if l.TLS != nil {
		q.URL, q.Host, q.Port, q.Path = "https://"+q.Host+":"+strconv.Itoa(q.Port)+q.Path, "", 0, ""
	}
	return q
}

// fitting is a value that may fit.
func fitting(s ir.StringMatch) string {
	for _, text := range []*string{s.Exact, s.Prefix, s.Suffix} {
		if text != nil {
			return *text
		}
	}
	return "any"
}

// become tells what would become of a request.
func (h *history) become(t *testing.T, r *gateway.Result, q *explain.Request) string {
	t.Helper()
	target := explain.Target{Config: r.Config, Snapshot: r.Compiled.Snapshot}
	x, err := target.Explain(context.Background(), q)
	if err != nil {
		return err.Error()
	}
	switch x.Decision {
	case explain.Allow:
		h.allowed++
	case explain.Deny:
		h.refused++
	}
	return drawn.ReplaceAllString(written(t, x), "UUID")
}

// drawn at random for each request.
var drawn = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func written(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
