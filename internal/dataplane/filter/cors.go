package filter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewCORS returns the stage that answers preflights and marks answers, so that
// pages of other origins may read them (fetch.spec.whatwg.org, "CORS
// protocol"). It comes before anyone is asked who they are, since a preflight
// carries no credential.
//
// As Envoy's filter does, it answers a preflight of an allowed origin with 200
// whatever else it asks, and leaves it to the browser to compare; and it lets
// other origins' requests pass without a mark, preflights only where they are
// not to be answered here. It guards nothing: it tells browsers what to guard.
func NewCORS(cfg *ir.CORS) (dataplane.Stage, error) {
	c := &cors{credentials: cfg.AllowCredentials, answerOthers: cfg.AnswerOthers}
	for _, o := range cfg.AllowOrigins {
		p, err := newOriginPattern(o)
		if err != nil {
			return nil, fmt.Errorf("CORS: origin %q: %w", o, err)
		}
		c.origins = append(c.origins, p)
	}
	for _, expr := range cfg.AllowOriginRegex {
		re, err := match.Regex(expr)
		if err != nil {
			return nil, fmt.Errorf("CORS: origin: %w", err)
		}
		c.regexes = append(c.regexes, re)
	}
	var err error
	if c.methods, err = newNameList(cfg.AllowMethods); err != nil {
		return nil, fmt.Errorf("CORS: methods: %w", err)
	}
	if c.headers, err = newNameList(cfg.AllowHeaders); err != nil {
		return nil, fmt.Errorf("CORS: headers: %w", err)
	}
	if c.expose, err = newNameList(cfg.ExposeHeaders); err != nil {
		return nil, fmt.Errorf("CORS: exposed headers: %w", err)
	}
	if cfg.MaxAgeSeconds != nil {
		c.maxAge = strconv.Itoa(*cfg.MaxAgeSeconds)
	}
	return c, nil
}

type cors struct {
	origins                  []originPattern
	regexes                  []*regexp.Regexp
	methods, headers, expose nameList
	credentials              bool
	answerOthers             bool
	maxAge                   string
}

// nameList is a list for a header's value; with a wildcard it is whatever the
// browser asks for, so that it also holds with credentials.
type nameList struct {
	text string
	any  bool
}

func newNameList(names []string) (nameList, error) {
	for _, n := range names {
		if n == "*" {
			return nameList{any: true}, nil
		}
		if !isToken(n) {
			return nameList{}, fmt.Errorf("%q is not a name", n)
		}
	}
	return nameList{text: strings.Join(names, ", ")}, nil
}

func (l nameList) value(asked string) string {
	if l.any {
		return asked
	}
	return l.text
}

func (c *cors) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	origins := e.Header["Origin"]
	asked := e.Header.Get("Access-Control-Request-Method")
	preflight := e.Method == http.MethodOptions && asked != "" && len(origins) > 0
	if len(origins) != 1 || !c.allows(origins[0]) {
		if preflight && c.answerOthers {
			return &dataplane.Answer{Status: http.StatusOK, Header: http.Header{"Vary": {preflightVary}}, Verdict: dataplane.Allowed}
		}
		e.OnAnswer(vary)
		return nil
	}
	origin := origins[0]
	if preflight {
		return c.preflight(e, origin, asked)
	}
	e.OnAnswer(func(_ int, h http.Header) { c.mark(h, origin) })
	return nil
}

// preflightVary tells caches what the answer to a preflight depends on.
const preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

func (c *cors) preflight(e *dataplane.Exchange, origin, method string) *dataplane.Answer {
	h := http.Header{}
	c.allow(h, origin)
	h["Vary"] = []string{preflightVary}
	setUnlessEmpty(h, "Access-Control-Allow-Methods", c.methods.value(method))
	setUnlessEmpty(h, "Access-Control-Allow-Headers", c.headers.value(e.Header.Get("Access-Control-Request-Headers")))
	setUnlessEmpty(h, "Access-Control-Max-Age", c.maxAge)
	c.exposes(h)
	return &dataplane.Answer{Status: http.StatusOK, Header: h, Verdict: dataplane.Allowed}
}

// mark lets the origin's page read an answer. The upstream's own marks are
// replaced: there can be only one.
func (c *cors) mark(h http.Header, origin string) {
	vary(0, h)
	h.Del("Access-Control-Allow-Credentials")
	c.allow(h, origin)
	c.exposes(h)
}

// exposes names the headers that a page may read. In the answer to a preflight
// browsers do not look for them, but Envoy sends them there, too.
func (c *cors) exposes(h http.Header) {
	switch {
	case !c.expose.any:
		setUnlessEmpty(h, "Access-Control-Expose-Headers", c.expose.text)
	case !c.credentials: // with credentials, * is a name like any other
		h.Set("Access-Control-Expose-Headers", "*")
	}
}

// allow names the origin, never *, so that it also holds with credentials.
func (c *cors) allow(h http.Header, origin string) {
	h["Access-Control-Allow-Origin"] = []string{origin}
	if c.credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
}

// vary tells caches that the answer depends on the origin.
func vary(_ int, h http.Header) {
	for _, v := range h["Vary"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return
			}
		}
	}
	h.Add("Vary", "Origin")
}

func setUnlessEmpty(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

func (c *cors) allows(origin string) bool {
	for i := range c.origins {
		if c.origins[i].matches(origin) {
			return true
		}
	}
	for _, re := range c.regexes {
		if re.MatchString(origin) {
			return true
		}
	}
	return false
}

// originPattern is an origin, any origin, or one with a wildcard that stands
// for some of its host and port.
type originPattern struct {
	before, after string
	wild, any     bool
}

func newOriginPattern(s string) (originPattern, error) {
	if s == "*" {
		return originPattern{any: true}, nil
	}
	if !isFieldValue(s) || s == "" {
		return originPattern{}, errors.New("is none")
	}
	s = strings.ToLower(s)
	before, after, wild := strings.Cut(s, "*")
	if strings.Contains(after, "*") {
		return originPattern{}, errors.New("holds more than one *")
	}
	return originPattern{before: before, after: after, wild: wild}, nil
}

func (p *originPattern) matches(origin string) bool {
	switch {
	case p.any:
		return true
	case !p.wild:
		return origin == p.before
	case len(origin) <= len(p.before)+len(p.after):
		return false
	case !strings.HasPrefix(origin, p.before) || !strings.HasSuffix(origin, p.after):
		return false
	}
	middle := origin[len(p.before) : len(origin)-len(p.after)]
	for i := range len(middle) {
		c := middle[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == ':' || c == '[' || c == ']') {
			return false
		}
	}
	return true
}
