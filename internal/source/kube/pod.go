package kube

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// accountFolder is where a pod finds what it needs to ask the API server as
// its ServiceAccount.
// https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

// errNoPod says that this process is in no pod.
var errNoPod = errors.New("--in-cluster: this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")

// InCluster returns the connection of a pod to its own cluster.
func InCluster() (*rest.Config, error) {
	return inPod(accountFolder, os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
}

// inPod returns the connection of a pod whose account is in folder. What the
// kubelet replaces there is used from then on: the token at each request, the
// CA when client-go next looks.
func inPod(folder, host, port string) (*rest.Config, error) {
	if host == "" || port == "" {
		return nil, errNoPod
	}
	token, ca := tokenFile(filepath.Join(folder, "token")), filepath.Join(folder, "ca.crt")
	if _, err := token.read(); err != nil {
		return nil, fmt.Errorf("--in-cluster: %w: is automountServiceAccountToken off?", err)
	}
	if pem, err := os.ReadFile(ca); err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--in-cluster: %s holds no certificate of the API server's authority", ca)
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca},
		WrapTransport:   withToken(token),
	}, nil
}

// withToken shows the token that is in a file at each request.
func withToken(file tokenFile) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper { return bearer{file, next} }
}

// PodNamespace returns the namespace of the pod that we run in: POD_NAMESPACE,
// or what its kubelet says.
func PodNamespace() (string, error) {
	return podNamespace(accountFolder, os.Getenv("POD_NAMESPACE"))
}

func podNamespace(folder, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	b, err := os.ReadFile(filepath.Join(folder, "namespace"))
	if err != nil {
		return "", fmt.Errorf("--in-cluster: which namespace this pod is in: %w; set POD_NAMESPACE", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// tokenFile is where the token of an account is. Few requests are made, so
// that it is read for each: a token that was replaced because it was revoked
// is used no more.
type tokenFile string

func (f tokenFile) read() (string, error) {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return "", fmt.Errorf("token for the API server: %w", err)
	}
	t := strings.TrimSpace(string(b))
	if t == "" || strings.ContainsAny(t, "\r\n") {
		return "", fmt.Errorf("token for the API server: %s holds none", string(f))
	}
	return t, nil
}

// bearer puts a token on requests.
type bearer struct {
	token tokenFile
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := b.token.read()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+t)
	return b.next.RoundTrip(r)
}
