package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// maxTokenFile bounds a file that holds a token, in bytes.
const maxTokenFile = 64 << 10

// subjectToken says how a token is got that is traded for another. It is got
// anew for each trade, so nothing keeps it; a Renewable that trades it takes
// over its Refs and its Check.
func subjectToken(cfg *ir.SubjectToken, d Deps) (Renewable[secret.Value], error) {
	switch {
	case cfg.Client != nil:
		return newOAuth(cfg.Client, d)
	case cfg.File != "":
		return Renewable[secret.Value]{Name: "token in " + cfg.File, Fetch: func(context.Context) (secret.Value, time.Time, error) {
			return readToken(cfg.File, d.Clock())
		}}, nil
	case cfg.SPIFFE != nil:
		return newSPIFFE(cfg.SPIFFE, d)
	}
	return Renewable[secret.Value]{}, errors.New("no source of a subject token is set")
}

// readToken reads a token that somebody else keeps fresh in a file.
func readToken(name string, now time.Time) (secret.Value, time.Time, error) {
	text, err := readSmall(name)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	token := string(trim(text))
	if err := checkToken(token); err != nil {
		return secret.Value{}, time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	ends, isJWT := jwtExpiry(token)
	if !isJWT {
		ends = now.Add(unsaidLife)
	}
	if !now.Before(ends) {
		return secret.Value{}, time.Time{}, fmt.Errorf("%s: the token in it has expired", name)
	}
	return secret.NewValue([]byte(token)), ends, nil
}

// readSmall reads a file of at most maxTokenFile bytes.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxTokenFile:
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxTokenFile)
	}
	return b, nil
}
