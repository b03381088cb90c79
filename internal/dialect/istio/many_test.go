package istio

import (
	"fmt"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"golang.org/x/tools/txtar"
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
	with := inputs(t, &txtar.Archive{Comment: []byte("with: gateway services provider\n")})
	objects, _ := decode(t, Options{}, append(with, txtar.File{Name: "all.yaml", Data: []byte(all)}))
	set := resource.NewSet(objects, knownKinds(Options{}))
	tr := dialect.NewTranslator([]dialect.Dialect{New(Options{})})
	if _, _, done := tr.Translate(set); done < n {
		t.Fatalf("%d translations, want %d at least", done, n)
	}
	for _, tc := range []struct {
		name string
		file txtar.File
		want int
	}{
		{"one of them", txtar.File{Name: "one.yaml", Data: []byte(text(7, "/new"))}, 1},
		{"the provider", txtar.File{Name: "p.yaml", Data: []byte(string(with[2].Data) + "    routeSpecificConfigs: {}\n")}, 1},
	} {
		changed, _ := decode(t, Options{}, []txtar.File{tc.file})
		set = set.With(changed, nil)
		if _, _, done := tr.Translate(set); done != tc.want {
			t.Errorf("%s: %d translations were repeated, want %d", tc.name, done, tc.want)
		}
	}
}
