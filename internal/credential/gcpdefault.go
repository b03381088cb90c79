package credential

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

const (
	gcpMetadata     = "metadata.google.internal"
	gcpMetadataPath = "/computeMetadata/v1/instance/service-accounts/default/token"
	gcpFlavor       = "Metadata-Flavor"
)

// fetchDefault gets a token by Application Default Credentials: the file that
// GOOGLE_APPLICATION_CREDENTIALS names, or else the metadata server. What
// gcloud leaves in a home directory is a person's login, and not looked at. See
// https://cloud.google.com/docs/authentication/application-default-credentials.
func (g *google) fetchDefault(ctx context.Context) (secret.Value, time.Time, error) {
	name, _ := g.deps.Env("GOOGLE_APPLICATION_CREDENTIALS")
	if name == "" {
		token, ends, err := g.machine(ctx)
		if err != nil {
			err = fmt.Errorf("metadata server: %w", err)
		}
		return token, ends, err
	}
	text, err := readSmall(name)
	if err != nil {
		return secret.Value{}, time.Time{}, fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
	}
	f, err := parseGCPFile(text)
	if err != nil {
		return secret.Value{}, time.Time{}, fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %s: %w", name, err)
	}
	token, ends, err := g.byFile(ctx, f)
	if err != nil {
		err = fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %s: %w", name, err)
	}
	return token, ends, err
}

func (g *google) byFile(ctx context.Context, f *gcpFile) (secret.Value, time.Time, error) {
	if f.Type == gcpExternalAccount {
		return g.external(ctx, &f.gcpExternal)
	}
	key, err := f.key()
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	return g.byKey(ctx, key)
}

// gcpExternal is what a file of type external_account says: a token in another
// file is traded, as in workload identity federation. Whoever starts the
// gateway names this file, so it may name another.
type gcpExternal struct {
	Audience    string `json:"audience"`
	SubjectType string `json:"subject_token_type"`
	TokenURL    string `json:"token_url"`
	Impersonate string `json:"service_account_impersonation_url"`
	Source      struct {
		File        string          `json:"file"`
		URL         json.RawMessage `json:"url"`
		Executable  json.RawMessage `json:"executable"`
		Environment json.RawMessage `json:"environment_id"`
		Certificate json.RawMessage `json:"certificate"`
		Format      struct {
			Type  string `json:"type"`
			Field string `json:"subject_token_field_name"`
		} `json:"format"`
	} `json:"credential_source"`
}

// external trades the token that the file names.
func (g *google) external(ctx context.Context, e *gcpExternal) (secret.Value, time.Time, error) {
	fail := func(err error) (secret.Value, time.Time, error) { return secret.Value{}, time.Time{}, err }
	x := exchange{url: e.TokenURL, audience: e.Audience, subjectType: e.SubjectType}
	switch {
	case e.Source.Executable != nil:
		return fail(errors.New("credential_source.executable is refused: it would start a program, which the gateway never does"))
	case e.Source.URL != nil || e.Source.Environment != nil || e.Source.Certificate != nil || e.Source.File == "":
		return fail(errors.New("credential_source: only a file is supported"))
	case e.SubjectType != gcpJWT && e.SubjectType != "urn:ietf:params:oauth:token-type:id_token":
		return fail(errors.New("subject_token_type: only a JWT is supported"))
	}
	if err := checkGoogle("token_url", e.TokenURL, "sts.googleapis.com"); err != nil {
		return fail(err)
	}
	if e.Impersonate != "" {
		rest, begins := strings.CutPrefix(e.Impersonate, gcpIAM)
		account, ends := strings.CutSuffix(rest, gcpGenerate)
		if x.account = account; !begins || !ends || account == "" {
			return fail(errors.New("service_account_impersonation_url is not " + gcpIAM + "ACCOUNT" + gcpGenerate))
		}
	}
	if err := x.check(); err != nil {
		return fail(err)
	}
	token, err := e.token(g.deps.Clock())
	if err != nil {
		return fail(err)
	}
	return g.trade(ctx, x, token)
}

// token reads the subject token: the text of the file, or a member of the JSON
// in it.
func (e *gcpExternal) token(now time.Time) (secret.Value, error) {
	if e.Source.Format.Type != "json" {
		token, _, err := readToken(e.Source.File, now)
		return token, err
	}
	text, err := readSmall(e.Source.File)
	if err != nil {
		return secret.Value{}, err
	}
	var members map[string]any
	_ = json.Unmarshal(text, &members)
	token, _ := members[e.Source.Format.Field].(string)
	if err := checkToken(token); err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", e.Source.File, err)
	}
	return secret.NewValue([]byte(token)), nil
}

// machine asks the metadata server. Its answer must name it, so that no other
// server is taken for it.
func (g *google) machine(ctx context.Context) (secret.Value, time.Time, error) {
	fail := func(err error) (secret.Value, time.Time, error) { return secret.Value{}, time.Time{}, err }
	host, _ := g.deps.Env("GCE_METADATA_HOST")
	host = cmp.Or(host, gcpMetadata)
	if strings.ContainsAny(host, "/?#@ ") {
		return fail(errors.New("GCE_METADATA_HOST: not a host"))
	}
	u := "http://" + host + gcpMetadataPath + "?" + url.Values{"scopes": {strings.Join(g.scopes, ",")}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return fail(errors.New("GCE_METADATA_HOST: not a host"))
	}
	r.Header.Set(gcpFlavor, "Google")
	a, err := g.deps.askMachine(r)
	switch {
	case err != nil:
		return fail(err)
	case a.header.Get(gcpFlavor) != "Google":
		return fail(fmt.Errorf("%s is not Google's metadata server", label(r.URL)))
	case a.status != http.StatusOK:
		return fail(fmt.Errorf("%s answered %d", label(r.URL), a.status))
	}
	return a.token()
}
