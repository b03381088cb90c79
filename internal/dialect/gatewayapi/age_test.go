package gatewayapi

import (
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// ageCase has two policies for one Service.
var ageCase = txtar.Parse([]byte(`with: gateway services
-- in.yaml --
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: b, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p1}
spec:
  targetRefs: [{group: "", kind: Service, name: b}]
  validation: {hostname: one.example.com, wellKnownCACertificates: System}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p2}
spec:
  targetRefs: [{group: "", kind: Service, name: b}]
  validation: {hostname: two.example.com, wellKnownCACertificates: System}
`))

// TestAge holds that of two policies for one target the older one wins, and
// that routes and hosts carry their object's age for Merger.
func TestAge(t *testing.T) {
	objects, _ := suite().Objects(t, ageCase)
	for _, o := range objects {
		if o.Name == "p1" {
			o.Created = time.Unix(2, 0)
		}
		if o.Name == "p2" || o.Name == "r" {
			o.Created = time.Unix(1, 0)
		}
	}
	v := resource.NewView(resource.NewSet(objects, knownKinds()))
	var f *dialect.Fragment
	var report status.Report
	for _, root := range New().Roots(v) {
		if root.Name == "r" {
			f, report = New().Translate(v, root)
		}
	}
	if sni := f.Upstreams[0].TLS.SNI; sni != "two.example.com" {
		t.Errorf("the policy for %s won", sni)
	}
	if f.Hosts[0].Age != time.Unix(1, 0) {
		t.Errorf("the host has age %v", f.Hosts[0].Age)
	}
	for _, o := range report.Outcomes {
		if o.Object.Name == "p1" && o.Condition == "Accepted" && o.Reason != "Conflicted" {
			t.Errorf("%+v", o)
		}
	}
}
