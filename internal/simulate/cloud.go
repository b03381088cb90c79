package simulate

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// The identities of a Cloud that is told none.
const (
	demoAccessKeyID     = "AKIDSIMULATED0000000"
	demoSecretAccessKey = "simulated-secret-access-key-of-nobody"
	demoIssuer          = "https://idp.example.com"
	demoClientID        = "gateway"
	demoClientSecret    = "simulated-client-secret"
	demoAudience        = "sts.amazonaws.com"
	demoTenantID        = "00000000-0000-4000-8000-000000000001"
	demoAzureClientID   = "00000000-0000-4000-8000-000000000002"
	demoAzureSecret     = "simulated-azure-client-secret"
	demoServiceAccount  = "gateway@simulated.iam.gserviceaccount.com"
	demoGCPProvider     = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider"
)

// CloudConfig is who a Cloud knows. Zero fields are made up, and never
// anybody's real ones.
type CloudConfig struct {
	// Now tells the time; nil: time.Now. Unlike a provider's, a cloud's clock
	// goes on: what it issues ends.
	Now func() time.Time
	// Life of what is issued; zero: what is asked for, or one hour.
	Life time.Duration
	// AccessKeyID and SecretAccessKey are the account's keys that do not end.
	AccessKeyID, SecretAccessKey string
	// Issuer is the URL of the OIDC issuer; ClientID and ClientSecret are its
	// one client; Audience is in every token, unless another is asked for.
	Issuer, ClientID, ClientSecret, Audience string
	// ExternalID, if set, must come with AssumeRole.
	ExternalID string
	// TenantID is Entra's one directory; AzureClientID and AzureClientSecret
	// are its one application, which is the machine's identity, too.
	TenantID, AzureClientID, AzureClientSecret string
	// ServiceAccount is Google's one account, GCPProvider the audience of what
	// is traded for it: "//iam.googleapis.com/projects/…".
	ServiceAccount, GCPProvider string
}

// Cloud is what the simulated identity services agree on: the OIDC issuer signs
// tokens that STS trades for keys, which Bedrock then verifies. It keeps no
// list of what it issued: a session's token says all, and is sealed.
type Cloud struct {
	cfg  CloudConfig
	seal [32]byte
	key  func() *rsa.PrivateKey
	// account is the service account's key.
	account func() *rsa.PrivateKey

	mu   sync.Mutex
	life time.Duration
	skew time.Duration
}

// NewCloud returns a Cloud.
func NewCloud(cfg CloudConfig) *Cloud {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.AccessKeyID = cmp.Or(cfg.AccessKeyID, demoAccessKeyID)
	cfg.SecretAccessKey = cmp.Or(cfg.SecretAccessKey, demoSecretAccessKey)
	cfg.Issuer = cmp.Or(cfg.Issuer, demoIssuer)
	cfg.ClientID = cmp.Or(cfg.ClientID, demoClientID)
	cfg.ClientSecret = cmp.Or(cfg.ClientSecret, demoClientSecret)
	cfg.Audience = cmp.Or(cfg.Audience, demoAudience)
	cfg.TenantID = cmp.Or(cfg.TenantID, demoTenantID)
	cfg.AzureClientID = cmp.Or(cfg.AzureClientID, demoAzureClientID)
	cfg.AzureClientSecret = cmp.Or(cfg.AzureClientSecret, demoAzureSecret)
	cfg.ServiceAccount = cmp.Or(cfg.ServiceAccount, demoServiceAccount)
	cfg.GCPProvider = cmp.Or(cfg.GCPProvider, demoGCPProvider)
	c := &Cloud{cfg: cfg, life: cfg.Life, key: sync.OnceValue(newRSA), account: sync.OnceValue(newRSA)}
	_, _ = rand.Read(c.seal[:])
	return c
}

func newRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("simulate: signing key: " + err.Error()) // rand.Reader does not fail
	}
	return key
}

// Config returns who the Cloud knows, made up where nobody was named.
func (c *Cloud) Config() CloudConfig { return c.cfg }

// SetLife changes the lifetime of what is issued from now on: ten seconds, or
// less than zero for what has expired already.
func (c *Cloud) SetLife(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life = d
}

// SetSkew puts the Cloud's clock ahead of everybody else's, or behind.
func (c *Cloud) SetSkew(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew = d
}

// now is the time by the Cloud's clock.
func (c *Cloud) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg.Now().Add(c.skew)
}

// lifetime of what is issued now, to who asked for wanted.
func (c *Cloud) lifetime(wanted time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.life, wanted, time.Hour)
}

// dated puts the Cloud's time on an answer.
func (c *Cloud) dated(a Answer) Answer {
	if a.Header == nil {
		a.Header = http.Header{}
	}
	a.Header.Set("Date", c.now().UTC().Format(http.TimeFormat))
	return a
}

// secrets are what no record may show.
func (c *Cloud) secrets() []secret.Value {
	var out []secret.Value
	for _, s := range []string{c.cfg.SecretAccessKey, c.cfg.ClientSecret, c.cfg.AzureClientSecret} {
		out = append(out, secret.NewValue([]byte(s)))
	}
	return out
}

// Session is what a session token says.
type Session struct {
	// Role is the ARN of who it is, Name what the session is called.
	Role string `json:"role"`
	Name string `json:"name"`
	// Subject is who a web identity was of.
	Subject string            `json:"sub,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Expires time.Time         `json:"exp"`
}

// SessionKeys are keys that end.
type SessionKeys struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}

// Issue returns keys of a session that ends at s.Expires.
func (c *Cloud) Issue(s Session) SessionKeys {
	s.Expires = s.Expires.UTC().Truncate(time.Second)
	text := base64.RawURLEncoding.EncodeToString(encode(s))
	token := text + "." + c.digest("token", text)
	return SessionKeys{
		AccessKeyID: "ASIA" + strings.ToUpper(c.digest("id", token)[:16]), SecretAccessKey: c.digest("key", token)[:40],
		SessionToken: token, Expires: s.Expires,
	}
}

func (c *Cloud) digest(what, of string) string {
	h := hmac.New(sha256.New, c.seal[:])
	h.Write([]byte(what + ":" + of))
	return hex.EncodeToString(h.Sum(nil))
}

var errForged = errors.New("the security token included in the request is invalid")

// open reads a session token, if this Cloud has sealed it.
func (c *Cloud) open(token string) (Session, error) {
	var s Session
	text, seal, _ := strings.Cut(token, ".")
	if !hmac.Equal([]byte(seal), []byte(c.digest("token", text))) {
		return s, errForged
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, &s) != nil {
		return s, errForged
	}
	return s, nil
}

// cloud is cfg's Cloud, or a new one.
func (c ProviderConfig) cloud() *Cloud {
	if c.Cloud != nil {
		return c.Cloud
	}
	return NewCloud(CloudConfig{Now: c.Now})
}
