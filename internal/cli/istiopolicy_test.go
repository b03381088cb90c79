package cli

import (
	"fmt"
	"testing"
)

// TestIstioPolicies runs the cases of what Istio's policies and tokens decide,
// by the stages that serve.
func TestIstioPolicies(t *testing.T) {
	std, out, errs := streams(nil)
	if code := Main(t.Context(), []string{"test", "../../test/policy/istio"}, std); code != exitGood || out.Len() > 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	n := 0
	if _, err := fmt.Sscanf(errs.String(), "postern: %d cases passed", &n); err != nil || n < 300 {
		t.Errorf("%d cases: %s", n, errs)
	}
}
