package istio

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestManyRoutes changes one VirtualService among many: nothing else is
// translated again, nor is any of them where a provider changes.
func TestManyRoutes(t *testing.T) {
	const n = 2000
	text := func(i int, path string) string {
		return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v%d, namespace: apps}
spec:
  hosts: [h%d.example.com]
  gateways: [istio-system/gw]
  http: [{match: [{uri: {prefix: %s}}], route: [{destination: {host: web}}]}]
---
`, i, i, path)
	}
	var all string
	for i := range n {
		all += text(i, "/")
	}
	objects := func(comment, text string) []*resource.Object {
		out, _ := suite().Objects(t, &txtar.Archive{
			Comment: []byte(comment), Files: []txtar.File{{Name: "all.yaml", Data: []byte(text)}},
		})
		return out
	}
	provider, err := os.ReadFile("testdata/with/provider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := resource.NewSet(objects("with: gateway services provider\n", all), knownKinds(Options{}))
	tr := dialect.NewTranslator([]dialect.Dialect{New(Options{})})
	if _, _, done := tr.Translate(set); done < n {
		t.Fatalf("%d translations, want %d at least", done, n)
	}
	for _, tc := range []struct {
		name string
		text string
		want int
	}{
		{"one of them", text(7, "/new"), 1},
		{"the provider", string(provider) + "    routeSpecificConfigs: {}\n", 1},
	} {
		set = set.With(objects("", tc.text), nil)
		if _, _, done := tr.Translate(set); done != tc.want {
			t.Errorf("%s: %d translations were repeated, want %d", tc.name, done, tc.want)
		}
	}
}
