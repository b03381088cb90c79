package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubeconfig returns a file whose user has the given members.
func kubeconfig(t *testing.T, server, user string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	text := `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: ` + server + `}}]
users: [{name: u, user: {` + user + `}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestKubernetesFlags refuses what does not go together, and a kubeconfig that
// would start a program, which is not started.
func TestKubernetesFlags(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "started")
	const nowhere = "https://127.0.0.1:1"
	program := kubeconfig(t, nowhere, "exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: ["+marker+"], interactiveMode: Never}")
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"two clusters", []string{"--kubeconfig", "x", "--in-cluster"}, exitUsage, "name one of the two"},
		{"files and a cluster", []string{"-f", ".", "--in-cluster"}, exitUsage, "-f and a cluster"},
		{"one Gateway, and statuses", []string{"--in-cluster", "--gateway", "a/b", "--read-only=false"}, exitUsage, "who serves one Gateway"},
		{"namespaces of files", []string{"-f", ".", "--namespaces", "a"}, exitUsage, "need --kubeconfig or --in-cluster"},
		{"Secrets of files", []string{"-f", ".", "--secret-namespaces", "a"}, exitUsage, "need --kubeconfig or --in-cluster"},
		{"no cluster around", []string{"--in-cluster"}, exitWrong, "--in-cluster"},
		{"no such file", []string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, exitWrong, "no such file"},
		{"no such dialect", []string{"--kubeconfig", program, "--dialects", "x"}, exitUsage, "--dialects"},
		{"a program", []string{"--kubeconfig", program}, exitWrong, "--kubeconfig-exec"},
		{"a plug-in", []string{"--kubeconfig", kubeconfig(t, nowhere, "auth-provider: {name: gcp}")}, exitWrong, "--kubeconfig-exec"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			got := command(t, "", append([]string{"run", "--admin", ""}, tc.args...)...)
			if got.code != tc.code || !strings.Contains(got.err, tc.says) {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
		})
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("security row 18: a kubeconfig started a program")
	}
}
