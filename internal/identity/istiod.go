package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/internal/secret"
)

// Istiod asks a mesh's certificate authority by the certificate API of Istio,
// as its sidecars do: a signing request, with the projected token of the pod's
// service account as proof of who asks. The authority decides on the identity;
// what the request says of it does not count.
type Istiod struct {
	address string // host:port
	name    string // the address as it was given, for people
	files   istiodFiles
	cluster string
	ttl     time.Duration
	// now and after are the clock.
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// istiodFiles are read again for each request.
type istiodFiles struct{ token, roots string }

// Where Istio's installation puts them, by convention.
const (
	istiodToken   = "/var/run/secrets/tokens/istio-token"
	istiodRoots   = "/var/run/secrets/istio/root-cert.pem"
	istiodCluster = "Kubernetes"
	istiodTTL     = 24 * time.Hour
)

// The pace of Istiod: each request may take istiodTimeout; a failed one is
// repeated after istiodRetry, which doubles up to istiodRetryMost.
const (
	istiodTimeout   = 10 * time.Second
	istiodRetry     = time.Second
	istiodRetryMost = time.Minute
)

// NewIstiod returns the Source behind istiod://HOST:PORT, with what its query
// may say: token=FILE, ca=FILE, cluster=ID and ttl=DURATION.
func NewIstiod(address string) (*Istiod, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "istiod" || u.Path != "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("--identity %q: want istiod://HOST:PORT, perhaps with ?token=FILE&ca=FILE&cluster=ID&ttl=24h", address)
	}
	if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" || u.Hostname() == "" {
		return nil, fmt.Errorf("--identity %q: want a host and a port, such as istiod://istiod.istio-system.svc:15012", address)
	}
	s := &Istiod{
		address: u.Host, name: "istiod://" + u.Host, cluster: istiodCluster, ttl: istiodTTL,
		files: istiodFiles{token: istiodToken, roots: istiodRoots}, now: time.Now, after: time.After,
	}
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; key {
		case "token":
			s.files.token = value
		case "ca":
			s.files.roots = value
		case "cluster":
			s.cluster = value
		case "ttl":
			if s.ttl, err = time.ParseDuration(value); err != nil || s.ttl < time.Minute {
				return nil, fmt.Errorf("--identity %q: ttl: want a duration of a minute or more, such as 24h", address)
			}
		default:
			return nil, fmt.Errorf("--identity %q: %q is not known: have token, ca, cluster and ttl", address, key)
		}
	}
	return s, nil
}

// String returns the address.
func (s *Istiod) String() string { return s.name }

// Run asks for a certificate, and for the next one when half of its life is
// over, until ctx ends.
func (s *Istiod) Run(ctx context.Context, take func(Document, error)) {
	retry := istiodRetry
	for ctx.Err() == nil {
		doc, err := s.ask(ctx)
		var facts facts
		if err == nil {
			facts, err = doc.check(s.now())
		}
		if ctx.Err() != nil {
			return
		}
		take(doc, err)
		wait := retry
		if err == nil {
			wait, retry = half(facts, s.now()), istiodRetry
		} else {
			retry = min(2*retry, istiodRetryMost)
		}
		select {
		case <-ctx.Done():
		case <-s.after(wait):
		}
	}
}

// half returns the time until half of a certificate's life is over, a
// hundredth of it sooner or later, so that those who began together do not ask
// together.
func half(f facts, now time.Time) time.Duration {
	life := f.notAfter.Sub(f.notBefore)
	jitter, err := rand.Int(rand.Reader, big.NewInt(int64(life/50)+1))
	if err != nil {
		jitter = new(big.Int)
	}
	at := f.notBefore.Add(life/2 - life/100 + time.Duration(jitter.Int64()))
	return max(at.Sub(now), istiodRetry)
}

// ask makes a key, and has it signed.
func (s *Istiod) ask(ctx context.Context) (Document, error) {
	key, request, err := newRequest()
	if err != nil {
		return Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, istiodTimeout)
	defer cancel()
	chain, err := s.create(ctx, request)
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", s.name, err)
	}
	// The leaf comes first, the root last (security/v1alpha1/ca.proto).
	return Document{
		Chain: []byte(strings.Join(chain[:len(chain)-1], "\n")),
		Key:   key, Roots: []byte(chain[len(chain)-1]),
	}, nil
}

// newRequest returns a new key in PEM, and a signing request for it.
func newRequest() (secret.Value, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("encode a key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("make a signing request: %w", err)
	}
	value := secret.NewValue(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return value, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), nil
}

// create calls IstioCertificateService/CreateCertificate.
func (s *Istiod) create(ctx context.Context, request string) ([]string, error) {
	token, err := readFile(s.files.token)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	text, err := readFile(s.files.roots)
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("roots: %s holds no certificate in PEM", s.files.roots)
	}
	host, _, _ := net.SplitHostPort(s.address)
	conn, err := grpc.NewClient("passthrough:///"+s.address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12})),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token)), "ClusterID", s.cluster)
	answer := &certificateResponse{}
	err = conn.Invoke(ctx, createCertificate, &certificateRequest{csr: request, valid: int64(s.ttl / time.Second)}, answer, grpc.ForceCodecV2(certificateCodec{}))
	if err != nil {
		return nil, refusal(err, strings.TrimSpace(string(token)))
	}
	if len(answer.chain) < 2 {
		return nil, errors.New("the answer holds no certificate and root")
	}
	return answer.chain, nil
}

// refusal puts a server's error into words. A message that repeats the token
// is left out.
func refusal(err error, token string) error {
	st := status.Convert(err)
	message := st.Message()
	if token != "" && strings.Contains(message, token) {
		message = "(its message is left out: it repeats the token)"
	}
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	return fmt.Errorf("CreateCertificate: %s: %s", st.Code(), message)
}
