package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

// court is a served pipeline with a judge beside it, and its objects.
type court struct {
	shape
	dialects []dialect.Dialect
	dec      *resource.Decoder
	kinds    []resource.Kind
	served   *gateway.Pipeline
	judge    *gateway.Judge
	set      *resource.Set
}

func newCourt(t *testing.T) *court {
	c := &court{shape: shape{name: "few", hosts: 3, services: 5, dialects: []string{"gatewayapi"}}}
	var err error
	if c.dialects, err = builtin.Select(c.shape.dialects, builtin.Options{}); err != nil {
		t.Fatal(err)
	}
	c.kinds = builtin.Kinds(c.dialects)
	c.dec = resource.NewDecoder(c.kinds, resource.Options{EnvMode: resource.EnvRefuse})
	c.served = gateway.NewPipeline(c.dialects, compile.New(offline(secret.NewStore())), "")
	c.judge = c.newJudge(c.served.Lend())
	var objects []*resource.Object
	for _, text := range c.rest() {
		objects = append(objects, c.object(t, text))
	}
	for i := range 30 {
		objects = append(objects, c.object(t, c.route(i, 0)))
	}
	c.offer(resource.NewSet(objects, c.kinds))
	return c
}

func (c *court) newJudge(lent *dialect.Lent) *gateway.Judge {
	deps := offline(secret.NewStore())
	deps.Unserved = true
	trial := gateway.NewPipeline(c.dialects, compile.New(deps), "")
	if lent != nil {
		trial.Try(lent)
	}
	return gateway.NewJudge(gateway.JudgeConfig{Pipeline: trial, Decode: c.dec.DecodeJSON, Clock: time.Now})
}

func (c *court) object(t *testing.T, text string) *resource.Object {
	r := c.dec.DecodeJSON([]byte(text))
	if len(r.Objects) != 1 {
		t.Fatal(text, r.Problems)
	}
	return r.Objects[0]
}

// offer makes a Set what is served.
func (c *court) offer(set *resource.Set) {
	c.set = set
	if old := c.served.Apply(source.Update{Set: set}); old != nil {
		c.judge.Offer(set)
	}
}

// faulty returns a route with a fault of some kind, or none.
func (c *court) faulty(i int) string {
	text := c.route(i%30, i)
	switch i % 5 {
	case 0:
		return strings.Replace(text, `"name": "s-`, `"name": "nowhere-`, 1)
	case 1:
		return strings.Replace(text, `"PathPrefix"`, `"RegularExpression"`, 1)
	case 2:
		return strings.Replace(text, `"value": "/r-`, `"value": "(/r-`, 1)
	case 3:
		return strings.Replace(text, `"rules"`, `"rulez": 1, "rules"`, 1)
	}
	return text
}

// TestJudgeAsFromNothing holds that a judge who takes up only what changes, and
// shares what is served, says what one says who begins with all there is.
func TestJudgeAsFromNothing(t *testing.T) {
	c := newCourt(t)
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { c.judge.Follow(ctx) })
	defer following.Wait()
	defer stop()
	for i := range 12 {
		c.offer(c.set.With([]*resource.Object{c.object(t, c.faulty(i*7))}, nil))
		object := []byte(c.faulty(i))
		var got, want gateway.Verdict
		var asking sync.WaitGroup
		asking.Go(func() { got, _ = c.judge.Judge(ctx, nil, object) })
		fresh := c.newJudge(nil)
		fresh.Offer(c.set)
		want, err := fresh.Judge(ctx, nil, object)
		asking.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
			t.Errorf("review %d (-from nothing +kept):\n%s", i, diff)
		}
		if i == 2 && len(want.Errors) == 0 { // of a fault that was not there before
			t.Error("nothing is wrong with a path that begins with a bracket")
		}
	}
}

// TestJudgeInTime refuses within the time that an API server waits, however
// much changes meanwhile, and admits what is saved by a change.
func TestJudgeInTime(t *testing.T) {
	c := newCourt(t)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	verdict := make(chan gateway.Verdict)
	began := time.Now()
	go func() {
		v, err := c.judge.Judge(ctx, nil, []byte(c.faulty(2)))
		if err != nil {
			t.Error(err)
		}
		verdict <- v
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case v := <-verdict:
			if took := time.Since(began); len(v.Errors) == 0 || ctx.Err() != nil {
				t.Errorf("%v after %v", v, took)
			}
			return
		case <-tick.C:
			c.offer(c.set.With([]*resource.Object{c.object(t, c.route(i%30, i))}, nil))
		}
	}
}

// TestJudgeLate has no verdict for who does not wait.
func TestJudgeLate(t *testing.T) {
	c := newCourt(t)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if v, err := c.judge.Judge(ctx, nil, []byte(c.route(1, 1))); err == nil {
		t.Error(v)
	}
	unread := c.newJudge(nil)
	if v, err := unread.Judge(context.Background(), nil, []byte(c.route(1, 1))); err == nil {
		t.Error(v)
	}
}
