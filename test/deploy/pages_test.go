package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/cluster"
)

// looking is a command of a page that changes nothing; what it is for may stand
// beside it, after two spaces.
var looking = regexp.MustCompile(`(?m)^    kubectl ((?:get|describe) .+?)(?:  .*)?$`)

// looksAt looks at a cluster in the ways of the pages about it, word for word.
func looksAt(t *testing.T, c *cluster.Cluster) {
	kubectl := c.Kubectl(t)
	for page, want := range map[string]int{"kubernetes.md": 3, "statuses.md": 1} {
		text, err := os.ReadFile(root + "/docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		all := looking.FindAllStringSubmatch(string(text), -1)
		if len(all) != want {
			t.Errorf("%s has %d such commands, want %d", page, len(all), want)
		}
		for _, m := range all {
			if out, err := kubectl.Try(strings.Fields(m[1])...); err != nil {
				t.Errorf("%s: kubectl %s: %v: %s", page, m[1], err, out)
			}
		}
	}
	if out := kubectl.Run("get", "crd", "-l", "postern.dev/definition", "-o", "name"); !strings.Contains(out, "/virtualservices.gateway.solo.io\n") {
		t.Errorf("the definitions that are ours: %s", out)
	}
}
