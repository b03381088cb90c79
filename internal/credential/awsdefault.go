package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// Where a container and a machine are told of their identity.
const (
	containerHost = "http://169.254.170.2"
	machineHost   = "http://169.254.169.254"
	machineKeys   = "/latest/meta-data/iam/security-credentials/"
	machineToken  = "/latest/api/token"
	// machineTokenLife of a metadata session, in seconds.
	machineTokenLife = "300"
)

// defaultKeys says how keys are got by the SDK's chain: the environment, a web
// identity file (IRSA), the container's server (ECS, EKS Pod Identity), the
// machine's (IMDSv2). The first that is configured is the one, and its failure
// is not made good by the next. It is put together here, and not by the SDK's
// config package, since that reads files that may name programs to start.
func defaultKeys(region string, d Deps) Renewable[*awsKeys] {
	c := &chain{d: d, roles: newRoles(region, "", d)}
	return Renewable[*awsKeys]{Name: "aws default chain in " + region, Fetch: c.fetch}
}

type chain struct {
	d     Deps
	roles *roles
}

func (c *chain) env(name string) string {
	v, _ := c.d.Env(name)
	return v
}

func (c *chain) fetch(ctx context.Context) (*awsKeys, time.Time, error) {
	id, key := c.env("AWS_ACCESS_KEY_ID"), c.env("AWS_SECRET_ACCESS_KEY")
	switch file := c.env("AWS_WEB_IDENTITY_TOKEN_FILE"); {
	case id != "" || key != "":
		return wrapKeys("environment", lasting(c.d, func() (*awsKeys, error) { return newKeys(id, key, c.env("AWS_SESSION_TOKEN")) }))(ctx)
	case file != "":
		return wrapKeys("web identity", c.webIdentity(file))(ctx)
	case c.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || c.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return wrapKeys("container credentials", c.container)(ctx)
	case strings.EqualFold(c.env("AWS_EC2_METADATA_DISABLED"), "true"):
		return nil, time.Time{}, errors.New("the environment names no credentials, and instance metadata is disabled by AWS_EC2_METADATA_DISABLED")
	}
	return wrapKeys("instance metadata", c.machine)(ctx)
}

type fetchKeys func(context.Context) (*awsKeys, time.Time, error)

// wrapKeys says in errors where keys were looked for.
func wrapKeys(where string, fetch fetchKeys) fetchKeys {
	return func(ctx context.Context) (*awsKeys, time.Time, error) {
		k, ends, err := fetch(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", where, err)
		}
		return k, ends, err
	}
}

// lasting fetches keys that do not end.
func lasting(d Deps, get func() (*awsKeys, error)) fetchKeys {
	return func(context.Context) (*awsKeys, time.Time, error) {
		k, err := get()
		return k, d.Clock().Add(lastingLife), err
	}
}

func (c *chain) webIdentity(file string) fetchKeys {
	return func(ctx context.Context) (*awsKeys, time.Time, error) {
		role := &ir.AWSRole{ARN: c.env("AWS_ROLE_ARN"), SessionName: c.env("AWS_ROLE_SESSION_NAME")}
		if err := checkRole(role); err != nil {
			return nil, time.Time{}, fmt.Errorf("AWS_ROLE_ARN: %w", err)
		}
		token, _, err := readToken(file, c.d.Clock())
		if err != nil {
			return nil, time.Time{}, err
		}
		return c.roles.exchange(ctx, token, role)
	}
}

// container asks the container's server, by the rules of the SDKs: one that is
// named in full is https, on loopback, or one of AWS's own.
func (c *chain) container(ctx context.Context) (*awsKeys, time.Time, error) {
	raw := c.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if relative := c.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		raw = containerHost + relative
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && ownServer(u.Hostname())) {
		return nil, time.Time{}, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI: neither https nor a server of this machine")
	}
	token, err := c.containerToken()
	if err != nil {
		return nil, time.Time{}, err
	}
	header := http.Header{"Accept": {"application/json"}}
	if !token.IsZero() {
		header["Authorization"] = []string{string(token.Reveal())}
	}
	return c.getKeys(ctx, u.String(), header)
}

func (c *chain) containerToken() (secret.Value, error) {
	text := c.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" { // Pod Identity; it is renewed in place
		b, err := readSmall(file)
		if err != nil {
			return secret.Value{}, err
		}
		text = string(trim(b))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return secret.Value{}, errors.New("the container's authorization token holds a character that no header may hold")
	}
	return secret.NewValue([]byte(text)), nil
}

// ownServer reports whether plain HTTP may be spoken to a host: loopback, and
// the link-local addresses of ECS and EKS.
func ownServer(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	switch ip.String() {
	case "169.254.170.2", "169.254.170.23", "fd00:ec2::23":
		return true
	}
	return ip.Unmap().IsLoopback()
}

// machine asks the machine's server by sessions (IMDSv2), and never without:
// the version before can be tricked by a request that is led there.
func (c *chain) machine(ctx context.Context) (*awsKeys, time.Time, error) {
	base := strings.TrimSuffix(cmp.Or(c.env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), machineHost), "/")
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.User != nil {
		return nil, time.Time{}, errors.New("AWS_EC2_METADATA_SERVICE_ENDPOINT: not a URL")
	}
	session, err := c.text(ctx, http.MethodPut, base+machineToken, http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {machineTokenLife}})
	if err != nil {
		return nil, time.Time{}, err
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {session}}
	roles, err := c.text(ctx, http.MethodGet, base+machineKeys, header)
	if err != nil {
		return nil, time.Time{}, err
	}
	role, _, _ := strings.Cut(roles, "\n")
	return c.getKeys(ctx, base+machineKeys+url.PathEscape(strings.TrimSpace(role)), header)
}

// text fetches a line of plain text.
func (c *chain) text(ctx context.Context, method, u string, header http.Header) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return "", errors.New("not a URL that can be fetched")
	}
	r.Header = header
	a, err := c.d.askMachine(r)
	switch {
	case err != nil:
		return "", err
	case a.status != http.StatusOK:
		return "", fmt.Errorf("%s answered %d", label(r.URL), a.status)
	}
	text := strings.TrimSpace(string(a.body))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		return "", fmt.Errorf("%s: the answer is not what a metadata server answers", label(r.URL))
	}
	return text, nil
}

// getKeys fetches keys in the form that both servers give them in.
func (c *chain) getKeys(ctx context.Context, u string, header http.Header) (*awsKeys, time.Time, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, time.Time{}, errors.New("not a URL that can be fetched")
	}
	r.Header = header.Clone()
	a, err := c.d.askMachine(r)
	if err != nil {
		return nil, time.Time{}, err
	}
	fail := func(text string) (*awsKeys, time.Time, error) {
		return nil, time.Time{}, fmt.Errorf("%s: %s", label(r.URL), text)
	}
	if a.status != http.StatusOK {
		return fail(fmt.Sprintf("answered %d", a.status))
	}
	var doc struct {
		Code, AccessKeyID, SecretAccessKey, Token string
		Expiration                                time.Time
	}
	if a.decode(&doc) != nil {
		return fail("the answer is not the JSON that it should be")
	}
	if doc.Code != "" && doc.Code != "Success" {
		return fail("the server says " + cmp.Or(word(doc.Code), "no"))
	}
	if doc.Expiration.IsZero() || doc.Token == "" {
		return fail("the answer lacks a session token or an expiration")
	}
	keys, err := newKeys(doc.AccessKeyID, doc.SecretAccessKey, doc.Token)
	if err != nil {
		return fail(err.Error())
	}
	keys.skew = skewOf(a.serverTime(), a.began)
	return keys, a.end(doc.Expiration), nil
}
