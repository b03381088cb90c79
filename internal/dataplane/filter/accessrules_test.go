package filter

import (
	"context"
	"testing"

	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestAccessRulesStage(t *testing.T) {
	rules, err := authz.NewAccessRules(&ir.AccessRules{Rules: []ir.AccessRule{
		{Name: "premium", Allow: true, Headers: []ir.AccessHeader{{Name: "x-team", Values: []string{"dev"}}, {Values: []string{"gpt-4o"}}}},
		{Name: "small", Allow: true, Headers: []ir.AccessHeader{{Values: []string{"gpt-4o-mini"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stage := NewAccessRules(rules, "envoyai/authorization", policyOrigin)
	// asked tells, once the request has passed, which other models would.
	other := stage.(interface {
		AllowsModel(e *dataplane.Exchange, model string) bool
	})
	for _, tc := range []struct {
		name, model, team string
		status            int
		next              string
		may               bool
	}{
		{"allowed", "gpt-4o", "dev", 200, "gpt-4o-mini", true},
		{"by the other rule", "gpt-4o-mini", "ops", 200, "gpt-4o", false},
		{"refused", "gpt-4o", "ops", 403, "", false},
		{"unknown", "", "dev", 403, "", false},
		{"twice", `gpt-4o","model":"gpt-4o`, "dev", 400, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
				if got := other.AllowsModel(e, tc.next); got != tc.may {
					t.Errorf("AllowsModel(%q) = %v", tc.next, got)
				}
				return nil
			})
			g := serve(t, ir.PathMatch{}, stage, asked)
			body := `{"messages":[]}`
			if tc.model != "" {
				body = `{"messages":[],"model":"` + tc.model + `"}`
			}
			res := g.send(t, "POST /", body, "X-Team: "+tc.team, "Content-Type: application/json")
			if body := bodyOf(t, res); res.StatusCode != tc.status || tc.status == 403 && body != "RBAC: access denied" {
				t.Errorf("%d %q, want %d", res.StatusCode, body, tc.status)
			}
		})
	}
}
