package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/static"
)

// TestBillOfMaterials: every module that is linked in stands in the bill with
// the version that is linked in, and no other module does.
func TestBillOfMaterials(t *testing.T) {
	out, err := exec.Command("sh", root+"/deploy/tools/build.sh", "where", "sbom").Output()
	if err != nil {
		t.Fatal(err)
	}
	tool := strings.TrimSpace(string(out))
	if _, err := os.Stat(tool); err != nil {
		t.Skip("sbom is not built: run sh deploy/tools/build.sh sbom (make test does)")
	}
	text, err := exec.Command(tool, "-version", "1.2.3", static.Postern(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Format   string `json:"bomFormat"`
		Metadata struct {
			Component struct{ Type, Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if c := bill.Metadata.Component; bill.Format != "CycloneDX" || c.Type != "application" || c.Name != "postern" || c.Version != "1.2.3" {
		t.Errorf("%s of %+v", bill.Format, c)
	}
	has := map[string]string{}
	for _, c := range bill.Components {
		has[c.Name] = c.Version
		if !strings.HasPrefix(c.PURL, "pkg:golang/") {
			t.Errorf("%s has no address: %q", c.Name, c.PURL)
		}
	}
	// What go itself says of the packages that are linked in.
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/postern")
	list.Dir = root
	mods, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{"go": true, "github.com/postern-gateway/postern": true}
	for line := range strings.Lines(string(mods)) {
		path, version, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || linked[path] {
			continue
		}
		linked[path] = true
		if want := strings.TrimPrefix(version, "v"); has[path] != want {
			t.Errorf("%s is %q in the bill, and %q is linked in", path, has[path], want)
		}
	}
	for name := range has {
		if !linked[name] {
			t.Errorf("%s is in the bill, and not linked in", name)
		}
	}
	if len(linked) < 30 {
		t.Errorf("only %d modules", len(linked))
	}
}
