package gloomesh

import (
	"fmt"
	"testing"

	"github.com/postern-gateway/postern/internal/resource"
)

// TestUnreadableSelectorsBreakTheirFile holds that a policy never protects
// less because its selectors are misspelt: its file is not taken.
func TestUnreadableSelectorsBreakTheirFile(t *testing.T) {
	d := resource.NewDecoder(knownKinds(), resource.Options{})
	for _, kind := range []string{"security.policy.gloo.solo.io/v2 ExtAuthPolicy", "security.policy.gloo.solo.io/v2 JWTPolicy", "trafficcontrol.policy.gloo.solo.io/v2 TransformationPolicy", "trafficcontrol.policy.gloo.solo.io/v2 RateLimitPolicy"} {
		var version, name string
		if _, err := fmt.Sscan(kind, &version, &name); err != nil {
			t.Fatal(err)
		}
		for _, spec := range []string{
			"{applyToRoutes: [{route: {labels: {route: 5}}}]}",
			"{applyToRoutes: {route: {}}}",
			"{applyToRoutes: [{rout: {labels: {route: x}}}]}",
		} {
			text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: p}\nspec: %s\n", version, name, spec)
			if !d.Decode("f.yaml", []byte(text)).Broken && name != "RateLimitPolicy" {
				t.Errorf("%s %s: the file is taken", name, spec)
			}
		}
	}
}
