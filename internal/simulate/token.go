package simulate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxClaims bounds the claims of a token, in bytes.
const maxClaims = 64 << 10

// TokenConfig is what a development token is made of.
type TokenConfig struct {
	// Claims are a JSON object, signed as they are but for white space.
	Claims []byte
	// Key is a private key in PEM: RSA, EC (P-256, P-384, P-521) or Ed25519, in
	// PKCS #8, PKCS #1 or SEC 1. Empty makes a new RSA key.
	Key []byte
	// KeyID is the kid of token and key; empty leaves it out of both.
	KeyID string
}

// Token is a signed token and what verifies it. It holds no private key.
type Token struct {
	// JWT is the token in compact form.
	JWT string
	// JWKS is the key set, as JSON, with the public key in it.
	JWKS []byte
}

// NewKey makes a new RSA key of 2048 bits as PEM, for several tokens that are
// to be verified by one key set.
func NewKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Mint makes a token. The algorithm follows from the key: RS256, ES256, ES384,
// ES512 or EdDSA.
func Mint(cfg TokenConfig) (Token, error) {
	payload, err := compactClaims(cfg.Claims)
	if err != nil {
		return Token{}, err
	}
	if len(cfg.Key) == 0 {
		if cfg.Key, err = NewKey(); err != nil {
			return Token{}, err
		}
	}
	key, err := parseKey(cfg.Key)
	if err != nil {
		return Token{}, err
	}
	algorithm, err := algorithmOf(key)
	if err != nil {
		return Token{}, err
	}
	jwt, err := sign(payload, jose.JSONWebKey{Key: key, KeyID: cfg.KeyID}, algorithm)
	if err != nil {
		return Token{}, err
	}
	public := jose.JSONWebKey{Key: key.Public(), KeyID: cfg.KeyID, Algorithm: string(algorithm), Use: "sig"}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return Token{}, fmt.Errorf("encode key set: %w", err)
	}
	return Token{JWT: jwt, JWKS: jwks}, nil
}

// compactClaims checks that the claims are one JSON object and drops white
// space outside of its strings.
func compactClaims(claims []byte) ([]byte, error) {
	if len(claims) > maxClaims {
		return nil, fmt.Errorf("claims: longer than %d bytes", maxClaims)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(claims, &object); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if object == nil {
		return nil, errors.New("claims: want a JSON object")
	}
	var b bytes.Buffer
	if err := json.Compact(&b, claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return b.Bytes(), nil
}

func sign(payload []byte, key jose.JSONWebKey, algorithm jose.SignatureAlgorithm) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed.CompactSerialize()
}

// parseKey reads the first private key of a PEM file. Its errors never repeat
// what they read.
func parseKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	return nil, errors.New("signing key: want a PEM block with an RSA, EC or Ed25519 private key")
}

// parseBlock is the key in the block, or nil where the block holds none.
func parseBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, nil
}

func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return jose.RS256, nil
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
	}
	return "", errors.New("signing key: neither RSA, EC (P-256, P-384, P-521) nor Ed25519")
}
