package cli

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// onlineTimeout bounds each look at something that resources point to.
const onlineTimeout = 10 * time.Second

// online is a look at what resources point to.
type online struct {
	client *http.Client
	store  *secret.Store
	env    func(string) (string, bool)
}

// newOnline returns a look that dials as run does.
func (o *checkOptions) newOnline(std Streams, store *secret.Store) (*online, error) {
	dialer, err := gateway.NewDialer(o.connectTo)
	if err != nil {
		return nil, usageError{err}
	}
	roots, err := gateway.Roots(o.upstreamCA)
	if err != nil {
		return nil, err
	}
	client := keyClient(dialer, roots)
	client.Timeout = onlineTimeout
	return &online{client: client, store: store, env: std.Env}, nil
}

// keySets fetches every remote key set once, and tells which could not be
// used.
func (o *online) keySets(ctx context.Context, c *ir.Config) []status.Problem {
	var out []status.Problem
	seen := map[string]bool{}
	for _, l := range c.Listeners {
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				for _, p := range remoteProviders(r) {
					if url := p.Keys.Remote.URL; !seen[url] {
						seen[url] = true
						out = append(out, o.fetchKeys(ctx, p)...)
					}
				}
			}
		}
	}
	return out
}

// credentials fetches every upstream's credential once that has to be fetched,
// and tells how each is.
func (o *online) credentials(ctx context.Context, c *ir.Config) ([]credential.Status, []status.Problem) {
	var out []credential.Status
	var problems []status.Problem
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u := c.Upstreams[name]
		if u.Credential == nil || u.Closed != nil || u.Credential.Override != nil && u.Credential.Override.Required {
			continue
		}
		cfg := *u.Credential
		cfg.Origin, cfg.Override = ir.Origin{}, nil
		if key := keep.Key("credential", cfg); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		origin := u.Credential.Origin
		if origin == (ir.Origin{}) {
			origin = u.Origin
		}
		timed, cancel := context.WithTimeout(ctx, onlineTimeout)
		s, ok, err := credential.Try(timed, &cfg, credential.Deps{Store: o.store, Client: o.client, Env: o.env})
		cancel()
		if ok {
			out = append(out, s)
		}
		if ok && err != nil {
			problems = append(problems, status.Errorf(origin, "it was tried to fetch it: %v", err).Fix("correct what is named, or make the server reachable from here"))
		}
	}
	return out, problems
}

func remoteProviders(r *ir.Route) []ir.JWTProvider {
	var out []ir.JWTProvider
	for _, s := range r.Steps {
		if s.JWT == nil {
			continue
		}
		for _, p := range s.JWT.Providers {
			if p.Keys.Remote != nil {
				out = append(out, p)
			}
		}
	}
	return out
}

func (o *online) fetchKeys(ctx context.Context, p ir.JWTProvider) []status.Problem {
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	keys, err := authn.NewRemoteKeys(*p.Keys.Remote, o.client, time.Now)
	if err != nil {
		return []status.Problem{status.Errorf(p.Origin, "key set: %v", err)}
	}
	defer keys.Close()
	if _, err := keys.Get(ctx); err != nil {
		return []status.Problem{status.Errorf(p.Origin, "key set %s: %v", keys.Status().URL, err).Fix("make it reachable from here, or correct the URL")}
	}
	return nil
}
