package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// adopt puts a rule under the one that delegates to it: it takes what both
// match, and passes the steps of both. It reports whether anything is left.
func (r *rule) adopt(out *dialect.Route) bool {
	l := r.link
	if r.walk.work += len(l.matches) * len(out.Matches); r.walk.work > maxWork {
		return false
	}
	relative, _ := inherits(r.obj)
	var matches []ir.Match
	for i, own := range out.Matches {
		fits, first := false, ""
		for _, above := range l.matches {
			m, why := below(above, own, relative)
			switch {
			case why == "":
				fits = true
				matches = append(matches, m)
			case first == "":
				first = why
			}
		}
		if fits {
			first = ""
		}
		r.as.judge(r.field+r.at[i], first)
	}
	out.Matches = matches
	out.Steps = r.inherit(out.Steps)
	out.Delegators = l.delegators
	out.Parent = about(l.from.obj.Key)
	return len(matches) > 0
}

// below returns what a parent's match and one of its child both take, or why
// there is no such thing.
func below(above, own ir.Match, relative bool) (m ir.Match, why string) {
	m.Path = own.Path
	if unreadable(own.Path) {
		m.Path = above.Path // the rule is closed, for all that it may take here
	} else if relative {
		m.Path, why = continued(above.Path.Value, own.Path)
	} else {
		why = outside(above.Path.Value, own.Path)
	}
	if why != "" {
		return m, why
	}
	switch {
	case len(own.Methods) == 0:
		m.Methods = above.Methods
	case len(above.Methods) == 0 || slices.Equal(above.Methods, own.Methods):
		m.Methods = own.Methods
	default:
		return m, fmt.Sprintf("its method %s is not the parent's, %s", own.Methods[0], above.Methods[0])
	}
	var clash string
	if m.Headers, clash = both(above.Headers, own.Headers, strings.EqualFold); clash != "" {
		return m, fmt.Sprintf("no value of header %s satisfies the parent's condition, too", clash)
	}
	if m.Query, clash = both(above.Query, own.Query, func(a, b string) bool { return a == b }); clash != "" {
		return m, fmt.Sprintf("no value of query parameter %s satisfies the parent's condition, too", clash)
	}
	m.Order = parent.Order(m)
	return m, ""
}

// unreadable reports whether a path match is an expression that is none.
func unreadable(m ir.PathMatch) bool {
	if m.Kind != ir.PathRegex {
		return false
	}
	_, err := regexp.Compile(m.Value)
	return err != nil
}

// outside says why a path match takes more than what is below a prefix.
func outside(prefix string, own ir.PathMatch) string {
	switch {
	case prefix == "/":
		return ""
	case own.Kind == ir.PathPrefix && !strings.HasPrefix(own.Value, prefix+"/"):
		return fmt.Sprintf("its path %s is not below the parent's prefix %s", own.Value, prefix)
	case own.Kind == ir.PathRegex:
		if rest, ok := strings.CutPrefix(own.Value, regexp.QuoteMeta(prefix)); (ok && slices.Contains(anythingBelow, rest)) || strings.HasPrefix(literal(own.Value), prefix+"/") {
			return ""
		}
		return fmt.Sprintf("its expression may take paths that are not below the parent's prefix %s", prefix)
	case own.Value == prefix || strings.HasPrefix(own.Value, prefix+"/"):
		return ""
	}
	return fmt.Sprintf("its path %s is not below the parent's prefix %s", own.Value, prefix)
}

// anythingBelow are expressions that take nothing, or a slash and what follows.
var anythingBelow = []string{"", "(/.*)?", "(?:/.*)?"}

// literal returns the text that all that an expression takes begins with.
func literal(expr string) string {
	re, err := regexp.Compile(expr)
	if err != nil {
		return ""
	}
	prefix, _ := re.LiteralPrefix()
	return prefix
}

// continued returns the match of a path that goes on after a prefix.
func continued(prefix string, own ir.PathMatch) (ir.PathMatch, string) {
	if prefix == "/" {
		return own, ""
	}
	switch {
	case own.Kind == ir.PathPrefix && own.Value == "/":
		return ir.PathMatch{Kind: ir.PathSegments, Value: prefix}, ""
	case own.Kind != ir.PathRegex && own.Value == "/":
		own.Value = prefix
	case own.Kind != ir.PathRegex:
		own.Value = prefix + own.Value
	case !slices.Contains(anythingBelow, own.Value) && !strings.HasPrefix(literal(own.Value), "/"):
		return own, "its expression does not begin with /, as what follows the parent's prefix does"
	default:
		own.Value = regexp.QuoteMeta(prefix) + "(?:" + own.Value + ")"
		if _, err := regexp.Compile(own.Value); err != nil {
			return own, "its expression cannot be continued: " + describe(err)
		}
	}
	return own, ""
}

// both returns the conditions of a parent and its child together, or the name
// of one where no value satisfies both.
func both(above, own []ir.StringMatch, same func(a, b string) bool) (all []ir.StringMatch, clash string) {
	all = slices.Clone(above)
	for _, c := range own {
		repeated := false
		for _, a := range above {
			switch {
			case !same(a.Name, c.Name):
			case equal(a.Exact, c.Exact) && equal(a.Regex, c.Regex):
				repeated = true
			case excludes(a, c) || excludes(c, a):
				return nil, c.Name
			}
		}
		if !repeated {
			all = append(all, c)
		}
	}
	return all, ""
}

func equal(a, b *string) bool { return a == b || (a != nil && b != nil && *a == *b) }

// excludes reports whether the one value that a takes, if it is one, is not
// taken by b.
func excludes(a, b ir.StringMatch) bool {
	switch {
	case a.Exact == nil:
		return false
	case b.Exact != nil:
		return *a.Exact != *b.Exact
	case b.Regex != nil:
		re, err := regexp.Compile(`\A(?:` + *b.Regex + `)\z`)
		return err == nil && !re.MatchString(*a.Exact)
	}
	return false
}

// inherit returns the steps of the delegating rule and then the rule's own. Of
// what there can be only one, the delegating rule's stands.
func (r *rule) inherit(own []ir.Step) []ir.Step {
	out := slices.Clone(r.link.steps)
	for _, s := range own {
		what := sole(s)
		if what != "" && slices.ContainsFunc(r.link.steps, func(a ir.Step) bool { return sole(a) == what }) {
			r.walk.report.Add(status.Warningf(s.Origin, "has no effect under %v, which sets %s for all that it delegates", r.link.from.obj.Key, what).
				Fix("remove it, or remove the parent's"))
			continue
		}
		out = append(out, s)
	}
	return out
}

// sole names what a step sets and only one can set.
func sole(s ir.Step) string {
	switch {
	case s.CORS != nil:
		return "CORS"
	case s.Host != nil:
		return "the host"
	case s.Path != nil:
		return "the path"
	case s.Retry != nil:
		return "retries"
	}
	return ""
}

// rebase returns the steps of a delegating rule as the rules below need them.
// These match longer paths: the prefix that is replaced is still the
// delegating rule's.
func rebase(steps []ir.Step, matches []ir.Match) []ir.Step {
	out := slices.Clone(steps)
	for i := range out {
		if p := out[i].Path; p != nil && p.Segments != nil {
			out[i].Path = &ir.PathRewrite{Regex: replacePrefix(matches, *p.Segments)}
		}
	}
	return out
}

// replacePrefix returns the rewrite that replaces the longest prefix of
// matches that a path begins with. It is for paths that begin with one, as
// whole segments.
func replacePrefix(matches []ir.Match, with string) *ir.RegexRewrite {
	var prefixes []string
	for _, m := range matches {
		prefixes = append(prefixes, strings.TrimSuffix(m.Path.Value, "/"))
	}
	slices.SortFunc(prefixes, func(a, b string) int { return len(b) - len(a) })
	prefixes = slices.Compact(prefixes)
	for i, p := range prefixes {
		prefixes[i] = regexp.QuoteMeta(p)
	}
	pattern := "^(?:" + strings.Join(prefixes, "|") + ")"
	if with = strings.TrimSuffix(with, "/"); with == "" {
		return &ir.RegexRewrite{Pattern: pattern + "/?", Substitution: "/"}
	}
	return &ir.RegexRewrite{Pattern: pattern, Substitution: with}
}
