// Command generate writes the CustomResourceDefinitions of the kinds that
// Postern reads and does not own, so that a cluster without the products that
// they come from takes their manifests:
//
//	builtin's kinds ──┬─► deploy/chart/postern/charts/FAMILY-crds/crds/FAMILY.yaml
//	facts.go ─────────┘
//	builtin's kinds ────► deploy/chart/postern/files/kinds.yaml, for the chart's roles
//	gateway-api module ─► deploy/chart/postern/crds/gatewayapi.yaml, as released
//	deploy/crds/postern.dev_*.yaml ─► deploy/chart/postern/crds, as they are
//
// Which kinds and versions there are is what the dialects say. What they do not
// know, such as short names and columns, is in facts.go. Fields that are not
// named there are taken and kept as they are.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postern-gateway/postern/internal/builtin"
)

func main() {
	root := flag.String("root", ".", "the repository's `FOLDER`")
	bundle := flag.String("gateway-api", "", "`FOLDER` of the gateway-api module")
	flag.Parse()
	if err := write(*root, *bundle); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// write puts the definitions in their places in the chart.
func write(root, bundle string) error {
	chart := filepath.Join(root, "deploy", "chart", "postern")
	for _, d := range builtin.Dialects(builtin.Options{}) {
		if d.Name == "gatewayapi" {
			continue // the API's own are as good as any of ours
		}
		text, err := family(d)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(chart, "charts", d.Name+"-crds", "crds", d.Name+".yaml"), text); err != nil {
			return err
		}
	}
	if err := copyOwn(root, chart); err != nil {
		return err
	}
	roles, err := rules()
	if err != nil {
		return err
	}
	if err := put(filepath.Join(chart, "files", "kinds.yaml"), roles); err != nil {
		return err
	}
	if bundle == "" {
		return nil
	}
	text, err := released(bundle)
	if err != nil {
		return err
	}
	return put(filepath.Join(chart, "crds", "gatewayapi.yaml"), text)
}

func put(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

// copyOwn puts the definitions of our own kinds, which are written by hand,
// into the chart.
func copyOwn(root, chart string) error {
	own, err := filepath.Glob(filepath.Join(root, "deploy", "crds", "postern.dev_*.yaml"))
	if err != nil {
		return err
	}
	for _, name := range own {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(chart, "crds", filepath.Base(name)), text); err != nil {
			return err
		}
	}
	return nil
}
