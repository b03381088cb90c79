package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// authority is a server of Istio's certificate API, made of its own protos.
type authority struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	ca *simulate.CA

	mu    sync.Mutex
	token string // that it believes
	life  time.Duration
	asked []*securityv1alpha1.IstioCertificateRequest
	md    metadata.MD
	fails error
}

// CreateCertificate signs for the identity that the token stands for.
func (a *authority) CreateCertificate(ctx context.Context, r *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.md, _ = metadata.FromIncomingContext(ctx)
	a.asked = append(a.asked, r)
	if a.fails != nil {
		return nil, a.fails
	}
	if got := a.md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+a.token {
		return nil, status.Errorf(codes.Unauthenticated, "not believed: %v", got)
	}
	now := time.Now()
	cert, err := a.ca.SignRequest([]byte(r.GetCsr()), simulate.Workload{URIs: []string{gatewayID}, NotBefore: now, NotAfter: now.Add(a.life)})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &securityv1alpha1.IstioCertificateResponse{CertChain: []string{string(cert), string(a.ca.PEM())}}, nil
}

func (a *authority) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// serveAuthority returns an authority, and the Istiod that asks it; its clock
// is waits, on which a test lets time pass.
func serveAuthority(t *testing.T) (*authority, *Istiod, chan time.Duration, chan time.Time) {
	t.Helper()
	ca := newCA(t)
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{ca: ca, token: "MARKER-token-1", life: 24 * time.Hour}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})))
	securityv1alpha1.RegisterIstioCertificateServiceServer(server, a)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	dir := t.TempDir()
	write(t, dir, "token", []byte("MARKER-token-1\n"))
	write(t, dir, "ca.pem", ca.PEM())
	src, err := NewIstiod("istiod://" + ln.Addr().String() + "?token=" + filepath.Join(dir, "token") + "&ca=" + filepath.Join(dir, "ca.pem") + "&cluster=c1")
	if err != nil {
		t.Fatal(err)
	}
	waits, ticks := make(chan time.Duration), make(chan time.Time)
	src.after = func(d time.Duration) <-chan time.Time {
		go func() { waits <- d }()
		return ticks
	}
	return a, src, waits, ticks
}

func TestIstiodRotates(t *testing.T) {
	a, src, waits, ticks := serveAuthority(t)
	h, store, log := newHolder(src, nil)
	follow(t, h)
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); s.ID != gatewayID {
		t.Errorf("%+v", s)
	}
	first := held(store, ir.IdentityChain)
	if wait := <-waits; wait < 11*time.Hour+30*time.Minute || wait > 12*time.Hour+30*time.Minute {
		t.Errorf("the next is asked for after %v, want half of 24 h", wait)
	}
	a.set(func() {
		if got := a.asked[0].GetValidityDuration(); got != 24*3600 {
			t.Errorf("asked for %d s", got)
		}
		if got := a.md.Get("clusterid"); len(got) != 1 || got[0] != "c1" {
			t.Errorf("cluster %v", got)
		}
		a.token = "MARKER-token-2"
	})
	write(t, filepath.Dir(src.files.token), "token", []byte("MARKER-token-2")) // it is projected anew
	ticks <- time.Now()
	await(t, "next certificate", func() bool { return held(store, ir.IdentityChain) != first })
	<-waits
	if strings.Contains(log.String(), "MARKER") {
		t.Errorf("security row 8: the token is in the log: %s", log)
	}
}

func TestIstiodFailures(t *testing.T) {
	a, src, waits, ticks := serveAuthority(t)
	h, store, log := newHolder(src, nil)
	a.set(func() { a.token = "MARKER-another" }) // the server's message repeats what it got
	follow(t, h)
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "Unauthenticated") || strings.Contains(err.Error(), "MARKER") {
		t.Fatalf("%v", err)
	}
	want := time.Second
	for i := range 8 {
		if got := <-waits; got != want {
			t.Errorf("pause %d: %v, want %v", i, got, want)
		}
		want = min(2*want, time.Minute)
		switch i {
		case 1:
			a.set(func() { a.token, a.fails = "MARKER-token-1", status.Error(codes.Unavailable, "later") })
		case 3:
			if err := os.Rename(src.files.token, src.files.token+".away"); err != nil {
				t.Fatal(err)
			}
		case 5:
			if err := os.Rename(src.files.token+".away", src.files.token); err != nil {
				t.Fatal(err)
			}
		}
		ticks <- time.Now()
	}
	<-waits
	a.set(func() { a.fails = nil })
	ticks <- time.Now()
	await(t, "certificate", func() bool { return h.Check() == nil })
	if wait := <-waits; wait < 11*time.Hour {
		t.Errorf("after a success: %v", wait)
	}
	good := held(store, ir.IdentityChain)
	a.set(func() { a.fails = errors.New("gone") })
	ticks <- time.Now()
	if wait := <-waits; wait != time.Second {
		t.Errorf("after the next failure: %v", wait)
	}
	if held(store, ir.IdentityChain) != good || h.Check() != nil || len(h.Problems()) != 1 {
		t.Errorf("the good one is lost: %v %v", h.Check(), h.Problems())
	}
	if a.count() == 0 || strings.Contains(log.String(), "MARKER") {
		t.Errorf("security row 8: %s", log)
	}
}

// TestIstiodIsVerified sends the token to nobody who does not prove to be the
// authority.
func TestIstiodIsVerified(t *testing.T) {
	a, src, _, _ := serveAuthority(t)
	write(t, filepath.Dir(src.files.roots), "ca.pem", newCA(t).PEM())
	_, err := src.ask(context.Background())
	if err == nil || a.count() != 0 {
		t.Errorf("asked %d times, %v", a.count(), err)
	}
}
