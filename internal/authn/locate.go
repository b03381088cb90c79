package authn

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// maxTokens bounds the tokens that one request may carry: each costs a
// signature check.
const maxTokens = 8

// place is where tokens are looked for, and whose they may be.
type place struct {
	header    string // canonical; or
	query     string // or
	cookie    string
	prefix    string
	providers []*provider
	// drop is the Result.Consumed of a single token found here.
	drop []Location
}

// found is a token, not yet looked at, and where it sat.
type found struct {
	raw   string
	place *place
}

// placesOf gathers the places of all providers: headers, the query, cookies.
// Those of one header come together, longest prefix first: the first that fits
// takes the value.
func placesOf(providers []*provider, cfg []ir.JWTProvider) []*place {
	var places []*place
	add := func(p *provider, header, prefix, query, cookie string) {
		for _, at := range places {
			if at.header == header && at.prefix == prefix && at.query == query && at.cookie == cookie {
				if !slices.Contains(at.providers, p) {
					at.providers = append(at.providers, p)
				}
				return
			}
		}
		drop := []Location{{Header: header, Query: query, Cookie: cookie}}
		places = append(places, &place{header: header, prefix: prefix, query: query, cookie: cookie, providers: []*provider{p}, drop: drop})
	}
	for i, p := range providers {
		headers, params := cfg[i].Headers, cfg[i].QueryParams
		if len(headers) == 0 && len(params) == 0 && len(cfg[i].Cookies) == 0 {
			headers = []ir.TokenHeader{{Name: "Authorization", Prefix: "Bearer "}}
			params = []string{"access_token"}
		}
		for _, h := range headers {
			add(p, http.CanonicalHeaderKey(h.Name), h.Prefix, "", "")
		}
		for _, q := range params {
			add(p, "", "", q, "")
		}
		for _, c := range cfg[i].Cookies {
			add(p, "", "", "", c)
		}
	}
	slices.SortStableFunc(places, func(a, b *place) int {
		return cmp.Or(cmp.Compare(a.turn(), b.turn()), cmp.Compare(a.header, b.header), cmp.Compare(len(b.prefix), len(a.prefix)))
	})
	return places
}

// turn is when a place is looked at.
func (at *place) turn() int {
	switch {
	case at.header != "":
		return 0
	case at.query != "":
		return 1
	}
	return 2
}

// locate appends every token of a request to list. It reports false when there
// are more than list has room for.
//
// A prefix is compared exactly, also the default "Bearer ": Envoy takes
// "bearer" for no token, and so it is missing here too. Unlike Envoy, which
// finds the prefix anywhere in the value, it must be at its beginning.
func locate(places []*place, r *Request, list []found) ([]found, bool) {
	for i := 0; i < len(places); {
		at := places[i]
		end := i + 1
		for at.header != "" && end < len(places) && places[end].header == at.header {
			end++
		}
		values := r.Query[at.query]
		switch {
		case at.header != "":
			values = r.values(at.header)
		case at.cookie != "":
			values = cookies(r.values("Cookie"), at.cookie)
		}
		for _, value := range values {
			raw, where := cutPrefix(value, places[i:end])
			if where == nil {
				continue
			}
			if len(list) == cap(list) {
				return list, false
			}
			list = append(list, found{raw, where})
		}
		i = end
	}
	return list, true
}

// cutPrefix takes the prefix off a value.
func cutPrefix(value string, places []*place) (string, *place) {
	for _, at := range places {
		if rest, ok := strings.CutPrefix(value, at.prefix); ok {
			if at.header != "" {
				rest = strings.Trim(rest, " \t")
			}
			return rest, at
		}
	}
	return "", nil
}
