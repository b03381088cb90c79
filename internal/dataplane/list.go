package dataplane

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane/match"
)

// list answers with the models of all those routes that list some, take the
// request, and let the caller pass; if none does, with the first refusal.
func (e *Exchange) list(ctx context.Context, router *match.Router[*Route]) *Answer {
	var models []Model
	var refusals refusals
	var asked []*Route
	passed := false
	router.All(e.MatchRequest(), func(hit match.Hit[*Route]) bool {
		if !hit.Value.Lists || slices.Contains(asked, hit.Value) {
			return true
		}
		asked = append(asked, hit.Value)
		before := e.save()
		e.take(hit)
		for _, s := range hit.Value.Stages {
			if a := s.Run(ctx, e); a != nil {
				refusals.add(e, a)
				e.restore(before)
				return !refusals.settled()
			}
		}
		e.rematch = false
		models = append(models, hit.Value.Models...)
		if passed { // the exchange stays as the first left it
			e.restore(before)
		}
		passed = true
		return true
	})
	if !passed || refusals.settled() {
		return refusals.answer(e)
	}
	return &Answer{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: listOf(models),
		Verdict: Allowed, Origin: e.Route.Origin,
	}
}

// listOf writes a list of models in the form of OpenAI's API (List models), by
// name; of models of one name the first counts.
func listOf(models []Model) string {
	slices.SortStableFunc(models, func(a, b Model) int { return cmp.Compare(a.ID, b.ID) })
	models = slices.CompactFunc(models, func(a, b Model) bool { return a.ID == b.ID })
	var b strings.Builder
	b.WriteString(`{"object":"list","data":[`)
	for i, m := range models {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(m.JSON)
	}
	b.WriteString("]}")
	return b.String()
}
