package builtin

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/kube"
	"github.com/postern-gateway/postern/internal/resource"
	source "github.com/postern-gateway/postern/internal/source/kube"
	"github.com/postern-gateway/postern/internal/status"
)

// client returns how the API server is reached.
func (c *KubernetesConfig) client() (*rest.Config, error) {
	if c.InCluster {
		return source.InCluster()
	}
	return source.FromFile(c.Kubeconfig, c.Exec)
}

// Statuses writes what became of objects into their statuses.
type Statuses interface {
	// Offer makes a Set, and what the ledger says of it, what is written; news
	// are what is new in the ledger.
	Offer(set *resource.Set, ledger *status.Ledger, news status.News)
	// Run writes until ctx ends.
	Run(ctx context.Context)
}

// NewStatuses returns what writes the statuses of the dialects' kinds to the
// API server. reporter is the namespace that we run in.
func NewStatuses(c KubernetesConfig, reporter string) (Statuses, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return kube.New(kube.Config{
		Client: client, Dialects: c.Dialects, Namespaces: c.Namespaces, Reporter: reporter, Log: c.Log,
	})
}

// Events tells people of what they must act on.
type Events interface {
	// Run writes Events until ctx ends.
	Run(ctx context.Context)
}

// NewEvents returns what writes Events of the problems that look returns and
// that have an Alert, on the objects of its Set.
func NewEvents(c KubernetesConfig, look func() (*resource.Set, []status.Problem)) (Events, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	id, err := kube.Identity()
	if err != nil {
		return nil, err
	}
	return kube.NewEvents(kube.Config{Client: client, Dialects: c.Dialects, Log: c.Log}, id, look)
}

// NewAccounts returns what keeps a ServiceAccount for each Gateway.
func NewAccounts(c KubernetesConfig) (Statuses, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return kube.NewAccounts(kube.Config{Client: client, Namespaces: c.Namespaces, Log: c.Log})
}

// Lead has lead run while this process is the leader of those that share the
// Lease in a namespace, until ctx ends; it returns when lead has.
func Lead(ctx context.Context, c KubernetesConfig, namespace string, lead func(context.Context)) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return kube.Leader{Client: client, Namespace: namespace, Log: c.Log}.Run(ctx, lead)
}
