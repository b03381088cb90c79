package credential

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const gcpJWT = "urn:ietf:params:oauth:token-type:jwt"

var gcpEmail = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+$`)

// exchange is a trade at Google's security token service (RFC 8693), and who
// is impersonated with what comes of it; "": nobody. See
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token.
type exchange struct {
	url, audience, subjectType string
	account                    string
}

// federation says how an outside token is traded for one of Google's.
func (g *google) federation(cfg *ir.GCPFederation) (Renewable[secret.Value], error) {
	x := exchange{url: cmp.Or(cfg.TokenURL, gcpSTS), audience: cfg.Audience, subjectType: gcpJWT, account: cfg.ServiceAccount}
	if err := x.check(); err != nil {
		return Renewable[secret.Value]{}, err
	}
	subject, err := subjectToken(&cfg.Subject, g.deps)
	if err != nil {
		return subject, err
	}
	name := "google identity " + cfg.Audience
	if cfg.ServiceAccount != "" {
		name = "google service account " + cfg.ServiceAccount
	}
	return Renewable[secret.Value]{
		Name: name + " by " + subject.Name, Refs: subject.Refs, Check: subject.Check,
		Fetch: func(ctx context.Context) (secret.Value, time.Time, error) {
			token, _, err := subject.Fetch(ctx)
			if err != nil {
				return secret.Value{}, time.Time{}, fmt.Errorf("%s: %w", subject.Name, err)
			}
			return g.trade(ctx, x, token)
		},
	}, nil
}

// check refuses what Google would refuse each time.
func (x exchange) check() error {
	u, err := url.Parse(x.url)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("token endpoint: not an https URL")
	case x.audience == "":
		return errors.New("no audience is named; want //iam.googleapis.com/projects/…/providers/…")
	case x.account != "" && !gcpEmail.MatchString(x.account):
		return fmt.Errorf("%q is not a service account's address, such as name@project.iam.gserviceaccount.com", short(x.account))
	}
	return nil
}

// trade gets a token for token.
func (g *google) trade(ctx context.Context, x exchange, token secret.Value) (secret.Value, time.Time, error) {
	own, ends, err := g.post(ctx, x.url, url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {x.audience},
		"scope":                {strings.Join(g.scopes, " ")},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token_type":   {x.subjectType},
		"subject_token":        {string(token.Reveal())},
	}, token)
	if err != nil || x.account == "" {
		return own, ends, err
	}
	return g.impersonate(ctx, x.account, own)
}

// impersonate gets a token of a service account by one that may. See
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken.
func (g *google) impersonate(ctx context.Context, account string, by secret.Value) (secret.Value, time.Time, error) {
	fail := func(err error) (secret.Value, time.Time, error) {
		return secret.Value{}, time.Time{}, fmt.Errorf("impersonate %s: %w", account, err)
	}
	body, err := json.Marshal(map[string][]string{"scope": g.scopes})
	if err != nil {
		return fail(errors.New("the scopes cannot be written"))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, gcpIAM+url.PathEscape(account)+gcpGenerate, bytes.NewReader(body))
	if err != nil {
		return fail(errors.New("not a URL that can be fetched"))
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", bearer+string(by.Reveal()))
	a, err := g.deps.ask(r)
	if err != nil {
		return fail(err)
	}
	if a.status != http.StatusOK {
		return fail(a.googleRefusal(by))
	}
	var doc struct {
		Token   string    `json:"accessToken"`
		Expires time.Time `json:"expireTime"`
	}
	switch err := a.decode(&doc); {
	case err != nil:
		return fail(err)
	case doc.Expires.IsZero():
		return fail(errors.New("the answer lacks expireTime"))
	}
	if err := checkToken(doc.Token); err != nil {
		return fail(fmt.Errorf("accessToken: %w", err))
	}
	return secret.NewValue([]byte(doc.Token)), a.end(doc.Expires), nil
}

// googleRefusal says what one of Google's APIs answered.
func (a *reply) googleRefusal(sent ...secret.Value) error {
	var doc struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	text := fmt.Sprintf("answered %d", a.status)
	if a.decode(&doc) != nil {
		return errors.New(text)
	}
	if code := word(doc.Error.Status); code != "" {
		text += ", " + code
	}
	if said, _, _ := strings.Cut(doc.Error.Message, "\n"); said != "" {
		text += ": " + withoutSecrets(said, sent)
	}
	return errors.New(text)
}
