package authn_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// ringWorld is some Secrets, of which sets of keys hold some each.
type ringWorld struct {
	rnd   *rand.Rand
	store *secret.Store
	ring  *authn.KeyRing
	cfg   ir.APIKey
}

// who returns for each key that there can be whom it lets in, and with what.
func who(a *authn.APIKey) map[string]string {
	out := map[string]string{}
	for k := range 40 {
		key := fmt.Sprint("key-", k)
		got, err := a.Authenticate(context.Background(), withKey(key))
		if err != nil {
			continue
		}
		out[key] = got.Identities[0].Subject
		for _, s := range got.Secrets {
			out[key] += " " + s.Name + "=" + string(s.Value.Reveal())
		}
	}
	return out
}

func said(a *authn.APIKey) []string {
	var out []string
	for _, p := range a.Problems() {
		out = append(out, p.String())
	}
	return out
}

// entries returns about half of the Secrets, in groups as chance has it.
func (w *ringWorld) entries() ir.APIKeyEntries {
	var groups ir.APIKeyEntries
	var list []ir.APIKeyEntry
	for i := range 60 {
		if w.rnd.IntN(3) == 0 {
			continue
		}
		name := fmt.Sprint("s", i)
		list = append(list, ir.APIKeyEntry{
			Namespace: "ns", Name: name, Key: dataRef(name, "api-key"), Metadata: []secret.Ref{dataRef(name, "team")},
			Created: time.Unix(int64(i*7%5), 0), Origin: ir.Origin{Kind: "Secret", Namespace: "ns", Name: name},
		})
		if i%8 == 7 {
			groups, list = append(groups, ir.NewAPIKeyGroup(list)), nil
		}
	}
	return append(groups, ir.NewAPIKeyGroup(list))
}

// less returns entries of which one group lacks an entry, and one is another.
func (w *ringWorld) less(entries ir.APIKeyEntries) ir.APIKeyEntries {
	out := slices.Clone(entries)
	i := w.rnd.IntN(len(out))
	if list := out[i].Entries(); len(list) > 0 {
		out[i] = ir.NewAPIKeyGroup(slices.Delete(slices.Clone(list), 0, 1))
	}
	return slices.DeleteFunc(out, func(g *ir.APIKeyGroup) bool { return w.rnd.IntN(20) == 0 })
}

func (w *ringWorld) touch() {
	name := fmt.Sprint("s", w.rnd.IntN(60))
	switch w.rnd.IntN(8) {
	case 0:
		w.store.Drop([]secret.Ref{dataRef(name, "api-key")})
	case 1:
		w.store.Drop([]secret.Ref{dataRef(name, "team")})
	case 2:
		change(w.store, name+"/team=bad\n")
	case 3:
		change(w.store, name+"/team="+fmt.Sprint("team", w.rnd.IntN(3)))
	default:
		change(w.store, name+"/api-key="+fmt.Sprint("key-", w.rnd.IntN(40)))
	}
}

// TestKeyRingIsTheSameFromNothing makes sets of keys out of one another, while
// Secrets change, and holds all that are in use against sets made from nothing.
func TestKeyRingIsTheSameFromNothing(t *testing.T) {
	w := &ringWorld{rnd: rand.New(rand.NewPCG(5, 6)), store: secret.NewStore()}
	w.cfg = ir.APIKey{Headers: []string{"api-key"}, FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team"}}}
	w.ring = authn.NewKeyRing(&w.cfg, w.store)
	type used struct {
		cfg ir.APIKey
		set *authn.APIKey
	}
	var inUse []used
	for step := range 60 {
		for range w.rnd.IntN(10) {
			w.touch()
		}
		cfg := w.cfg
		if cfg.Entries = w.entries(); len(inUse) > 0 && w.rnd.IntN(4) > 0 {
			cfg.Entries = w.less(inUse[len(inUse)-1].cfg.Entries)
		}
		a, err := authn.NewAPIKey("keys", &cfg, w.ring)
		if err != nil {
			t.Fatal(err)
		}
		if inUse = append(inUse, used{cfg, a}); len(inUse) > 3 {
			i := w.rnd.IntN(3)
			inUse[i].set.Close()
			inUse = slices.Delete(inUse, i, i+1)
		}
		for range w.rnd.IntN(10) {
			w.touch()
		}
		for _, u := range inUse {
			fresh := newAPIKey(t, w.store, u.cfg)
			if d := cmp.Diff(who(fresh), who(u.set)); d != "" {
				t.Fatalf("step %d: (-new +kept):\n%s", step, d)
			}
			if d := cmp.Diff(said(fresh), said(u.set)); d != "" {
				t.Fatalf("step %d: problems (-new +kept):\n%s", step, d)
			}
		}
	}
}

// TestKeyRingLeavesTheOldSetAlone holds that the set before keeps its entries
// when another is made of it, and that a Secret which changes is served anew
// by both.
func TestKeyRingLeavesTheOldSetAlone(t *testing.T) {
	store, entries := keysOf("a/api-key=ka", "b/api-key=kb", "c/api-key=kc")
	cfg := ir.APIKey{Headers: []string{"api-key"}, Entries: entries}
	ring := authn.NewKeyRing(&cfg, store)
	old, err := authn.NewAPIKey("keys", &cfg, ring)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Entries = ir.EntriesOf(entries[0].Entries()[:2]...)
	now, err := authn.NewAPIKey("keys", &cfg, ring)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 2000 {
				if _, err := old.Authenticate(t.Context(), withKey("kc")); err != nil {
					t.Error("the old set has lost a key")
					return
				}
			}
		})
	}
	change(store, "a/api-key=other")
	wg.Wait()
	for _, tc := range []struct {
		key      string
		old, now bool
	}{{"ka", false, false}, {"other", true, true}, {"kb", true, true}, {"kc", true, false}} {
		_, errOld := old.Authenticate(t.Context(), withKey(tc.key))
		_, errNow := now.Authenticate(t.Context(), withKey(tc.key))
		if (errOld == nil) != tc.old || (errNow == nil) != tc.now {
			t.Errorf("%s: the old set says %v, the new one %v", tc.key, errOld, errNow)
		}
	}
}

func TestKeyRingMustFit(t *testing.T) {
	plain := ir.APIKey{Headers: []string{"k"}}
	ring := authn.NewKeyRing(&plain, secret.NewStore())
	for name, cfg := range map[string]ir.APIKey{
		"digests":  {Headers: []string{"k"}, Digest: "sha256"},
		"metadata": {Headers: []string{"k"}, FromMetadata: []ir.MetadataHeader{{Header: "x", Key: "y"}}},
	} {
		if _, err := authn.NewAPIKey("k", &cfg, ring); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
