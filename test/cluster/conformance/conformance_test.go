// Package conformance is the Gateway API's own conformance suite, as a test
// program of a module of its own: it drags in more than the product may.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

// TestConformance runs the suite against the cluster that KUBECONFIG names; its
// flags are the suite's.
func TestConformance(t *testing.T) { conformance.RunConformance(t) }
