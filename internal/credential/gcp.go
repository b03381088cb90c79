package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const (
	gcpScope    = "https://www.googleapis.com/auth/cloud-platform"
	gcpTokenURL = "https://oauth2.googleapis.com/token"
	gcpSTS      = "https://sts.googleapis.com/v1/token"
	gcpIAM      = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
	gcpGenerate = ":generateAccessToken"
	// gcpLife is what is asked for, and the most that is given.
	gcpLife = time.Hour
)

// gcpToken says how a Google access token is got.
//
// The three requests that this takes are written here, by the forms that the
// package has for every token endpoint, and not by Google's libraries: of
// those, the lighter one asks the metadata server through a client of its own,
// repeats whole answers in its errors, and can start programs.
func gcpToken(cfg *ir.GCPToken, d Deps) (Renewable[secret.Value], error) {
	g := &google{deps: d, scopes: cfg.Scopes}
	if len(g.scopes) == 0 {
		g.scopes = []string{gcpScope}
	}
	what, err := g.source(cfg)
	if err != nil {
		return what, fmt.Errorf("gcp: %w", err)
	}
	return what, nil
}

func (g *google) source(cfg *ir.GCPToken) (Renewable[secret.Value], error) {
	for _, s := range g.scopes {
		if s == "" || strings.ContainsAny(s, " ,\r\n") {
			return Renewable[secret.Value]{}, errors.New("a scope is empty or holds a blank or a comma")
		}
	}
	switch {
	case !cfg.KeyFile.IsZero():
		return g.keyFile(cfg.KeyFile), nil
	case cfg.Federation != nil:
		return g.federation(cfg.Federation)
	case cfg.Default:
		return Renewable[secret.Value]{Name: "google default credentials", Fetch: g.fetchDefault}, nil
	}
	return Renewable[secret.Value]{}, errors.New("no key file, federation or default is set")
}

// google gets access tokens of Google's services.
type google struct {
	deps   Deps
	scopes []string
	// skew is how far Google's clock was ahead of ours in the last answer, in
	// nanoseconds: what is signed here must be of its time.
	skew atomic.Int64
}

// post sends a form to a token endpoint, and reads the token in the answer.
// sent is what no error may repeat.
func (g *google) post(ctx context.Context, u string, form url.Values, sent ...secret.Value) (secret.Value, time.Time, error) {
	r, err := formRequest(ctx, u, form)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	a, err := g.deps.ask(r)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	g.skew.Store(int64(skewOf(a.serverTime(), a.began)))
	if a.status != http.StatusOK {
		return secret.Value{}, time.Time{}, fmt.Errorf("%s %w", label(r.URL), a.refusal(sent...))
	}
	return a.token()
}
