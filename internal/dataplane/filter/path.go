package filter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

const originalPath = "X-Envoy-Original-Path"

var errAmbiguous = errors.New("the rewritten path would hold a dot segment")

// NewPath returns the stage that gives the upstream another path. An upstream
// that wants to know gets the path before it in x-envoy-original-path, without
// the query.
//
// Whatever the client sends, what comes out is a normal path again: where the
// configured text and the rest of the client's path meet, a doubled slash
// becomes one (Envoy's prefix_rewrite leaves it), and a request that would
// make a dot segment there is answered with 400.
func NewPath(cfg *ir.PathRewrite) (dataplane.Stage, error) {
	r, err := newRewrite(cfg)
	if err != nil {
		return nil, err
	}
	return &path{r}, nil
}

type path struct{ rewrite *rewrite }

func (p *path) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	to, err := p.rewrite.path(e.Path, e.Matched)
	if err != nil {
		return dataplane.BadRequest(err.Error())
	}
	e.Outbound.Path = to
	if p.rewrite.query != "" {
		e.Outbound.RawQuery, e.Outbound.HasQuery = p.rewrite.withQuery(e.OutQuery()), true
	}
	e.SetHeader(originalPath, e.Path)
	return nil
}

// rewrite is an ir.PathRewrite made ready.
type rewrite struct {
	kind rewriteKind
	text string // normal; Prefix: may be empty; Segments: without trailing slash
	// query is what a full replacement writes, and names its parameters.
	query string
	names []string
	regex *substitution
}

type rewriteKind int

const (
	rewriteFull rewriteKind = iota
	rewritePrefix
	rewriteSegments
	rewriteRegex
)

func newRewrite(cfg *ir.PathRewrite) (*rewrite, error) {
	var err error
	r := &rewrite{}
	switch {
	case cfg.Full != nil:
		text, query, _ := strings.Cut(*cfg.Full, "?")
		if r.query, r.names, err = literalQuery(query); err == nil {
			r.text, err = literalPath(text)
		}
	case cfg.Prefix != nil:
		r.kind = rewritePrefix
		if *cfg.Prefix != "" {
			r.text, err = literalPath(*cfg.Prefix)
		}
	case cfg.Segments != nil:
		r.kind = rewriteSegments
		if *cfg.Segments != "" {
			r.text, err = literalPath(*cfg.Segments)
		}
		r.text = strings.TrimSuffix(r.text, "/")
	case cfg.Regex != nil:
		r.kind = rewriteRegex
		r.regex, err = newSubstitution(cfg.Regex)
		if err == nil && strings.ContainsAny(cfg.Regex.Substitution, "?#") {
			err = errors.New("a query cannot be written by a substitution")
		}
	default:
		err = errors.New("nothing to rewrite to")
	}
	if err != nil {
		return nil, fmt.Errorf("path rewrite: %w", err)
	}
	return r, nil
}

// path returns what takes the place of a normal path that m took.
func (r *rewrite) path(path string, m ir.PathMatch) (string, error) {
	switch r.kind {
	case rewritePrefix:
		return join(r.text, path[matched(path, m):])
	case rewriteSegments:
		if to := r.text + strings.TrimPrefix(path[matched(path, m):], "/"); to == r.text {
			return trailing(r.text, path, m), nil
		}
		return join(r.text+"/", path[matched(path, m):])
	case rewriteRegex:
		return normalResult(r.regex.apply(path))
	default:
		return r.text, nil
	}
}

// trailing is the segment-wise result where nothing follows the match: a
// slash that the client wrote after it stays.
func trailing(text, path string, m ir.PathMatch) string {
	if text == "" || matched(path, m) < len(path) {
		return text + "/"
	}
	return text
}

// matched returns how many bytes of path m took. A match that tells no part
// took everything, as for Envoy's prefix_rewrite on an exact or regex match.
func matched(path string, m ir.PathMatch) int {
	switch m.Kind {
	case ir.PathAny:
		return 0
	case ir.PathPrefix:
		return min(len(m.Value), len(path))
	case ir.PathSegments:
		return min(len(strings.TrimSuffix(m.Value, "/")), len(path))
	default:
		return len(path)
	}
}

// join puts the rest of a client's normal path behind a configured text.
func join(text, rest string) (string, error) {
	if text == "" && !strings.HasPrefix(rest, "/") {
		text = "/"
	}
	if strings.HasSuffix(text, "/") {
		rest = strings.TrimPrefix(rest, "/")
	}
	tail := text[strings.LastIndexByte(text, '/')+1:]
	if len(tail) <= 2 { // no longer one can be completed to a dot segment
		head, _, _ := strings.Cut(rest, "/")
		if isDotSegment(tail, head) {
			return "", errAmbiguous
		}
	}
	return text + rest, nil
}

// isDotSegment reports whether two parts make "." or "..".
func isDotSegment(a, b string) bool {
	n := len(a) + len(b)
	return n > 0 && n <= 2 && strings.Trim(a, ".") == "" && strings.Trim(b, ".") == ""
}

// longestPath bounds what a substitution may blow a path up to.
const longestPath = 16 << 10

// normalResult returns a path that a substitution made of a client's in normal
// form. One with a dot segment is refused, not resolved: it would lead out of
// what the configuration wrote before it.
func normalResult(path string) (string, error) {
	if len(path) > longestPath {
		return "", errors.New("the rewritten path is too long")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if isDotSegment(segment, "") {
			return "", errAmbiguous
		}
	}
	return dataplane.NormalizePath(path)
}

// literalPath returns a configured path as it is sent. Bytes that must be
// escaped are. An escaped slash and a semicolon, which a client may not send,
// may be configured.
func literalPath(s string) (string, error) {
	s = strings.ReplaceAll(s, " ", "%20")
	plain := strings.NewReplacer("%2F", "_", "%2f", "_", ";", "_").Replace(s)
	normal, err := dataplane.NormalizePath(plain)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q: %w", s, err)
	case plain == s:
		return normal, nil
	case plain != normal:
		return "", fmt.Errorf("%q: beside an escaped slash or a semicolon, everything must be in normal form: without dot segments and doubled slashes, other bytes escaped in upper case", s)
	}
	return s, nil
}

// literalQuery checks a configured query, and lists its parameters' names.
func literalQuery(q string) (string, []string, error) {
	var names []string
	for i := range len(q) {
		if c := q[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return "", nil, errors.New("the query holds a byte that must be escaped")
		}
	}
	for pair := range strings.SplitSeq(q, "&") {
		name, err := queryName(pair)
		if err != nil {
			return "", nil, err
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return q, names, nil
}

// withQuery joins the configured query and the client's. A parameter that the
// configuration writes, the client's query cannot hold too.
func (r *rewrite) withQuery(raw string) string {
	for _, name := range r.names {
		raw = dataplane.CutQuery(raw, name)
	}
	if raw == "" {
		return r.query
	}
	return r.query + "&" + raw
}
