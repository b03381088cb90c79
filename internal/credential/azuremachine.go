package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const (
	azureMachineToken   = "/metadata/identity/oauth2/token"
	azureMachineVersion = "2018-02-01"
	azureAppVersion     = "2019-08-01"
)

// azureMachine says how the token of a managed identity is got: of the
// machine's metadata server, or of the one that App Service and Container Apps
// name in the environment. The SDK's own way is not taken: it keeps tokens in
// a cache of the whole process, where the Rotator could not renew them, and
// looks at the process's environment alone. See
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token.
func azureMachine(cfg *ir.AzureToken, d Deps) (Renewable[secret.Value], error) {
	name := "azure managed identity"
	if cfg.ClientID != "" {
		name += " " + cfg.ClientID
	}
	query := url.Values{"resource": {strings.TrimSuffix(cmp.Or(cfg.Scope, azureScope), "/.default")}}
	if cfg.ClientID != "" {
		query.Set("client_id", cfg.ClientID)
	}
	return Renewable[secret.Value]{Name: name, Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
		r, err := azureMachineRequest(ctx, query, d)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		a, err := d.askMachine(r)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		if a.status != http.StatusOK {
			return secret.Value{}, time.Time{}, fmt.Errorf("%s %w", label(r.URL), a.refusal())
		}
		return a.token()
	}}, nil
}

// azureMachineRequest returns the request for a token, by what the
// environment says of where the gateway runs.
func azureMachineRequest(ctx context.Context, query url.Values, d Deps) (*http.Request, error) {
	env := func(name string) string { v, _ := d.Env(name); return v }
	own, proof := env("IDENTITY_ENDPOINT"), env("IDENTITY_HEADER")
	switch {
	case own != "" && env("IDENTITY_SERVER_THUMBPRINT") != "":
		return nil, errors.New("managed identities of Service Fabric are not supported")
	case own != "" && proof == "", env("IMDS_ENDPOINT") != "":
		return nil, errors.New("managed identities of Azure Arc are not supported")
	case own == "" && env("MSI_ENDPOINT") != "":
		return nil, errors.New("managed identities of Cloud Shell and Azure ML are not supported")
	case own == "":
		r, err := machineRequest(ctx, machineHost+azureMachineToken, query, azureMachineVersion)
		if err == nil {
			r.Header.Set("Metadata", "true")
		}
		return r, err
	}
	if strings.ContainsFunc(proof, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("IDENTITY_HEADER holds a character that no header may hold")
	}
	if err := checkURL("IDENTITY_ENDPOINT", own); err != nil {
		return nil, err
	}
	r, err := machineRequest(ctx, own, query, azureAppVersion)
	if err == nil {
		r.Header.Set("X-Identity-Header", proof)
	}
	return r, err
}

func machineRequest(ctx context.Context, base string, query url.Values, version string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base, nil)
	if err != nil {
		return nil, errors.New("not a URL that can be fetched")
	}
	all := r.URL.Query()
	for name, values := range query {
		all[name] = values
	}
	all.Set("api-version", version)
	r.URL.RawQuery = all.Encode()
	return r, nil
}
