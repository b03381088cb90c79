package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// idleTime is after how long a stream on which nothing happens is closed.
const idleTime = 4 * time.Hour

// kubelet answers what the API server asks of a node: logs, and streams into
// containers. What runs programs is for those alone who show a certificate.
type kubelet struct {
	node   *node
	server *http.Server
	guard  bool
	ready  atomic.Bool
}

func newKubelet(n *node, s settings) (*kubelet, error) {
	cert, err := selfSigned(n)
	if err != nil {
		return nil, err
	}
	k := &kubelet{node: n, guard: s.clientCA != ""}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	if k.guard {
		b, err := os.ReadFile(s.clientCA)
		if err != nil {
			return nil, err
		}
		cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(b) {
			return nil, errors.New("podrunner: --client-ca holds no certificate")
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", k.health)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.containerLogs)
	for _, p := range []string{"/exec/{namespace}/{pod}/{container}", "/exec/{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc(p, k.exec)
	}
	for _, p := range []string{"/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"} {
		mux.HandleFunc(p, k.portForward)
	}
	k.server = &http.Server{Handler: k.admit(mux), TLSConfig: cfg, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	l, err := net.Listen("tcp", net.JoinHostPort(n.net.address().String(), strconv.Itoa(s.kubeletPort)))
	if err != nil {
		return nil, err
	}
	go func() {
		if err := k.server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err)
		}
	}()
	return k, nil
}

func (k *kubelet) close() { _ = k.server.Close() }

// selfSigned makes the node's certificate, which API servers do not verify
// unless they are told to.
func selfSigned(n *node) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: n.name}, IPAddresses: []net.IP{n.net.address().AsSlice()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// admit lets those in who may ask: everybody for the health, and for logs where
// nobody was named; for anything else who shows a certificate.
func (k *kubelet) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.URL.Path == "/healthz" || !k.guard && len(r.URL.Path) > 14 && r.URL.Path[:15] == "/containerLogs/"
		if !open && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (k *kubelet) health(w http.ResponseWriter, _ *http.Request) {
	if !k.ready.Load() {
		http.Error(w, "not ready yet", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok"))
}

// pod finds the pod that is asked for, or answers.
func (k *kubelet) pod(w http.ResponseWriter, r *http.Request) *pod {
	p := k.node.find(r.PathValue("namespace"), r.PathValue("pod"))
	if p == nil {
		http.Error(w, "pod does not exist", http.StatusNotFound)
	}
	return p
}

// container finds the container that is asked for, or answers.
func (k *kubelet) container(w http.ResponseWriter, r *http.Request) *container {
	p := k.pod(w, r)
	if p == nil {
		return nil
	}
	for _, c := range append(append([]*container{}, p.main...), p.init...) {
		if c.spec.Name == r.PathValue("container") {
			return c
		}
	}
	http.Error(w, "container does not exist", http.StatusNotFound)
	return nil
}

func (k *kubelet) containerLogs(w http.ResponseWriter, r *http.Request) {
	c := k.container(w, r)
	if c == nil {
		return
	}
	c.mu.Lock()
	n := c.restarts
	c.mu.Unlock()
	if r.URL.Query().Get("previous") == "true" {
		n--
	}
	flush := func() { _ = http.NewResponseController(w).Flush() }
	running := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.restarts == n && c.state.Running != nil
	}
	if err := copyLog(r.Context(), w, c.logFile(n), readLogQuery(r.URL.Query()), running, flush); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
	}
}

func (k *kubelet) exec(w http.ResponseWriter, r *http.Request) {
	c := k.container(w, r)
	if c == nil {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// What the program does ends with the request.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	remotecommand.ServeExec(w, r.WithContext(ctx), c, c.pod.object.Name, string(c.pod.object.UID), c.spec.Name, r.URL.Query()["command"],
		opts, idleTime, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) portForward(w http.ResponseWriter, r *http.Request) {
	p := k.pod(w, r)
	if p == nil {
		return
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, p, p.object.Name, string(p.object.UID), opts, idleTime, 30*time.Second, portforward.SupportedProtocols)
}
