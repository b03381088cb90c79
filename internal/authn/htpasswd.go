package authn

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// Bounds on a file of users.
const (
	maxHtpasswd      = 1 << 20
	maxHtpasswdLines = 10_000
)

// readFile adds the users of the configured file, as Apache's htpasswd writes
// it: a name, a colon, and "{SHA}" or "$apr1$" with the hash. A line that
// cannot be used lets nobody in, and is told of by its number; of two lines
// for one name, the first counts.
func (b *Basic) readFile(t *userTable, decoys map[string]*basicUser, file secret.Value) {
	fault := func(format string, args ...any) {
		if len(t.faults) < mostProblems {
			t.faults = append(t.faults, status.Errorf(b.origin, format, args...).Fix("correct it with htpasswd -s"))
		}
	}
	if len(file.Reveal()) == 0 || len(file.Reveal()) > maxHtpasswd {
		fault("%v is empty, missing or larger than %d bytes: it lets nobody in", b.file, maxHtpasswd)
		return
	}
	n := 0
	for line := range strings.Lines(string(file.Reveal())) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, u, err := parseHtpasswd(line)
		switch {
		case n > maxHtpasswdLines:
			fault("%v has more than %d lines: those after it let nobody in", b.file, maxHtpasswdLines)
			return
		case err != nil:
			fault("%v: line %d lets nobody in: %v", b.file, n, err)
		case t.users[name] != nil:
			fault("%v: line %d is of a user who is there before: it lets nobody in", b.file, n)
		default:
			t.users[name] = u
			decoys[u.hash.algorithm] = &basicUser{u.hash, make([]byte, len(u.want))}
		}
	}
}

// parseHtpasswd reads one line. No error repeats what it holds.
func parseHtpasswd(line string) (string, *basicUser, error) {
	name, text, ok := strings.Cut(line, ":")
	if !ok || name == "" || len(name) > maxUserName || !validHeaderValue(name) {
		return "", nil, fmt.Errorf("it is no name, colon and hash")
	}
	algorithm, salt := "", ""
	switch {
	case strings.HasPrefix(text, "{SHA}"):
		algorithm = "sha1"
	case strings.HasPrefix(text, "$apr1$"):
		algorithm = "apr1"
		salt, _, _ = strings.Cut(strings.TrimPrefix(text, "$apr1$"), "$")
	default:
		return "", nil, fmt.Errorf("its hash is neither {SHA} nor $apr1$")
	}
	h, err := newPasswordHash(algorithm, salt)
	if err != nil {
		return "", nil, errHashForm
	}
	want, err := h.parse(text)
	if err != nil {
		return "", nil, err
	}
	return name, &basicUser{h, want}, nil
}
