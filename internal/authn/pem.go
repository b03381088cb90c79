package authn

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemDash  = "-----"
)

// parsePEM reads every block of a text. Line ends need not be there: a
// manifest squeezed onto one line has lost them, which encoding/pem does not
// forgive. Text outside of blocks is passed over, as openssl writes some.
func parsePEM(text string) ([]key, error) {
	var keys []key
	for rest := text; ; {
		_, after, found := strings.Cut(rest, pemBegin)
		if !found {
			return keys, nil
		}
		label, body, ok := strings.Cut(after, pemDash)
		if !ok || strings.ContainsAny(label, "\r\n") {
			return nil, errors.New("PEM: a BEGIN line has no end")
		}
		body, rest, ok = strings.Cut(body, pemEnd+label+pemDash)
		if !ok {
			return nil, errors.New("PEM: a block has no END line of its kind")
		}
		if len(keys) == MaxKeys {
			return nil, errManyKeys
		}
		k, err := parsePEMBlock(label, body)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys), err)
		}
		keys = append(keys, k)
	}
}

func parsePEMBlock(label, body string) (key, error) {
	if strings.HasSuffix(label, "PRIVATE KEY") {
		return key{}, errPrivate
	}
	der, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return key{}, errors.New("not base64")
	}
	var k key
	switch label {
	case "PUBLIC KEY":
		k.use, err = x509.ParsePKIXPublicKey(der)
	case "RSA PUBLIC KEY":
		k.use, err = x509.ParsePKCS1PublicKey(der)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(der); err == nil {
			k.use = cert.PublicKey
		}
	default:
		return key{}, errFormat
	}
	if err != nil {
		return key{}, errors.New("its bytes are no such key")
	}
	k.algs, err = algsOf(k.use)
	return k, err
}
