package dataplane

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/dataplane/match"
)

// Where routes differ in the model alone, the head of a request yields a group
// of them:
//
//	group ──► a member's authenticators pass? ──► read the body ──► its route
//	            │ no: the next one's                                  │
//	            ▼                                                     ▼
//	          the first refusal                     all that this route asks for
//
// Nobody's body is read who could use none of them.

// groupRoute is the group that an exchange has to choose from.
type groupRoute = match.Group[*Route]

// choose finds the exchange's route among those which the model tells apart.
func (e *Exchange) choose(ctx context.Context, router *match.Router[*Route], g *groupRoute) ([]Stage, *Answer) {
	var p proof
	if !e.modelKnown() {
		fallback, ok := g.Fallback()
		if ok && e.bodiless() && !e.preflight() {
			return e.settle(ctx, router, fallback)
		}
		var a *Answer
		if p, a = e.prove(ctx, g); a != nil {
			return nil, a
		}
	}
	model, named, a := e.ReadModel()
	if a != nil {
		return nil, a
	}
	if hit, ok := g.Choose(model, named); ok && p.serves(hit.Value) {
		e.Route, e.Matched = hit.Value, hit.Path
		e.Record.Route, e.Record.RouteOrigin = e.Route.Name, e.Route.Origin
		return e.Route.Stages[e.Route.Entry.Proof:], nil
	}
	p.undo(e)
	// What was read may be what a step of the member made of the body.
	if model, named, a = e.ReadModel(); a != nil {
		return nil, a
	}
	e.showModel()
	hit, ok := g.Choose(model, named)
	if !ok {
		return nil, noModel(named)
	}
	return e.settle(ctx, router, hit)
}

// noModel is the 404 for a model that no route serves.
func noModel(named bool) *Answer {
	a := notFound("no route matches the model that the body names")
	a.Body = "no route serves the model that the request names"
	if !named {
		a.Cause = "the body names no model, and the routes that match the head want one"
		a.Body = "the request names no model, and no route serves it without"
	}
	return a
}

// preflight reports whether a browser asks what it may ask (CORS).
func (e *Exchange) preflight() bool {
	return e.Method == http.MethodOptions && e.Header["Origin"] != nil && e.Header["Access-Control-Request-Method"] != nil
}

// proof is a member of a group whose authenticators have let the caller in:
// the exchange is as they left it.
type proof struct {
	route  *Route
	before *checkpoint
	again  bool // more was asked than the route's first stages: all are to run anew
}

// serves reports whether the exchange can go on with rt where it is.
func (p *proof) serves(rt *Route) bool {
	if p.route == nil || p.again || rt.Lists {
		return false
	}
	return rt == p.route || rt.Entry.Key != "" && rt.Entry.Key == p.route.Entry.Key
}

// undo takes back what was done for the proof.
func (p *proof) undo(e *Exchange) {
	if p.before != nil {
		e.restore(*p.before)
	}
}

// prove finds a member of the group whose authenticators let the caller in; if
// there is none, the answer is the first refusal, those for broken
// configuration last. A fallback that leads to no upstream opens no body: to
// ask for a model that nobody serves takes the same as to ask for one that
// somebody does.
func (e *Exchange) prove(ctx context.Context, g *groupRoute) (proof, *Answer) {
	var p proof
	var refusals refusals
	var tried []*Route
	ask := func(hit match.Hit[*Route]) bool {
		rt := hit.Value
		if slices.ContainsFunc(tried, func(t *Route) bool {
			return t == rt || t.Entry.Key != "" && t.Entry.Key == rt.Entry.Key && t.Entry.Asks == rt.Entry.Asks
		}) {
			return true
		}
		tried = append(tried, rt)
		before := e.save()
		again, a := e.try(ctx, hit)
		if a == nil {
			p = proof{route: rt, before: &before, again: again}
			return false
		}
		refusals.add(e, a)
		e.restore(before)
		return a.Verdict != Allowed
	}
	g.Members(ask)
	if fallback, ok := g.Fallback(); ok && p.route == nil && fallback.Value.Entry.Forwards && !refusals.settled() {
		ask(fallback)
	}
	if p.route != nil {
		return p, nil
	}
	return p, refusals.answer(e)
}

// try passes the stages of a route that find out who calls. Where the route
// asks for somebody and nobody was proven, because a token is optional, what
// the route's policies say to that counts too. again tells that the stages
// must run anew if the route is chosen.
func (e *Exchange) try(ctx context.Context, hit match.Hit[*Route]) (again bool, a *Answer) {
	e.take(hit)
	rt := hit.Value
	for _, s := range rt.Stages[:rt.Entry.Proof] {
		if a := s.Run(ctx, e); a != nil {
			return false, a
		}
	}
	if rt.Entry.Asks && len(e.Identities) == 0 {
		for i := rt.Entry.Proof; i < rt.Entry.Allowed; i++ {
			if m, ok := As[ModelReader](rt.Stages[i]); !rt.Guards[i] || ok && m.ReadsModel() {
				continue
			}
			again = true
			if a := rt.Stages[i].Run(ctx, e); a != nil {
				return false, a
			}
		}
	}
	again = again || e.rematch
	e.rematch = false
	return again, nil
}

// refusals keeps the one of several answers that the client is to get, with
// the exchange as it then was.
type refusals struct {
	first *Answer
	at    checkpoint
}

func (r *refusals) add(e *Exchange, a *Answer) {
	better := r.first == nil || a.Verdict == Allowed || a.Verdict != Broken && r.first.Verdict == Broken
	if better && !r.settled() {
		r.first, r.at = a, e.save()
	}
}

// settled reports whether the answer is no refusal: of a preflight.
func (r *refusals) settled() bool { return r.first != nil && r.first.Verdict == Allowed }

func (r *refusals) answer(e *Exchange) *Answer {
	if r.first == nil { // a group has members, so this cannot be
		return notFound("no route of the group could be asked")
	}
	e.restore(r.at)
	return r.first
}

// checkpoint is an exchange that can be gone back to.
type checkpoint struct {
	e    Exchange
	left int64 // of what may be read of the body
	told *Trace
}

// save returns the present state. What is changed afterwards is a copy.
func (e *Exchange) save() checkpoint {
	c := checkpoint{e: *e, told: e.trace.save()}
	if b, ok := e.Body.(*boundedBody); ok {
		c.left = b.left
	}
	e.Header, e.Caller, e.Brought = e.Header.Clone(), maps.Clone(e.Caller), maps.Clone(e.Brought)
	e.metadata = slices.Clone(e.metadata)
	e.Identities, e.left, e.keep = slices.Clip(e.Identities), slices.Clip(e.left), slices.Clip(e.keep)
	e.onEnd, e.onAnswer, e.onReply = slices.Clip(e.onEnd), slices.Clip(e.onAnswer), slices.Clip(e.onReply)
	e.Outbound.Secrets, e.Outbound.carried = slices.Clip(e.Outbound.Secrets), slices.Clip(e.Outbound.carried)
	e.Record.Passed, e.Record.consumedHeaders = slices.Clip(e.Record.Passed), slices.Clip(e.Record.consumedHeaders)
	return c
}

// restore goes back to c. What was read of the body stays read, and is again
// what the client sent.
func (e *Exchange) restore(c checkpoint) {
	now := *e
	*e = c.e
	e.trace.restore(c.told)
	e.held, e.came = now.held, now.came
	e.Record.BytesIn = now.Record.BytesIn
	if b, ok := e.Body.(*boundedBody); ok {
		b.left = c.left - (now.Record.BytesIn - c.e.Record.BytesIn)
	}
	if e.collected == nil && now.came != nil {
		e.collected, e.Length = now.came, int64(len(*now.came))
	}
	if now.scan.of != nil && now.scan.of == e.collected {
		e.Model, e.scan, e.Record.Model = now.Model, now.scan, now.Record.Model
	}
}
