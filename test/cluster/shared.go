package cluster

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
)

// ForTest starts a cluster for the whole of a test, or skips the test with the
// reason where the programs are not built.
func ForTest(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Start(context.Background(), t.TempDir(), o)
	need(t, err)
	t.Cleanup(c.Stop)
	return c
}

// Shared is one cluster for the tests of a package that leave it as it was. The
// zero Shared starts it, without options, when a test first asks.
//
//	var shared cluster.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }
type Shared struct {
	once    sync.Once
	dir     string
	cluster *Cluster
	err     error
}

// Main runs a package's tests, ends the cluster, and returns the exit code.
func (s *Shared) Main(m *testing.M) int {
	defer func() {
		if s.cluster != nil {
			s.cluster.Stop()
		}
		_ = os.RemoveAll(s.dir)
	}()
	return m.Run()
}

// Cluster returns the cluster, or skips the test as ForTest does.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "postern-shared-cluster-"); s.err == nil {
			s.cluster, s.err = Start(context.Background(), s.dir, Options{})
		}
	})
	need(t, s.err)
	return s.cluster
}

// need ends a test whose cluster did not start.
func need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNotBuilt) || errors.Is(err, ErrNoPods) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
