package gateway

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// The variables by which the soak test's clients, a process of their own, know
// what to do.
const (
	soakAddr = "POSTERN_SOAK_HANDSHAKES"
	soakDir  = "POSTERN_SOAK_IDENTITY"
	soakRate = "POSTERN_SOAK_RATE"
)

// soakLasts is how long handshakes are made.
const soakLasts = 10 * time.Second

// TestSoakHandshakes makes 1,000 handshakes in a second, from another process,
// while requests go on over a connection that is there: these must not starve.
// POSTERN_SOAK_RATE is another rate.
func TestSoakHandshakes(t *testing.T) {
	if os.Getenv("POSTERN_SOAK") == "" {
		t.Skip("set POSTERN_SOAK=1")
	}
	if addr := os.Getenv(soakAddr); addr != "" {
		shake(t, addr)
		return
	}
	ca := newCA(t)
	n := identified(t, ca, nil)
	cert, dir := workload(t, ca, callerID), t.TempDir()
	if err := simulate.WriteIdentity(dir, *cert, ca.PEM()); err != nil {
		t.Fatal(err)
	}
	c := client(t, dials(t, cert, ca))
	quiet := latencies(t, c, "https://"+n.addr()+"/x", 3*time.Second)

	cmd := exec.Command(os.Args[0], "-test.run=^TestSoakHandshakes$", "-test.v")
	cmd.Env = append(os.Environ(), soakAddr+"="+n.addr(), soakDir+"="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	busy := latencies(t, c, "https://"+n.addr()+"/x", soakLasts)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the clients: %v", err)
	}
	t.Logf("requests alone: %v", quiet)
	t.Logf("requests beside handshakes: %v\n%s", busy, out.String())
	if p99 := busy.at(.99); p99 > 100*time.Millisecond {
		t.Errorf("requests starve: p99 %v", p99)
	}
}

// shake is the clients' side.
func shake(t *testing.T, addr string) {
	dir := os.Getenv(soakDir)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, ir.IdentityChain), filepath.Join(dir, ir.IdentityKey))
	if err != nil {
		t.Fatal(err)
	}
	rate, err := strconv.Atoi(os.Getenv(soakRate))
	if err != nil {
		rate = 1000
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}
	var made, failed atomic.Int64
	var last sync.Map
	var work sync.WaitGroup
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for due := 0.0; time.Since(began) < soakLasts; <-tick.C {
		for target := time.Since(began).Seconds() * float64(rate); due < target; due++ {
			work.Go(func() {
				c, err := tls.Dial("tcp", addr, cfg)
				if err != nil {
					failed.Add(1)
					last.Store("error", err)
					return
				}
				made.Add(1)
				_ = c.Close()
			})
		}
	}
	took := time.Since(began)
	work.Wait()
	why, _ := last.Load("error")
	fmt.Printf("%.0f handshakes a second, %d failed (%v)\n", float64(made.Load())/took.Seconds(), failed.Load(), why)
}

// times are sorted durations.
type times []time.Duration

func (l times) at(q float64) time.Duration {
	return l[int(q*float64(len(l)-1))].Round(10 * time.Microsecond)
}

func (l times) String() string {
	return fmt.Sprintf("%d, p50 %v, p90 %v, p99 %v, max %v", len(l), l.at(.5), l.at(.9), l.at(.99), l.at(1))
}

// latencies asks again and again.
func latencies(t *testing.T, c *http.Client, url string, lasts time.Duration) times {
	t.Helper()
	var out times
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		began := time.Now()
		if status, text := get(c, url); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		out = append(out, time.Since(began))
	}
	slices.Sort(out)
	return out
}
