package parent

import "github.com/postern-gateway/postern/internal/ir"

// Order returns the place of a match among all of one host by the Gateway
// API's rules: an exact path before a longer prefix before a shorter, then a
// method, then more headers, then more query parameters. Age, name and the
// order of rules decide what is left; Merger sees to that. The rank of regular
// expressions is left open there: here they follow exact paths, the longer
// first, since whoever writes one means it to be narrower than a prefix.
func Order(m ir.Match) ir.Order {
	rank := map[ir.PathKind]int64{ir.PathExact: 0, ir.PathRegex: 1, ir.PathSegments: 2, ir.PathPrefix: 2, ir.PathAny: 3}[m.Path.Kind]
	method := int64(1)
	if len(m.Methods) > 0 {
		method = 0
	}
	return ir.Order{rank, -int64(len(m.Path.Value)), method, -int64(len(m.Headers)), -int64(len(m.Query))}
}
