package identity

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

// agent is a server of the Workload API.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	mu      sync.Mutex
	now     *workload.X509SVIDResponse
	changed chan struct{}
}

func (a *agent) set(r *workload.X509SVIDResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = r
	close(a.changed)
	a.changed = make(chan struct{})
}

// FetchX509SVID streams each state.
func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, s grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	if md, _ := metadata.FromIncomingContext(s.Context()); len(md.Get("workload.spiffe.io")) == 0 {
		return status.Error(codes.InvalidArgument, "security header missing")
	}
	for {
		a.mu.Lock()
		now, changed := a.now, a.changed
		a.mu.Unlock()
		if now == nil {
			return status.Error(codes.PermissionDenied, "no identity issued")
		}
		if err := s.Send(now); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return nil
		}
	}
}

// issued is a document as the Workload API has it: DER throughout.
func issued(t *testing.T, d Document) *workload.X509SVIDResponse {
	t.Helper()
	der := func(text []byte) []byte {
		block, _ := pem.Decode(text)
		return block.Bytes
	}
	if _, err := x509.ParseCertificate(der(d.Chain)); err != nil {
		t.Fatal(err)
	}
	return &workload.X509SVIDResponse{Svids: []*workload.X509SVID{{
		SpiffeId: gatewayID, X509Svid: der(d.Chain), X509SvidKey: der(d.Key.Reveal()), Bundle: der(d.Roots),
	}}}
}

func TestWorkloadAPI(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{changed: make(chan struct{})}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	ca := newCA(t)
	one := document(t, ca, simulate.Workload{URIs: []string{gatewayID}})
	a.set(issued(t, one))
	src, err := NewWorkloadAPI("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	h, store, log := newHolder(src, nil)
	follow(t, h)
	if err := h.Check(); err != nil || h.Status().ID != gatewayID || held(store, ir.IdentityRoots) != string(one.Roots) {
		t.Fatalf("%v %+v", err, h.Status())
	}
	first := held(store, ir.IdentityChain)
	a.set(issued(t, document(t, ca, simulate.Workload{URIs: []string{gatewayID}})))
	await(t, "next certificate", func() bool { return held(store, ir.IdentityChain) != first })
	second := held(store, ir.IdentityChain)
	a.set(nil)
	await(t, "refusal", func() bool { return h.Status().Err != nil })
	if held(store, ir.IdentityChain) != second || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("log %s", log)
	}
}
