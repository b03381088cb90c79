package glooauth

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// Spec is AuthConfigSpec: AuthConfig's spec, ExtAuthPolicy's glooAuth. Its
// fields are those of both families.
type Spec struct {
	BooleanExpr        *string  `json:"booleanExpr"`
	Configs            []Config `json:"configs"`
	FailOnRedirect     bool     `json:"failOnRedirect"`
	NamespacedStatuses present  `json:"namespacedStatuses"`
}

// SecretFields returns the paths of the Spec's sensitive fields for a kind
// that holds it at a path: "spec" gives "spec.configs.*...".
func SecretFields(at string) []string {
	return []string{
		at + ".configs.*.basicAuth.apr.users.*.hashedPassword",
		at + ".configs.*.basicAuth.userList.users.*.hashedPassword",
	}
}

// present is a field that is known and not read: nothing but whether it is
// there is kept, since it may hold secrets.
type present = reading.Present

// Config is one method of authentication. One of its fields besides Name is
// set.
type Config struct {
	Name            *string          `json:"name"`
	APIKeyAuth      *APIKeyAuth      `json:"apiKeyAuth"`
	BasicAuth       *BasicAuth       `json:"basicAuth"`
	HMACAuth        present          `json:"hmacAuth"`
	JWT             *struct{}        `json:"jwt"`
	LDAP            present          `json:"ldap"`
	OAuth           present          `json:"oauth"`
	OAuth2          *OAuth2          `json:"oauth2"`
	OPAAuth         present          `json:"opaAuth"`
	OPAServerAuth   present          `json:"opaServerAuth"`
	PassThroughAuth *PassThroughAuth `json:"passThroughAuth"`
	PluginAuth      present          `json:"pluginAuth"`
	PortalAuth      present          `json:"portalAuth"`
}

// field is a field with whether it is there.
type field struct {
	name  string
	there present
}

// unbuilt lists the methods that are known and not built.
func (c *Config) unbuilt() []field {
	return []field{
		{"hmacAuth", c.HMACAuth}, {"ldap", c.LDAP}, {"oauth", c.OAuth}, {"opaAuth", c.OPAAuth},
		{"opaServerAuth", c.OPAServerAuth}, {"pluginAuth", c.PluginAuth}, {"portalAuth", c.PortalAuth},
	}
}

func (c *Config) methods() int {
	n := 0
	for _, set := range []bool{c.APIKeyAuth != nil, c.BasicAuth != nil, c.JWT != nil, c.OAuth2 != nil, c.PassThroughAuth != nil} {
		if set {
			n++
		}
	}
	for _, f := range c.unbuilt() {
		if f.there {
			n++
		}
	}
	return n
}

// Ref names a resource; without a namespace, in the referrer's.
type Ref struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// APIKeyAuth authenticates by a key in a header. LabelSelector,
// APIKeySecretRefs and HeadersFromMetadata beside the storage are the forms of
// old releases.
type APIKeyAuth struct {
	HeaderName               string                   `json:"headerName"`
	K8sSecretAPIKeyStorage   *SecretStorage           `json:"k8sSecretApikeyStorage"`
	AerospikeAPIKeyStorage   present                  `json:"aerospikeApikeyStorage"`
	LabelSelector            map[string]string        `json:"labelSelector"`
	APIKeySecretRefs         []Ref                    `json:"apiKeySecretRefs"`
	HeadersFromMetadata      map[string]MetadataEntry `json:"headersFromMetadata"`
	HeadersFromMetadataEntry map[string]MetadataEntry `json:"headersFromMetadataEntry"`
	Digest                   *Digest                  `json:"digest"`
	HMAC                     present                  `json:"hmac"`
	Match                    *Match                   `json:"match"`
	SkipMetadataValidation   bool                     `json:"skipMetadataValidation"`
}

// SecretStorage says which Secrets hold keys.
type SecretStorage struct {
	LabelSelector    map[string]string `json:"labelSelector"`
	APIKeySecretRefs []Ref             `json:"apiKeySecretRefs"`
}

// MetadataEntry names the data key that becomes a header.
type MetadataEntry struct {
	Name     string `json:"name"`
	Required bool   `json:"required"`
}

// Digest says that Secrets hold digests of keys.
type Digest struct {
	Algorithm digestAlgorithm `json:"algorithm"`
}

type digestAlgorithm int

// The digests.
const digestSHA256 digestAlgorithm = 1

// UnmarshalJSON reads the enum Algorithm.
func (e *digestAlgorithm) UnmarshalJSON(b []byte) error {
	n, err := resource.ParseEnum(b, []string{"ALGORITHM_UNSPECIFIED", "SHA256"})
	*e = digestAlgorithm(n)
	return err
}

// Match lists the headers that may hold the key.
type Match struct {
	Headers []struct {
		Name string `json:"name"`
	} `json:"headers"`
}

// BasicAuth authenticates by user name and password. APR is the form of old
// releases; Encryption and UserList that of the new.
type BasicAuth struct {
	Realm      string      `json:"realm"`
	APR        *UserList   `json:"apr"`
	Encryption *Encryption `json:"encryption"`
	UserList   *UserList   `json:"userList"`
}

// Encryption says how passwords are hashed. One field is set.
type Encryption struct {
	APR  *struct{} `json:"apr"`
	SHA1 *struct{} `json:"sha1"`
}

// UserList holds salted hashes by user name.
type UserList struct {
	Users map[string]User `json:"users"`
}

// User is one user's salt and hash.
type User struct {
	Salt           string     `json:"salt"`
	HashedPassword secret.Ref `json:"hashedPassword"`
}
