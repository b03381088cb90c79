package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// onlineTimeout bounds each look at something that resources point to.
const onlineTimeout = 10 * time.Second

// checkOnline fetches every remote key set once, and tells which could not be
// used.
func checkOnline(ctx context.Context, c *ir.Config) []status.Problem {
	var out []status.Problem
	seen := map[string]bool{}
	for _, l := range c.Listeners {
		for _, h := range l.Hosts {
			for _, r := range h.Routes {
				for _, p := range remoteProviders(r) {
					if url := p.Keys.Remote.URL; !seen[url] {
						seen[url] = true
						out = append(out, fetchKeys(ctx, p)...)
					}
				}
			}
		}
	}
	return out
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

func fetchKeys(ctx context.Context, p ir.JWTProvider) []status.Problem {
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	client := &http.Client{Timeout: onlineTimeout}
	defer client.CloseIdleConnections()
	keys, err := authn.NewRemoteKeys(*p.Keys.Remote, client, time.Now)
	if err != nil {
		return []status.Problem{status.Errorf(p.Origin, "key set: %v", err)}
	}
	defer keys.Close()
	if _, err := keys.Get(ctx); err != nil {
		return []status.Problem{status.Errorf(p.Origin, "key set %s: %v", keys.Status().URL, err).Fix("make it reachable from here, or correct the URL")}
	}
	return nil
}
