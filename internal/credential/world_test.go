package credential_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

// world is a cloud whose services answer in this process, without sockets, so
// that time can be a fake one.
type world struct {
	cloud *simulate.Cloud
	// identity are the issuer, the token service and the metadata servers,
	// provider is Bedrock: each can be made to fail by itself.
	identity, provider *simulate.Server
	store              *secret.Store
	env                map[string]string
	// spoil, if set, changes what the identity services answer.
	spoil func(r *http.Request, w *httptest.ResponseRecorder)
}

func newWorld(t *testing.T, cfg simulate.CloudConfig) *world {
	t.Helper()
	w := &world{cloud: simulate.NewCloud(cfg), store: secret.NewStore(), env: map[string]string{}}
	server := func(names ...string) *simulate.Server {
		var list []simulate.Provider
		for _, k := range simulate.Kinds() {
			for _, name := range names {
				if k.Name == name {
					list = append(list, k.New(simulate.ProviderConfig{Hosts: k.Hosts, Cloud: w.cloud}))
				}
			}
		}
		s, err := simulate.New(simulate.Config{Providers: list, CA: testCA(t), Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.identity, w.provider = server("oidc", "aws-sts", "aws-metadata", "entra", "gcp", "gcp-metadata"), server("bedrock")
	return w
}

// testCA is made once: nobody here looks at certificates.
var testCA = func() func(*testing.T) *simulate.CA {
	once := sync.OnceValues(simulate.NewCA)
	return func(t *testing.T) *simulate.CA {
		t.Helper()
		ca, err := once()
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
}()

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var errBroken = errors.New("connection broken")

// RoundTrip lets the service of the host answer.
func (w *world) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	server := w.identity
	if strings.HasPrefix(r.URL.Host, "bedrock-runtime.") {
		server = w.provider
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			resp, err = nil, errBroken
		}
	}()
	server.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.spoil != nil && server == w.identity {
		w.spoil(r, rec)
	}
	return rec.Result(), nil
}

func (w *world) deps() credential.Deps {
	return credential.Deps{
		Store: w.store, Client: &http.Client{Transport: w},
		Env: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	}
}

// put sets secrets of Secret apps/aws.
func (w *world) put(pairs ...string) {
	values := map[secret.Ref]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		values[awsRef(pairs[i])] = secret.NewValue([]byte(pairs[i+1]))
	}
	w.store.Put(values)
}

// injector makes cfg's, and closes it at the end of the test.
func (w *world) injector(t *testing.T, cfg *ir.Credential) credential.Injector {
	t.Helper()
	in, err := credential.New(cfg, w.deps())
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := in.(interface{ Close() }); ok {
		t.Cleanup(c.Close)
	}
	return in
}

const converseBody = `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`

// converse sends a request with in's credential to Bedrock, and returns the
// status and what it says.
func (w *world) converse(in credential.Injector) (int, string, error) {
	const host = "bedrock-runtime.us-east-1.amazonaws.com"
	u := &url.URL{Scheme: "https", Host: host, Path: "/model/anthropic.claude-v1:0/converse"}
	o := &credential.Outbound{Method: "POST", Scheme: "https", Host: host, URL: u, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(converseBody)}
	if err := in.Inject(context.Background(), o); err != nil {
		return 0, "", err
	}
	r := &http.Request{Method: o.Method, Host: o.Host, URL: o.URL, Header: o.Header, Body: io.NopCloser(strings.NewReader(converseBody)), ContentLength: int64(len(converseBody))}
	resp, err := w.RoundTrip(r.WithContext(context.Background()))
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Amzn-Errortype") + string(b), err
}

// good fails the test unless Bedrock takes in's credential.
func (w *world) good(t *testing.T, in credential.Injector) {
	t.Helper()
	if status, text, err := w.converse(in); err != nil || status != http.StatusOK {
		t.Fatalf("Bedrock answers %d %s: %v", status, text, err)
	}
}
