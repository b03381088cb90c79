package authn_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func dataRef(name, key string) secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: "ns", Name: name, Key: key}
}

// keysOf puts "name/key=value" into a new Store, and makes the names entries;
// a data key besides api-key is the first metadata.
func keysOf(values ...string) (*secret.Store, ir.APIKeyEntries) {
	store := secret.NewStore()
	var entries []ir.APIKeyEntry
	for _, v := range values {
		ref, value := dataOf(v)
		store.Put(map[secret.Ref]secret.Value{ref: value})
		i := slices.IndexFunc(entries, func(e ir.APIKeyEntry) bool { return e.Name == ref.Name })
		if i < 0 {
			i = len(entries)
			entries = append(entries, ir.APIKeyEntry{
				Namespace: "ns", Name: ref.Name, Key: dataRef(ref.Name, "api-key"),
				Origin: ir.Origin{Kind: "Secret", Namespace: "ns", Name: ref.Name},
			})
		}
		if ref.Key != "api-key" {
			entries[i].Metadata = []secret.Ref{ref}
		}
	}
	return store, ir.EntriesOf(entries...)
}

func dataOf(text string) (secret.Ref, secret.Value) {
	at, value, _ := strings.Cut(text, "=")
	name, key, _ := strings.Cut(at, "/")
	return dataRef(name, key), secret.NewValue([]byte(value))
}

func change(s *secret.Store, text string) {
	ref, value := dataOf(text)
	s.Put(map[secret.Ref]secret.Value{ref: value})
}

func newAPIKey(t testing.TB, store *secret.Store, cfg ir.APIKey) *authn.APIKey {
	t.Helper()
	if cfg.Headers == nil {
		cfg.Headers = []string{"api-key"}
	}
	a, err := authn.NewAPIKey("keys", &cfg, authn.NewKeyRing(&cfg, store))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func withKey(key string) *authn.Request {
	return &authn.Request{Header: http.Header{"Api-Key": {key}}}
}

const aliceKey = "MARKER-0123456789abcdef-alice"

// badKeys are near misses and nonsense.
func badKeys(good string) []authntest.Sample {
	var out []authntest.Sample
	add := func(name, key string) {
		out = append(out, authntest.Sample{Name: name, Request: withKey(key), Secrets: []string{key}})
	}
	for i := range len(good) {
		add(fmt.Sprint("cut at ", i), good[:i])
		add(fmt.Sprint("without byte ", i), good[:i]+good[i+1:])
		flipped := []byte(good)
		flipped[i] ^= 1
		add(fmt.Sprint("bit of byte ", i), string(flipped))
	}
	sum := sha256.Sum256([]byte(good))
	for name, key := range map[string]string{
		"space before": " " + good, "space after": good + " ", "doubled": good + good, "upper case": strings.ToUpper(good),
		"lower case": strings.ToLower(good), "Bearer": "Bearer " + good, "comma": good + "," + good, "NUL": good + "\x00",
		"its digest": hex.EncodeToString(sum[:]), "its digest, raw": string(sum[:]), "huge": strings.Repeat("x", 1<<20),
		"name": "alice", "quoted": `"` + good + `"`, "line end": good + "\n", "é": "é",
	} {
		add(name, key)
	}
	out = append(out, authntest.Sample{Name: "twice", Request: &authn.Request{Header: http.Header{"Api-Key": {good, good}}}, Secrets: []string{good}})
	for i := range 10 {
		add(fmt.Sprint("random ", i), fmt.Sprintf("%x", rand.Uint64()))
	}
	return out
}

func TestAPIKeySuite(t *testing.T) {
	store, entries := keysOf("alice/api-key="+aliceKey, "alice/email=a@x", "bob/api-key=bob-key", "gone/api-key=k", "empty/api-key=")
	store.Drop([]secret.Ref{dataRef("gone", "api-key")})
	authntest.Run(t, authntest.Member{
		New: func(t *testing.T) authn.Authenticator {
			return newAPIKey(t, store, ir.APIKey{Entries: entries, UserHeader: "x-user-id", FromMetadata: []ir.MetadataHeader{{Header: "x-email", Key: "email"}}})
		},
		Good: []authntest.Sample{
			{Name: "alice", Request: withKey(aliceKey), Subject: "alice"},
			{Name: "bob", Request: withKey("bob-key"), Subject: "bob"},
		},
		Bad:      append(badKeys(aliceKey), authntest.Sample{Name: "of a Secret that is gone", Request: withKey("k")}),
		Sanitize: []string{"X-Email", "X-User-Id"},
	})
}

func TestAPIKeyDigests(t *testing.T) {
	sum := sha256.Sum256([]byte(aliceKey))
	digest := hex.EncodeToString(sum[:])
	none := sha256.Sum256(nil)
	store, entries := keysOf("alice/api-key="+digest, "upper/api-key="+strings.ToUpper(hex.EncodeToString(make([]byte, 32))),
		"short/api-key=abcd", "odd/api-key="+digest[:63]+"x", "long/api-key="+digest+"00", "none/api-key="+hex.EncodeToString(none[:]))
	authntest.Run(t, authntest.Member{
		New: func(t *testing.T) authn.Authenticator {
			return newAPIKey(t, store, ir.APIKey{Entries: entries, Digest: "sha256"})
		},
		Good: []authntest.Sample{{Name: "alice", Request: withKey(aliceKey), Subject: "alice"}},
		Bad:  append(badKeys(aliceKey), authntest.Sample{Name: "empty", Request: withKey("")}),
	})
	a := newAPIKey(t, store, ir.APIKey{Entries: entries, Digest: "sha256"})
	if p := a.Problems(); len(p) != 4 {
		t.Errorf("%v", p)
	}
}

// SecurityRow24 and row 9: what cannot be used lets nobody in, and is said.
func TestAPIKeyProblems(t *testing.T) {
	store, entries := keysOf(
		"a-good/api-key=good", "a-good/team=red",
		"b-newline/api-key=k1", "b-newline/team=red\r\nX-Admin: true",
		"c-lacks/api-key=k2",
		"d-nul/api-key=k3", "d-nul/team=a\x00b",
		"e-control/api-key=k4\nk5", "e-control/team=red",
		"f-empty/api-key=", "f-empty/team=red",
		"g-same/api-key=good", "g-same/team=blue",
		"h-blank/api-key=k6", "h-blank/team=",
	)
	a := newAPIKey(t, store, ir.APIKey{Entries: entries, FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team", Required: true}}})
	for _, key := range []string{"k1", "k2", "k3", "k4", "k4\nk5", "k6", ""} {
		if got, err := a.Authenticate(t.Context(), withKey(key)); err == nil {
			t.Errorf("%q passes: %+v", key, got)
		}
	}
	got, err := a.Authenticate(t.Context(), withKey("good"))
	if err != nil || got.Identities[0].Subject != "a-good" || string(got.Secrets[0].Value.Reveal()) != "red" {
		t.Errorf("%+v, %v", got, err)
	}
	var names []string
	for _, p := range a.Problems() {
		names = append(names, p.Origin.Name+" "+string(p.Severity))
		for _, leak := range []string{"good\"", "k1", "k4", "X-Admin"} {
			if strings.Contains(p.String(), leak) {
				t.Errorf("a problem quotes: %s", p)
			}
		}
	}
	slices.Sort(names)
	want := []string{"b-newline error", "c-lacks error", "d-nul error", "e-control error", "f-empty error", "g-same warning", "h-blank error"}
	if !slices.Equal(names, want) {
		t.Errorf("problems of %q, want %q", names, want)
	}
	change(store, "b-newline/team=red")
	if _, err := a.Authenticate(t.Context(), withKey("k1")); err != nil || len(a.Problems()) != 6 {
		t.Errorf("mended: %v, %v", err, a.Problems())
	}
}

// Of several Secrets with one key the oldest serves, whatever comes and goes.
func TestAPIKeyOldestServes(t *testing.T) {
	store, entries := keysOf("a/api-key=k", "b/api-key=k", "c/api-key=k", "d/api-key=other")
	a := newAPIKey(t, store, ir.APIKey{Entries: entries})
	for _, step := range []struct{ put, serves, problems string }{
		{"", "a", "b c"},
		{"a/api-key=new", "b", "c"},
		{"c/api-key=x", "b", ""},
		{"d/api-key=k", "b", "d"},
		{"a/api-key=k", "a", "b d"},
		{"c/api-key=k", "a", "b c d"},
		{"b/api-key=y", "a", "c d"},
	} {
		if step.put != "" {
			change(store, step.put)
		}
		got, err := a.Authenticate(t.Context(), withKey("k"))
		if err != nil || got.Identities[0].Subject != step.serves {
			t.Errorf("after %q: %+v, %v; want %s", step.put, got.Identities, err, step.serves)
		}
		var names []string
		for _, p := range a.Problems() {
			names = append(names, p.Origin.Name)
		}
		if slices.Sort(names); strings.Join(names, " ") != step.problems {
			t.Errorf("after %q: problems of %q, want %q", step.put, names, step.problems)
		}
	}
}

func TestAPIKeyConfigurationIsChecked(t *testing.T) {
	for name, cfg := range map[string]ir.APIKey{
		"no header":       {},
		"header":          {Headers: []string{"a b"}},
		"user header":     {Headers: []string{"k"}, UserHeader: "x:y"},
		"metadata header": {Headers: []string{"k"}, FromMetadata: []ir.MetadataHeader{{Header: "", Key: "k"}}},
		"data key":        {Headers: []string{"k"}, FromMetadata: []ir.MetadataHeader{{Header: "x"}}},
		"digest":          {Headers: []string{"k"}, Digest: "md5"},
	} {
		if _, err := authn.NewAPIKey("k", &cfg, authn.NewKeyRing(&cfg, secret.NewStore())); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAPIKeyHeadersInOrder(t *testing.T) {
	store, entries := keysOf("a/api-key=ka", "b/api-key=kb")
	a := newAPIKey(t, store, ir.APIKey{Entries: entries, Headers: []string{"x-first", "x-second"}})
	both := &authn.Request{Header: http.Header{"X-First": {"ka"}, "X-Second": {"kb"}}}
	got, err := a.Authenticate(t.Context(), both)
	if err != nil || got.Identities[0].Subject != "a" || len(got.Consumed) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := a.Authenticate(t.Context(), &authn.Request{Header: http.Header{"X-Second": {"kb"}}}); err != nil || got.Identities[0].Subject != "b" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := a.Authenticate(t.Context(), &authn.Request{Header: http.Header{"X-First": {"no"}, "X-Second": {"kb"}}}); err == nil {
		t.Error("a bad key in the first header is passed over")
	}
}

// Row 14: under load, a key that was replaced is refused as soon as the Store
// has been told, and its neighbours never waver.
func TestSecurityRow14RevocationUnderLoad(t *testing.T) {
	store, entries := keysOf("a/api-key=a0", "b/api-key=steady", "c/api-key=c")
	a := newAPIKey(t, store, ir.APIKey{Entries: entries})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := a.Authenticate(t.Context(), withKey("steady")); err != nil || got.Identities[0].Subject != "b" {
					t.Errorf("the neighbour: %+v, %v", got, err)
					return
				}
			}
		})
	}
	for i := range 2000 {
		change(store, fmt.Sprintf("a/api-key=a%d", i+1))
		if _, err := a.Authenticate(t.Context(), withKey(fmt.Sprintf("a%d", i))); err == nil {
			t.Fatalf("key %d lives on", i)
		}
		if _, err := a.Authenticate(t.Context(), withKey(fmt.Sprintf("a%d", i+1))); err != nil {
			t.Fatalf("key %d does not serve", i+1)
		}
	}
	close(stop)
	wg.Wait()
}

// manyKeys are Secrets with a key and one data key each.
func manyKeys() (*secret.Store, ir.APIKeyEntries) {
	store := secret.NewStore()
	values := map[secret.Ref]secret.Value{}
	entries := make([]ir.APIKeyEntry, many)
	for i := range entries {
		name := fmt.Sprint("user-", i)
		key, data := dataRef(name, "api-key"), dataRef(name, "team")
		entries[i] = ir.APIKeyEntry{Namespace: "ns", Name: name, Key: key, Metadata: []secret.Ref{data}}
		values[key] = secret.NewValue([]byte(manyKey(i)))
		values[data] = secret.NewValue([]byte("red"))
	}
	store.Put(values)
	var out ir.APIKeyEntries
	for list := range slices.Chunk(entries, 128) {
		out = append(out, ir.NewAPIKeyGroup(list))
	}
	return store, out
}

func manyKey(i int) string { return fmt.Sprintf("key-%032d", i) }

func TestAPIKeyManyKeys(t *testing.T) {
	store, entries := manyKeys()
	cfg := ir.APIKey{Headers: []string{"api-key"}, UserHeader: "x-user-id", Entries: entries, FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team"}}}
	before := heap()
	began := time.Now()
	a := newAPIKey(t, store, cfg)
	built := time.Since(began)
	each := (heap() - before) / many
	// How long it takes says something on a quiet machine only, which the soak
	// runs ask for.
	timed := os.Getenv("POSTERN_SOAK") != "" && !raceEnabled
	if timed && built > time.Second {
		t.Errorf("built in %v", built)
	}
	if each >= 500 && !raceEnabled {
		t.Errorf("%d bytes per key", each)
	}
	began = time.Now()
	const one = many * 3 / 4
	change(store, fmt.Sprintf("user-%d/api-key=replaced", one))
	if _, err := a.Authenticate(t.Context(), withKey("replaced")); err != nil {
		t.Error(err)
	}
	changed := time.Since(began)
	if timed && changed > 200*time.Millisecond {
		t.Errorf("a change is served after %v", changed)
	}
	if _, err := a.Authenticate(t.Context(), withKey(manyKey(one))); err == nil {
		t.Error("the old key lives on")
	}
	t.Logf("%d keys: built in %v, %d bytes each; one change served after %v", many, built, each, changed)
	runtime.KeepAlive(store)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkAPIKey(b *testing.B) {
	store, entries := manyKeys()
	a := newAPIKey(b, store, ir.APIKey{UserHeader: "x-user-id", Entries: entries, FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team"}}})
	good := make([]*authn.Request, 1024)
	for i := range good {
		good[i] = withKey(manyKey(i * 97))
	}
	bad := withKey("key-nobody-has-00000000000000000")
	b.Run("good", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := a.Authenticate(b.Context(), good[i%len(good)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bad", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = a.Authenticate(b.Context(), bad)
		}
	})
	b.Run("change", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			change(store, fmt.Sprintf("user-%d/api-key=k%d", i%many, i))
		}
	})
}

func BenchmarkAPIKeyBuild(b *testing.B) {
	store, entries := manyKeys()
	for b.Loop() {
		newAPIKey(b, store, ir.APIKey{Entries: entries, FromMetadata: []ir.MetadataHeader{{Header: "x-team", Key: "team"}}})
	}
}
