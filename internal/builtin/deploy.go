package builtin

import (
	"context"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/kube/deploy"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Deployer makes what the Gateways of a cluster run on.
type Deployer interface {
	// Update takes note of the resources, and of what they were made into.
	Update(set *resource.Set, config *ir.Config)
	// Run follows what there is until ctx ends, and writes while Lead runs.
	Run(ctx context.Context)
	Lead(ctx context.Context)
	// Report returns where each Gateway of a set is reached, and which cannot
	// be yet.
	Report(set *resource.Set) status.Report
}

// DeployConfig is what a Deployer makes, and with what.
type DeployConfig = deploy.Config

// NewDeployer returns what makes the data planes of a cluster. The connection
// and the namespaces are those of k.
func NewDeployer(k KubernetesConfig, c DeployConfig) (Deployer, error) {
	var err error
	if c.Client, err = k.client(); err != nil {
		return nil, err
	}
	c.Namespaces, c.SecretNamespaces, c.Log = k.Namespaces, k.SecretNamespaces, k.Log
	return deploy.New(c)
}
