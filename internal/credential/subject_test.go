package credential_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/simulate"
)

func subjectConfig(s ir.SubjectToken) *ir.Credential {
	return keysConfig(ir.AWSKeySource{Exchange: &ir.AWSExchange{Subject: s, Role: ir.AWSRole{ARN: roleARN}}})
}

// A projected service-account token is read again for each exchange.
func TestSubjectTokenInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put := func(t *testing.T, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{Life: 10 * time.Second})
		token := func(life time.Duration) string {
			s, err := w.cloud.SignToken("", "", life)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		put(t, token(20*time.Second)+"\n")
		in := w.injector(t, subjectConfig(ir.SubjectToken{File: file}))
		w.good(t, in)
		time.Sleep(15 * time.Second)
		w.good(t, in)
		time.Sleep(20 * time.Second)
		if _, _, err := w.converse(in); !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), "the token in it has expired") {
			t.Errorf("with a file that nobody renews: %v", err)
		}
		for text, want := range map[string]string{
			"":                        "the token is empty",
			"MARKER\nMARKER":          "a character that no token may hold",
			strings.Repeat("a", 1e5):  "longer than",
			"MARKER-not-of-an-issuer": "InvalidIdentityToken",
		} {
			put(t, text)
			time.Sleep(5 * time.Second)
			if _, _, err := w.converse(in); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "MARKER") {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		put(t, token(time.Hour))
		time.Sleep(5 * time.Second)
		w.good(t, in)
	})
}

// workloadAPI gives out tokens of a cloud's issuer, on a socket.
type workloadAPI struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	sign func(audience string) (string, error)
}

func (s *workloadAPI) FetchJWTSVID(ctx context.Context, r *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if m, _ := metadata.FromIncomingContext(ctx); len(m.Get("workload.spiffe.io")) == 0 {
		return nil, errors.New("the security header is missing")
	}
	token, err := s.sign(r.Audience[0])
	if err != nil {
		return nil, err
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: "spiffe://example.com/gateway", Svid: token}}}, nil
}

func TestSubjectTokenOfTheWorkloadAPI(t *testing.T) {
	w := newWorld(t, simulate.CloudConfig{ClientID: "spiffe://example.com/gateway"})
	socket := filepath.Join(t.TempDir(), "s.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	life := time.Hour
	workload.RegisterSpiffeWorkloadAPIServer(server, &workloadAPI{sign: func(audience string) (string, error) { return w.cloud.SignToken(audience, "", life) }})
	go func() { _ = server.Serve(ln) }()
	defer server.Stop()

	w.good(t, w.injector(t, subjectConfig(ir.SubjectToken{SPIFFE: &ir.SPIFFEToken{Socket: socket, Audience: "sts.amazonaws.com"}})))
	w.env["SPIFFE_ENDPOINT_SOCKET"] = "unix://" + socket
	w.good(t, w.injector(t, subjectConfig(ir.SubjectToken{SPIFFE: &ir.SPIFFEToken{Audience: "sts.amazonaws.com"}})))
	for name, tt := range map[string]struct {
		cfg  ir.SPIFFEToken
		env  string
		life time.Duration
		want string
	}{
		"another audience": {ir.SPIFFEToken{Socket: socket, Audience: "other"}, "", time.Hour, "InvalidIdentityToken"},
		"no socket":        {ir.SPIFFEToken{Audience: "a"}, "", time.Hour, "no socket of the Workload API"},
		"nobody there":     {ir.SPIFFEToken{Socket: socket + "x", Audience: "a"}, "", time.Hour, "ask the Workload API"},
		"expired":          {ir.SPIFFEToken{Socket: socket, Audience: "sts.amazonaws.com"}, "", -time.Hour, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			life = tt.life
			w := *w
			w.env = map[string]string{}
			began := time.Now()
			_, _, err := w.converse(w.injector(t, subjectConfig(ir.SubjectToken{SPIFFE: &tt.cfg})))
			if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) || time.Since(began) > 8*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
	for _, cfg := range []ir.SPIFFEToken{{}, {Socket: "http://x", Audience: "a"}} {
		if _, err := credential.New(subjectConfig(ir.SubjectToken{SPIFFE: &cfg}), credential.Deps{Client: http.DefaultClient}); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
