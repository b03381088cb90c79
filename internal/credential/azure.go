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

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const (
	azureAuthority = "https://login.microsoftonline.com"
	// azureScope is that of Azure's AI services.
	azureScope = "https://cognitiveservices.azure.com/.default"
)

// azureToken says how an Entra access token is got. See
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
func azureToken(cfg *ir.AzureToken, d Deps) (Renewable[secret.Value], error) {
	what, err := azureSource(cfg, d)
	if err != nil {
		return what, fmt.Errorf("azure: %w", err)
	}
	return what, nil
}

func azureSource(cfg *ir.AzureToken, d Deps) (Renewable[secret.Value], error) {
	if cfg.ManagedIdentity {
		return azureMachine(cfg, d)
	}
	if err := checkEntra(cfg); err != nil {
		return Renewable[secret.Value]{}, err
	}
	e := &entra{cfg: cfg, deps: d}
	name := "azure client " + cfg.ClientID + " of tenant " + cfg.TenantID
	switch {
	case !cfg.ClientSecret.IsZero():
		return e.withSecret(name), nil
	case cfg.Federated != nil:
		return e.withAssertion(name)
	}
	return Renewable[secret.Value]{}, errors.New("no client secret, federated token or managed identity is set")
}

// checkEntra refuses what Entra would refuse each time.
func checkEntra(cfg *ir.AzureToken) error {
	u, err := url.Parse(cmp.Or(cfg.Authority, azureAuthority))
	switch {
	case cfg.ClientID == "":
		return errors.New("no client id is named")
	case cfg.TenantID == "":
		return errors.New("no tenant is named")
	case strings.ContainsFunc(cfg.TenantID, func(r rune) bool {
		return r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		return fmt.Errorf("tenant %q: neither an id nor a domain", short(cfg.TenantID))
	case cfg.TenantID == "common" || cfg.TenantID == "organizations" || cfg.TenantID == "consumers":
		return fmt.Errorf("tenant %q is for people who log in; name the directory that the client is in", cfg.TenantID)
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("authority: not an https URL")
	}
	return nil
}

// entra gets tokens by the client credentials grant, through the SDK.
type entra struct {
	cfg  *ir.AzureToken
	deps Deps
}

// withSecret says how a token is got by a client's secret.
func (e *entra) withSecret(name string) Renewable[secret.Value] {
	ref := e.cfg.ClientSecret
	key := secret.Derive(e.deps.Store, []secret.Ref{ref}, func(v []secret.Value) (secret.Value, error) {
		b, err := clean(ref, v[0])
		return secret.NewValue(b), err
	})
	return Renewable[secret.Value]{
		Name: name, Refs: key.Refs(),
		Check: func() error { _, err := key.Get(); return err },
		Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
			k, err := key.Get()
			if err != nil {
				return secret.Value{}, time.Time{}, err
			}
			w := &wire{client: e.deps.Client}
			c, err := azidentity.NewClientSecretCredential(e.cfg.TenantID, e.cfg.ClientID, string(k.Reveal()), &azidentity.ClientSecretCredentialOptions{
				ClientOptions: e.options(w), DisableInstanceDiscovery: true,
			})
			if err != nil {
				return secret.Value{}, time.Time{}, errRefused
			}
			return e.get(ctx, c, w, k)
		},
	}
}

// withAssertion says how a token is got by another token, which an issuer
// signed that the client trusts (workload identity federation).
func (e *entra) withAssertion(name string) (Renewable[secret.Value], error) {
	subject, err := subjectToken(e.cfg.Federated, e.deps)
	if err != nil {
		return subject, err
	}
	return Renewable[secret.Value]{
		Name: name + " by " + subject.Name, Refs: subject.Refs, Check: subject.Check,
		Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
			token, _, err := subject.Fetch(ctx)
			if err != nil {
				return secret.Value{}, time.Time{}, fmt.Errorf("%s: %w", subject.Name, err)
			}
			show := func(context.Context) (string, error) { return string(token.Reveal()), nil }
			w := &wire{client: e.deps.Client}
			c, err := azidentity.NewClientAssertionCredential(e.cfg.TenantID, e.cfg.ClientID, show, &azidentity.ClientAssertionCredentialOptions{
				ClientOptions: e.options(w), DisableInstanceDiscovery: true,
			})
			if err != nil {
				return secret.Value{}, time.Time{}, errRefused
			}
			return e.get(ctx, c, w, token)
		},
	}, nil
}

// options let the SDK speak through the gateway's client alone, once for each
// fetch: the Rotator backs off. What Microsoft's own instance discovery would
// say of an authority is not asked for: the configuration names it.
func (e *entra) options(w *wire) policy.ClientOptions {
	return policy.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: cmp.Or(e.cfg.Authority, azureAuthority)},
		Transport: w,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
}

// errRefused hides an error that may quote what is secret.
var errRefused = errors.New("the SDK refuses the configuration")

// wire is how the SDK reaches Entra in one fetch. It remembers why that did
// not go through, which the SDK's own errors wrap in whole URLs.
type wire struct {
	client *http.Client
	err    error
}

// Do sends r.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.client.Do(r)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		w.err = fmt.Errorf("%s: %w", label(r.URL), err)
		return nil, w.err
	}
	return resp, nil
}

// get asks c, which is made anew for each fetch: an older one would answer out
// of its cache. sent is what no error may repeat.
func (e *entra) get(ctx context.Context, c azcore.TokenCredential, w *wire, sent secret.Value) (secret.Value, time.Time, error) {
	t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{cmp.Or(e.cfg.Scope, azureScope)}})
	if err != nil {
		if w.err != nil {
			return secret.Value{}, time.Time{}, w.err
		}
		return secret.Value{}, time.Time{}, entraError(err, sent)
	}
	if err := checkToken(t.Token); err != nil {
		return secret.Value{}, time.Time{}, fmt.Errorf("entra: %w", err)
	}
	return secret.NewValue([]byte(t.Token)), t.ExpiresOn, nil
}

// entraError says what went wrong. Entra's description begins with its own
// code and what to do, so its first sentence is repeated; the SDK's text, which
// holds the whole answer, is not.
func entraError(err error, sent secret.Value) error {
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("entra: %s", withoutSecrets(text, []secret.Value{sent}))
	}
	body, _ := runtime.Payload(failed.RawResponse)
	a := reply{status: failed.RawResponse.StatusCode, header: failed.RawResponse.Header, body: body}
	return fmt.Errorf("entra %w", a.refusal(sent))
}

// refusal says what an authorization server of a cloud answered: its standard
// code, and of its description the first sentence, if nothing of sent is in it.
func (a *reply) refusal(sent ...secret.Value) error {
	var doc struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	text := fmt.Sprintf("answered %d", a.status)
	if a.decode(&doc) != nil {
		return errors.New(text)
	}
	if code := word(doc.Error); code != "" {
		text += ", " + code
	}
	said, _, _ := strings.Cut(strings.NewReplacer("\r", "\n").Replace(doc.Description), "\n")
	said, _, _ = strings.Cut(said, " Trace ID:")
	if said = strings.TrimSpace(said); said != "" {
		text += ": " + withoutSecrets(said, sent)
	}
	return errors.New(text)
}
