package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// maxProfiles bounds how many profiles a chain may lead through.
const maxProfiles = 8

// profile is a section of a shared credentials file. Values may be secret, and
// appear in no error.
type profile map[string]string

// plan is what a profile of a file comes down to: keys, and the roles that
// are assumed with them, one after another.
type plan struct {
	keys  *awsKeys
	roles []ir.AWSRole
}

// refusedSettings are those of a profile that would start a program, read
// another file, ask a person, or lend out the identity of this very machine;
// a file in a secret may do none of it.
var refusedSettings = []struct{ name, why string }{
	{"credential_process", "it would start a program, which the gateway never does; put keys or a role_arn with a source_profile there"},
	{"sso_session", "it needs a person to log in"},
	{"sso_start_url", "it needs a person to log in"},
	{"sso_account_id", "it needs a person to log in"},
	{"login_session", "it needs a person to log in"},
	{"web_identity_token_file", "it would read another file; use an exchange or the default chain in place of it"},
	{"credential_source", "it would lend out the identity of the gateway's own machine; use the default chain in place of it"},
	{"mfa_serial", "it needs a person with a device"},
	{"include", "it would read another file"},
}

// fileKeys says how the keys of a shared credentials file are got. It is
// parsed in memory, once for each version of its bytes.
func fileKeys(cfg *ir.AWSFile, region string, d Deps) (Renewable[*awsKeys], error) {
	if cfg.Contents.IsZero() {
		return Renewable[*awsKeys]{}, errors.New("no secret with a credentials file is named")
	}
	name := cmp.Or(cfg.Profile, "default")
	derived := secret.Derive(d.Store, []secret.Ref{cfg.Contents}, func(v []secret.Value) (*plan, error) {
		p, err := parsePlan(string(v[0].Reveal()), name)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", cfg.Contents, err)
		}
		return p, nil
	})
	at := newRoles(region, "", d)
	return Renewable[*awsKeys]{
		Name: fmt.Sprintf("aws profile %s in %v", name, cfg.Contents), Refs: derived.Refs(),
		Check: func() error { _, err := derived.Get(); return err },
		Fetch: func(ctx context.Context) (*awsKeys, time.Time, error) {
			p, err := derived.Get()
			if err != nil {
				return nil, time.Time{}, err
			}
			keys, ends := p.keys, d.Clock().Add(lastingLife)
			for i := range p.roles {
				if keys, ends, err = at.assume(ctx, keys, &p.roles[i]); err != nil {
					return nil, time.Time{}, err
				}
			}
			return keys, ends, nil
		},
	}, nil
}

// parsePlan follows a profile to its keys.
func parsePlan(text, name string) (*plan, error) {
	profiles, err := parseProfiles(text)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	for visited := map[string]bool{}; ; {
		if visited[name] || len(visited) == maxProfiles {
			return nil, fmt.Errorf("profile %q: its source_profile leads in a circle, or too far", name)
		}
		visited[name] = true
		section, ok := profiles[name]
		if !ok {
			return nil, fmt.Errorf("there is no profile %q in it", name)
		}
		next, err := p.take(name, section)
		if err != nil || next == "" {
			return p, err
		}
		name = next
	}
}

// take adds what one profile says, and returns the name of the next; "" at the
// end.
func (p *plan) take(name string, s profile) (string, error) {
	for _, refused := range refusedSettings {
		if _, ok := s[refused.name]; ok {
			return "", fmt.Errorf("profile %q: %s is refused: %s", name, refused.name, refused.why)
		}
	}
	source, hasKeys := s["source_profile"], s["aws_access_key_id"] != "" || s["aws_secret_access_key"] != ""
	if arn := s["role_arn"]; arn != "" {
		role := ir.AWSRole{ARN: arn, ExternalID: s["external_id"], SessionName: s["role_session_name"]}
		if text := s["duration_seconds"]; text != "" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return "", fmt.Errorf("profile %q: duration_seconds is not a number", name)
			}
			role.Duration = time.Duration(n) * time.Second
		}
		if err := checkRole(&role); err != nil {
			return "", fmt.Errorf("profile %q: %w", name, err)
		}
		p.roles = append([]ir.AWSRole{role}, p.roles...) // the one nearest to the keys comes first
		if source != "" && source != name {
			return source, nil
		}
		if source == "" {
			return "", fmt.Errorf("profile %q: role_arn without source_profile", name)
		}
	}
	if !hasKeys {
		return "", fmt.Errorf("profile %q: it has neither keys nor a role_arn with a source_profile", name)
	}
	keys, err := newKeys(s["aws_access_key_id"], s["aws_secret_access_key"], s["aws_session_token"])
	if err != nil {
		return "", fmt.Errorf("profile %q: %w", name, err)
	}
	p.keys = keys
	return "", nil
}

// parseProfiles reads the file's form: sections in brackets, with "profile "
// before the name or without; settings name = value, indented ones of a
// setting above are passed over; # and ; begin a comment.
func parseProfiles(text string) (map[string]profile, error) {
	out := map[string]profile{}
	var now profile
	for n, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, ok := sectionName(line)
			if !ok {
				return nil, fmt.Errorf("line %d: a section's name is not closed", n+1)
			}
			if now = out[name]; now == nil {
				now = profile{}
				out[name] = now
			}
		default:
			name, value, ok := strings.Cut(line, "=")
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
			_, nested := now["\x00"]
			switch {
			case indented && nested: // of a setting with settings of its own
			case !ok || name == "":
				return nil, fmt.Errorf("line %d: neither a section nor name = value", n+1)
			case now == nil:
				return nil, fmt.Errorf("line %d: a setting before the first section", n+1)
			default:
				delete(now, "\x00")
				if value == "" {
					now["\x00"] = name
				}
				now[name] = value
			}
		}
	}
	for _, p := range out {
		delete(p, "\x00")
	}
	return out, nil
}

func sectionName(line string) (string, bool) {
	name, _, ok := strings.Cut(line[1:], "]")
	name = strings.TrimSpace(name)
	if rest, is := strings.CutPrefix(name, "profile"); is && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		name = strings.Trim(strings.TrimSpace(rest), `"'`)
	}
	return name, ok && name != ""
}
