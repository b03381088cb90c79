package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ErrNoPods says that this machine cannot run pods.
var ErrNoPods = errors.New("pods need root, and ip (iproute2) and nsenter (util-linux)")

// Files of the certificate with which the API server asks the pod runner.
const kubeletCert, kubeletKey = "kubelet-client.crt", "kubelet-client.key"

// kubeletPort is where the pod runner listens on the node's address.
const kubeletPort = 10250

// Image says what stands for the images of pods whose names begin with Name.
// Of Program, Root and Host one is set; none of them is an image that waits.
type Image struct {
	Name string `json:"name"`
	// Program is a static program of this machine that is alone in its root
	// folder, at Path (by default its own name in /).
	Program string `json:"program,omitempty"`
	Path    string `json:"path,omitempty"`
	// Root is a folder whose files are copied into the root.
	Root string `json:"root,omitempty"`
	// Host makes the machine's own programs (curl, sleep, sh) the root's.
	Host bool `json:"host,omitempty"`
	// Entrypoint and Args run where a container does not say what; the
	// Entrypoint is Path unless given. User runs it, by number; 0 is root.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Args       []string `json:"args,omitempty"`
	User       int64    `json:"user,omitempty"`
}

// CanRunPods returns ErrNoPods where pods cannot be run.
func CanRunPods() error {
	if os.Geteuid() != 0 {
		return ErrNoPods
	}
	for _, p := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(p); err != nil {
			return ErrNoPods
		}
	}
	return nil
}

// settle takes a place, and writes what the API server and the pod runner have
// in common.
func (c *Cluster) settle(images []Image) error {
	if err := CanRunPods(); err != nil {
		return err
	}
	table, err := json.Marshal(images)
	if err != nil {
		return err
	}
	c.Node = c.place.node()
	return errors.Join(c.write("images.json", table), c.kubeletClient())
}

// planPods adds the pod runner to what runs.
func (c *Cluster) planPods() error {
	path, err := program("podrunner")
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(c.Dir, name) }
	c.servers = append(c.servers, &server{
		name: "podrunner", path: path, ready: []string{fmt.Sprintf("https://%s:%d/healthz", c.Node, kubeletPort)}, args: []string{
			"--kubeconfig", c.Kubeconfig, "--state", in("pods"), "--bridge", c.place.bridge(), "--pod-cidr", c.place.pods(),
			"--services", "--load-balancer-cidr", c.place.balancers(), "--image-table", in("images.json"), "--strict-images",
			"--kubelet-port", fmt.Sprint(kubeletPort), "--client-ca", in(kubeletCert), "--until-eof",
		},
	})
	return nil
}

// kubeletClient makes the certificate that the API server shows to the node.
func (c *Cluster) kubeletClient() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		c.write(kubeletCert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		c.write(kubeletKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	)
}

// PodLog returns what a container of a pod has printed, for messages of tests.
// A name may be a pattern with *.
func (c *Cluster) PodLog(namespace, pod, container string) string {
	files, _ := filepath.Glob(filepath.Join(c.Dir, "pods", "logs", namespace+"_"+pod+"_*", container+".*.log"))
	var out strings.Builder
	for _, f := range files {
		b, _ := os.ReadFile(f)
		fmt.Fprintf(&out, "== %s of %s\n%s", filepath.Base(f), filepath.Base(filepath.Dir(f)), b)
	}
	return out.String()
}

// Kubectl returns the path of the kubectl of the API server's own version.
func Kubectl() (string, error) { return program("kubectl") }

// program returns the path of a program that build.sh made.
func program(name string) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	out, err := exec.Command("sh", filepath.Join(filepath.Dir(self), "build.sh"), "where-"+name).Output()
	if err != nil {
		return "", fmt.Errorf("where %s is: %w", name, err)
	}
	path := strings.TrimSpace(string(out))
	if _, err := os.Stat(path); err != nil {
		return "", ErrNotBuilt
	}
	return path, nil
}
