package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestMeshUsage gives the flags of the workload's side in ways that cannot
// work: usage errors, before anything is read.
func TestMeshUsage(t *testing.T) {
	dir := t.TempDir()
	const id = "spiffe://cluster.local/ns/istio-system/sa/egress"
	good := []string{"--workload", "default/sleep", "--identity", dir, "--egress-identity", id}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"alone", []string{"--mesh", "127.0.0.1:0"}, "--mesh needs --workload and --identity and --egress-identity"},
		{"without --workload", []string{"--mesh", "127.0.0.1:0", "--identity", dir, "--egress-identity", id}, "--mesh needs --workload"},
		{"without --identity", []string{"--mesh", "127.0.0.1:0", "--workload", "a/b", "--egress-identity", id}, "--mesh needs --identity"},
		{"without --egress-identity", []string{"--mesh", "127.0.0.1:0", "--workload", "a/b", "--identity", dir}, "--mesh needs --egress-identity"},
		{"--egress-identity alone", []string{"--egress-identity", id}, "--egress-identity needs --mesh"},
		{"no SPIFFE ID", []string{"--mesh", "127.0.0.1:0", "--workload", "a/b", "--identity", dir, "--egress-identity", "cluster.local/ns/a"}, "want a SPIFFE ID"},
		{"no address", append([]string{"--mesh", "15001"}, good...), `--mesh "15001": want an IP address and a port`},
		{"a name", append([]string{"--mesh", "example.com:1"}, good...), "want an IP address and a port"},
		{"a Gateway", append([]string{"--mesh", "127.0.0.1:0", "--gateway", "a/b"}, good...), "exclude each other"},
		{"another dialect", append([]string{"--mesh", "127.0.0.1:0", "--dialects", "gloo"}, good...), "only istio has rules for mesh"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"run", "-f", dir + "/none.yaml", "--admin="}, tc.args...)
			code := Main(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(string) (string, bool) { return "", false }})
			if code != exitUsage || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%d: %s", code, out.String())
			}
		})
	}
}
