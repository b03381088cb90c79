package kube

import (
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// aggregated asks for all groups in one answer.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// api is our clients of one API server. They share their connections.
type api struct {
	host     string
	http     *http.Client
	plain    *rest.RESTClient
	dynamic  dynamic.Interface
	metadata metadata.Interface
}

func newAPI(given *rest.Config) (*api, error) {
	cfg := rest.CopyConfig(given)
	cfg.UserAgent = "postern"
	cfg.QPS, cfg.Burst = 500, 1000 // watches begin, and Secrets are fetched, many at once
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next, answerMost, eventMost} })
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	a := &api{host: cfg.Host, http: client}
	if a.dynamic, err = dynamic.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	if a.metadata, err = metadata.NewForConfigAndClient(cfg, client); err != nil {
		return nil, err
	}
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	a.plain, err = rest.UnversionedRESTClientForConfigAndClient(cfg, client)
	return a, err
}

func (a *api) close() { a.http.CloseIdleConnections() }

// FileNamespace returns the namespace of a kubeconfig's context, "default"
// where it names none.
func FileNamespace(path string) (string, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
	ns, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).Namespace()
	if err != nil {
		return "", fmt.Errorf("--kubeconfig %s: %w", path, err)
	}
	return ns, nil
}

// FromFile returns the connection that a kubeconfig file describes. One whose
// user is made by a program or a plug-in is refused unless exec allows it: a
// file that is brought along must not start programs.
func FromFile(path string, exec bool) (*rest.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
	file, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", path, err)
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*file, "", &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", path, err)
	}
	if startsProgram(file) && !exec {
		return nil, errors.New("--kubeconfig " + path + ": its user is obtained by running a program, which --kubeconfig-exec allows")
	}
	if file := cfg.BearerTokenFile; file != "" {
		cfg.BearerToken, cfg.BearerTokenFile = "", ""
		cfg.WrapTransport = withToken(tokenFile(file))
	}
	return cfg, nil
}

// startsProgram reports whether the user of a file's context is known by way
// of a program or plug-in. It looks at the file itself: what client-go makes of
// it leaves the program out where it would not be run at first.
func startsProgram(file *clientcmdapi.Config) bool {
	c := file.Contexts[file.CurrentContext]
	if c == nil {
		return false
	}
	user := file.AuthInfos[c.AuthInfo]
	return user != nil && (user.Exec != nil || user.AuthProvider != nil)
}
