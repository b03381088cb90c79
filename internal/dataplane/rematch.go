package dataplane

import (
	"context"
	"net/http"
	"net/url"
	"slices"
)

// Rematch asks for the route to be chosen again once the present stage has
// run, because what routes match on was changed. It happens at most once in an
// exchange.
//
// Nothing that was required is shed: the guards that the first route has left
// are passed before it is let go of, and the new route begins with its first
// stage. The headers that the new route's authentication may set are removed,
// and so is what the first route put on or rewrote for its own upstream, but
// for keep: the names of the injected credentials that travel along.
func (e *Exchange) Rematch(keep ...string) {
	if e.Route != nil && !e.rematched {
		e.rematch, e.keep = true, keep
	}
}

// leave goes on after stage i of the present route asked for another match.
func (e *Exchange) leave(ctx context.Context, i int) *Answer {
	e.rematch, e.rematched = false, true
	from, router, req := e.Route, e.router(), e.MatchRequest()
	g, byModel := router.Group(req)
	hit, ok := router.Find(req)
	if !byModel && ok && hit.Value == from {
		e.Matched = hit.Path
		return run(ctx, e, from.Stages[i+1:])
	}
	if a := e.runRest(ctx, i, true); a != nil {
		return a
	}
	if !byModel && !ok {
		return notFound("no route matches what a transformation made of the request")
	}
	before := e.save()
	e.Record.Passed = append(e.Record.Passed, "rematch of "+from.Name)
	e.left = append(e.left, from)
	e.shed()
	var stages []Stage
	var a *Answer
	if byModel {
		stages, a = e.choose(ctx, router, &g)
	} else {
		stages, a = e.settle(ctx, router, hit)
	}
	if a != nil {
		return a
	}
	if e.Route == from { // which the model led back to
		matched := e.Matched
		e.restore(before)
		e.Matched = matched
		e.showModel()
		return e.runRest(ctx, i, false)
	}
	return run(ctx, e, stages)
}

// runRest passes those stages of the present route behind stage i that are
// guards, or those that are not.
func (e *Exchange) runRest(ctx context.Context, i int, guards bool) *Answer {
	from := e.Route
	for j := i + 1; j < len(from.Stages); j++ {
		if isGuard := j < len(from.Guards) && from.Guards[j]; isGuard != guards {
			continue
		}
		if a := from.Stages[j].Run(ctx, e); a != nil {
			return a
		}
	}
	return nil
}

// shed undoes what the first route prepared for its upstream. A token that was
// cut out of the query stays out.
func (e *Exchange) shed() {
	old := e.Outbound
	e.Outbound = Outbound{RawQuery: old.RawQuery, HasQuery: old.HasQuery}
	kept := func(name string) bool { return slices.Contains(e.keep, http.CanonicalHeaderKey(name)) }
	e.Outbound.Secrets = without(old.Secrets, func(s SecretHeader) bool { return !kept(s.Name) })
	e.Outbound.carried = without(old.carried, func(c carriedHeader) bool { return !kept(c.name) })
}

// SetPath gives the request another path and query, both raw: what later
// stages, another match and the upstream see from then on. A path that is not
// normal, or ambiguous, is an error.
func (e *Exchange) SetPath(path, query string) error {
	normal, err := NormalizePathAs(e.paths, path)
	if err == nil {
		err = checkQuery(query)
	}
	if err != nil {
		return err
	}
	e.Path, e.RawQuery = normal, query
	e.query, _ = url.ParseQuery(query)
	e.Outbound.Path, e.Outbound.RawQuery, e.Outbound.HasQuery = "", "", false
	return nil
}

// SetMethod gives the request another method, as SetPath a path. HEAD has
// other answers than every method, so nothing turns into it or out of it.
func (e *Exchange) SetMethod(method string) error {
	switch {
	case method == e.Method:
		return nil
	case method == http.MethodConnect:
		return errConnect
	case method == http.MethodHead || e.Method == http.MethodHead:
		return errHead
	case !isMethod(method):
		return errMethod
	}
	e.Method = method
	return nil
}

// isMethod takes the methods that could be: letters, in upper case.
func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
