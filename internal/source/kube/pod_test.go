package kube

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

// account is the folder of a pod's ServiceAccount, as a kubelet lays it out:
// links by way of a folder that is replaced as a whole.
type account struct {
	t      *testing.T
	folder string
	turn   int
}

func newAccount(t *testing.T, files map[string]string) *account {
	a := &account{t: t, folder: t.TempDir()}
	a.replace(files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(a.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// replace takes other files, all at once.
func (a *account) replace(files map[string]string) {
	a.t.Helper()
	a.turn++
	next := strings.Repeat("x", a.turn)
	if err := os.Mkdir(filepath.Join(a.folder, next), 0o700); err != nil {
		a.t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.folder, next, name), []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	link := filepath.Join(a.folder, "..data_tmp")
	if err := os.Symlink(next, link); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(a.folder, "..data")); err != nil {
		a.t.Fatal(err)
	}
}

// TestPodAccount reads an API server as a pod does. A token that is refused
// serves nothing; one that takes its place does, without a restart.
func TestPodAccount(t *testing.T) {
	p := open(t, shared.Cluster(t))
	p.Put(t, "a.yaml", "apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: default}\nspec: {}\n")
	host, port, _ := strings.Cut(strings.TrimPrefix(p.client.Host, "https://"), ":")
	files := map[string]string{"token": "refused", "ca.crt": string(p.client.CAData), "namespace": "apps\n"}
	a := newAccount(t, files)
	client, err := inPod(a.folder, host, port)
	if err != nil {
		t.Fatal(err)
	}
	state := make(health, 100)
	s := p.source(t, Config{Client: client, Store: secret.NewStore(), Namespaces: []string{"default"}, Health: func(err error) { state <- err }})
	ctx, stop := context.WithCancel(context.Background())
	ended, delivered := make(chan error, 1), make(chan int, 10)
	go func() {
		ended <- s.Run(ctx, func(u source.Update) {
			if u.Set != nil {
				delivered <- u.Set.Len()
			}
		})
	}()
	defer func() { stop(); <-ended }()
	state.await(t, "that it is refused", func(err error) bool { return err != nil && !strings.Contains(err.Error(), "not read yet") })
	select {
	case n := <-delivered:
		t.Fatalf("%d objects were delivered to who is nobody", n)
	default:
	}
	files["token"] = p.client.BearerToken + "\n"
	a.replace(files)
	state.await(t, "that all is read", func(err error) bool { return err == nil })
	if n := <-delivered; n == 0 {
		t.Error("nothing was delivered")
	}
	if ns, err := podNamespace(a.folder, ""); err != nil || ns != "apps" {
		t.Errorf("namespace %q, %v", ns, err)
	}
	if ns, err := podNamespace(a.folder, "given"); err != nil || ns != "given" {
		t.Errorf("namespace %q, %v", ns, err)
	}
}

// TestPodAccountMissing says what a pod lacks, and trusts nobody in place of a
// CA.
func TestPodAccountMissing(t *testing.T) {
	const token = "MARKER-token"
	pem := "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString([]byte("none")) + "\n-----END CERTIFICATE-----\n"
	for _, tc := range []struct {
		name, host, port string
		files            map[string]string
		says             string
	}{
		{"no pod", "", "", map[string]string{"token": token, "ca.crt": pem}, "this is no pod"},
		{"no port", "192.0.2.1", "", map[string]string{"token": token, "ca.crt": pem}, "this is no pod"},
		{"no token", "192.0.2.1", "443", map[string]string{"ca.crt": pem}, "automountServiceAccountToken"},
		{"an empty token", "192.0.2.1", "443", map[string]string{"token": "\n", "ca.crt": pem}, "holds none"},
		{"a token of two lines", "192.0.2.1", "443", map[string]string{"token": token + "\nX-More: b", "ca.crt": pem}, "holds none"},
		{"no CA", "192.0.2.1", "443", map[string]string{"token": token}, "ca.crt"},
		{"a CA that is none", "192.0.2.1", "443", map[string]string{"token": token, "ca.crt": pem}, "ca.crt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := inPod(newAccount(t, tc.files).folder, tc.host, tc.port)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("security row 8: the token is told: %v", err)
			}
		})
	}
}
