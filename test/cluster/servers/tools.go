//go:build tools

// Package servers pins the programs of a Kubernetes control plane that the
// cluster tests run. It is a module of its own: Kubernetes' own module needs a
// replace line for each of its parts, which the product must not inherit.
package servers

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
