package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSecretScope holds which namespaces' Secrets are read where no flag says.
func TestSecretScope(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, namespace: home}}]
current-context: c
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		o       kubernetesOptions
		gateway string
		whole   bool
		want    []string
	}{
		{"the kubeconfig's own", kubernetesOptions{}, "", false, []string{"home"}},
		{"and the Gateway's", kubernetesOptions{}, "apps/edge", false, []string{"home", "apps"}},
		{"those that are watched", kubernetesOptions{namespaces: []string{"a", "b"}}, "", false, []string{"a", "b"}},
		{"every Gateway of a cluster", kubernetesOptions{}, "", true, []string{"*"}},
		{"every Gateway of some namespaces", kubernetesOptions{namespaces: []string{"a"}}, "", true, []string{"a"}},
		{"one Gateway at an address", kubernetesOptions{}, "apps/edge", true, []string{"home", "apps"}},
		{"as said", kubernetesOptions{secretNamespaces: []string{"s"}}, "", true, []string{"s"}},
	} {
		tc.o.kubeconfig = kubeconfig
		got, referred, err := tc.o.secretScope(tc.gateway, tc.whole)
		if err != nil || !slices.Equal(got, tc.want) || referred != slices.Equal(got, []string{"*"}) {
			t.Errorf("%s: %v, %v; want %v", tc.name, got, err, tc.want)
		}
	}
}
