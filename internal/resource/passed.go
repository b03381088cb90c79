package resource

import "slices"

// policyTest holds cases for the command line, not configuration.
var policyTest = GroupKind{Group: "postern.dev", Kind: "PolicyTest"}

// othersGroups are Kubernetes' own groups, whose kinds are for other programs:
// files that deploy an application hold them beside ours.
var othersGroups = []string{
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps",
	"authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
	"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
	"kustomize.config.k8s.io", "networking.k8s.io", "node.k8s.io", "policy",
	"rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
}

// othersCore are the core group's kinds; a misspelt one is none of them.
var othersCore = []string{
	"Binding", "ComponentStatus", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node",
	"PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate", "ReplicationController",
	"ResourceQuota", "Secret", "Service", "ServiceAccount",
}

// passedOver reports whether a kind that is not read is plainly for another
// program; known are the kinds of its group that are read.
func passedOver(gk GroupKind, known []string) bool {
	switch {
	case gk == policyTest:
		return true
	case gk.Group == "":
		return slices.Contains(othersCore, gk.Kind)
	case slices.Contains(othersGroups, gk.Group):
		return Nearest(gk.Kind, known) == ""
	}
	return false
}
