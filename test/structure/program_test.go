package structure

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// startsPrograms are the modules' packages that could start a program, and why
// none of ours reaches the part that does.
var startsPrograms = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity": "its credentials of command line tools; only those of client secrets and assertions are made",
	"k8s.io/client-go/plugin/pkg/client/auth/exec":     "a kubeconfig whose user is a program, which is refused unless --kubeconfig-exec is given",
	"github.com/pkg/browser":                           "azidentity's login by browser, which is not made",
}

// TestSecurityRow18WhoCouldStartAProgram: what is linked in and imports
// os/exec is known by name.
func TestSecurityRow18WhoCouldStartAProgram(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./cmd/postern")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard && (slices.Contains(p.Imports, "os/exec") || slices.Contains(p.Imports, "plugin")) {
			found[p.ImportPath] = true
			if startsPrograms[p.ImportPath] == "" {
				t.Errorf("%s could start a program; nothing that is linked in may, unless it is listed here with the reason", p.ImportPath)
			}
		}
	}
	for name := range startsPrograms {
		if !found[name] {
			t.Errorf("%s is listed, and is not linked in or starts nothing", name)
		}
	}
}
