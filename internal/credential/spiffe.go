package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// newSPIFFE says how a JWT-SVID is got of the Workload API, which is on a
// socket of this machine. See
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md.
func newSPIFFE(cfg *ir.SPIFFEToken, d Deps) (Renewable[secret.Value], error) {
	if cfg.Audience == "" {
		return Renewable[secret.Value]{}, errors.New("spiffe: no audience is named")
	}
	if cfg.Socket != "" {
		if err := workloadapi.ValidateAddress(socketAddress(cfg.Socket)); err != nil {
			return Renewable[secret.Value]{}, fmt.Errorf("spiffe: socket: %w", err)
		}
	}
	return Renewable[secret.Value]{
		Name: "SPIFFE token for " + cfg.Audience,
		Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
			svid, err := fetchSVID(ctx, cfg, d)
			if err != nil {
				return secret.Value{}, time.Time{}, err
			}
			return secret.NewValue([]byte(svid.Marshal())), svid.Expiry, nil
		},
	}, nil
}

func fetchSVID(ctx context.Context, cfg *ir.SPIFFEToken, d Deps) (*jwtsvid.SVID, error) {
	env, _ := d.Env(workloadapi.SocketEnv)
	addr := cmp.Or(cfg.Socket, env)
	if addr == "" {
		return nil, fmt.Errorf("no socket of the Workload API is named, nor is %s set", workloadapi.SocketEnv)
	}
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: cfg.Audience}, workloadapi.WithAddr(socketAddress(addr)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the Workload API: %w", err)
	case !d.Clock().Before(svid.Expiry):
		return nil, errors.New("the Workload API gave a token that has expired")
	}
	return svid, nil
}

// socketAddress takes a bare path for one of a Unix socket.
func socketAddress(s string) string {
	if s != "" && s[0] == '/' {
		return "unix://" + s
	}
	return s
}
