package envoyai

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/resource"
)

// TestUnreadableTargetsBreakTheirFile holds that a policy never protects less
// because its targets are misspelt: its file is not taken.
func TestUnreadableTargetsBreakTheirFile(t *testing.T) {
	d := resource.NewDecoder(knownKinds(), resource.Options{})
	for _, kind := range []string{
		"gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy", "gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy",
		"gateway.envoyproxy.io/v1alpha1\nkind: ClientTrafficPolicy", "gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy",
		"aigateway.envoyproxy.io/v1beta1\nkind: BackendSecurityPolicy", "aigateway.envoyproxy.io/v1alpha1\nkind: QuotaPolicy",
	} {
		for _, spec := range []string{"{targetRefs: [{name: 5}]}", "{targetRefs: {name: a}}", "{targetRefss: [{name: a}]}"} {
			text := "apiVersion: " + kind + "\nmetadata: {name: p}\nspec: " + spec + "\n"
			broken := d.Decode("f.yaml", []byte(text)).Broken
			if open := spec == "{targetRefss: [{name: a}]}" && (strings.HasSuffix(kind, "ExtensionPolicy") || strings.HasSuffix(kind, "QuotaPolicy")); !broken && !open {
				t.Errorf("%s %s: the file is taken", kind, spec)
			}
		}
	}
}
