package identity

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// patience is how long a test waits for what takes milliseconds.
const patience = time.Minute

// await polls until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// follow runs a Holder until the test ends.
func follow(t *testing.T, h *Holder) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	select {
	case <-h.First():
	case <-time.After(patience):
		t.Fatal("no first answer")
	}
}

func write(t *testing.T, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeAll(t *testing.T, dir string, d Document) {
	t.Helper()
	write(t, dir, ir.IdentityRoots, d.Roots)
	write(t, dir, ir.IdentityKey, d.Key.Reveal())
	write(t, dir, ir.IdentityChain, d.Chain)
}

func TestFilesFollowsAFolder(t *testing.T) {
	ca := newCA(t)
	dir := t.TempDir()
	src, err := NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	src.poll = time.Hour // events alone
	h, store, log := newHolder(src, nil)
	follow(t, h)
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), ir.IdentityChain) {
		t.Errorf("an empty folder: %v", err)
	}
	chain := func() string { return held(store, ir.IdentityChain) }
	one := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
	writeAll(t, dir, one)
	await(t, "first certificate", func() bool { return chain() == string(one.Chain) })

	two := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
	write(t, dir, ir.IdentityKey, two.Key.Reveal())
	await(t, "problem of a pair that does not fit", func() bool { return h.Status().Err != nil })
	if chain() != string(one.Chain) || held(store, ir.IdentityKey) != string(one.Key.Reveal()) {
		t.Error("half of a pair is in use")
	}
	write(t, dir, ir.IdentityChain, two.Chain)
	await(t, "second certificate", func() bool { return chain() == string(two.Chain) && h.Status().Err == nil })

	if err := os.Remove(filepath.Join(dir, ir.IdentityKey)); err != nil {
		t.Fatal(err)
	}
	await(t, "problem of a file that is gone", func() bool { return h.Status().Err != nil })
	if chain() != string(two.Chain) {
		t.Error("the certificate went with a file")
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("log %s", log)
	}
}

// TestFilesSymlinks renews a certificate as a Kubernetes volume does, by a link
// inside of the folder, and as a release does, by one in the folder's place.
func TestFilesSymlinks(t *testing.T) {
	ca := newCA(t)
	swap := func(t *testing.T, target, link string) {
		t.Helper()
		if err := os.Symlink(target, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		// at returns the folder to follow, and where its state n is put.
		at func(t *testing.T, root string) (dir string)
		to func(root string) (link string)
	}{
		{"inside", func(t *testing.T, root string) string {
			dir := filepath.Join(root, "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{ir.IdentityChain, ir.IdentityKey, ir.IdentityRoots} {
				if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			return dir
		}, func(root string) string { return filepath.Join(root, "dir", "..data") }},
		{"in its place", func(_ *testing.T, root string) string { return filepath.Join(root, "dir") },
			func(root string) string { return filepath.Join(root, "dir") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			dir := tc.at(t, root)
			var h *Holder
			for i := range 4 {
				d := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
				state := filepath.Join(root, "state", string(rune('a'+i)))
				if err := os.MkdirAll(state, 0o755); err != nil {
					t.Fatal(err)
				}
				writeAll(t, state, d)
				swap(t, state, tc.to(root))
				if h == nil {
					src, err := NewFiles(dir)
					if err != nil {
						t.Fatal(err)
					}
					src.poll = time.Hour
					h, _, _ = newHolder(src, nil)
					follow(t, h)
				}
				await(t, "the certificate swapped in", func() bool { return held(h.deps.Store, ir.IdentityChain) == string(d.Chain) })
			}
		})
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	env := func(name string) (string, bool) {
		return "unix:///run/agent.sock", name == "SPIFFE_ENDPOINT_SOCKET"
	}
	none := func(string) (string, bool) { return "", false }
	for _, tc := range []struct {
		value string
		env   func(string) (string, bool)
		want  string // what it is called, or of the error
	}{
		{dir, none, dir},
		{"istiod://istiod.istio-system.svc:15012", none, "istiod://istiod.istio-system.svc:15012"},
		{"istiod://h:1?token=/t&ca=/c&cluster=c1&ttl=1h", none, "istiod://h:1"},
		{"spiffe:", env, "unix:///run/agent.sock"},
		{"unix:///a/b.sock", none, "unix:///a/b.sock"},
		{"tcp://127.0.0.1:8081", none, "tcp://127.0.0.1:8081"},
		{filepath.Join(dir, "lost"), none, "no such file"},
		{"istiod://h", none, "want a host and a port"},
		{"istiod://h:1/path", none, "want istiod://HOST:PORT"},
		{"istiod://h:1?tokn=x", none, `"tokn" is not known`},
		{"istiod://h:1?ttl=1s", none, "ttl: want a duration"},
		{"spiffe:", none, "SPIFFE_ENDPOINT_SOCKET is not set"},
		{"tcp://example.com:1", none, "--identity"},
	} {
		t.Run(tc.value, func(t *testing.T) {
			src, err := Parse(tc.value, tc.env)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = src.String()
			}
			if (err == nil && got != tc.want) || !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
