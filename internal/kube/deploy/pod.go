package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	own "github.com/postern-gateway/postern/internal/resource"

	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
)

// How a pod ends: for drainDelay it goes on serving while it is taken out of
// what leads to it, then requests go on for the drain time, and endMargin is
// what the program may take besides.
const (
	drainDelay   = 5 * time.Second
	drainDefault = 5 * time.Minute
	endMargin    = 10 * time.Second
)

// user is who the pods run as: nobody in particular.
const user = 65532

func (p *plan) deployment(cfg *Config) fields {
	out := fields{
		"selector": fields{"matchLabels": anyMap(p.selector())},
		// A new pod serves before an old one ends.
		"strategy":             fields{"type": "RollingUpdate", "rollingUpdate": fields{"maxUnavailable": int64(0), "maxSurge": "25%"}},
		"revisionHistoryLimit": int64(3),
		"template":             p.template(cfg),
	}
	if n := p.infra.Proxy.Replicas; n != nil {
		out["replicas"] = int64(*n)
	}
	return out
}

func (p *plan) template(cfg *Config) fields {
	drain, _ := p.infra.Proxy.DrainTime(drainDefault) // it was checked
	meta := fields{"labels": anyMap(p.labels())}
	if len(p.infra.Annotations) > 0 {
		meta["annotations"] = anyMap(p.infra.Annotations)
	}
	spec := fields{
		"serviceAccountName":            p.name,
		"automountServiceAccountToken":  false, // the volume below is for the one container
		"enableServiceLinks":            false,
		"terminationGracePeriodSeconds": int64((drainDelay + drain + endMargin) / time.Second),
		"securityContext": fields{
			"runAsNonRoot": true, "runAsUser": int64(user), "runAsGroup": int64(user), "fsGroup": int64(user),
			"seccompProfile": fields{"type": "RuntimeDefault"},
		},
		"topologySpreadConstraints": []any{p.spread("kubernetes.io/hostname"), p.spread("topology.kubernetes.io/zone")},
		"containers":                []any{p.container(cfg, drain)},
		"volumes":                   []any{tokenVolume()},
	}
	if n := p.infra.Proxy.NodeSelector; len(n) > 0 {
		spec["nodeSelector"] = anyMap(n)
	}
	return fields{"metadata": meta, "spec": spec}
}

// spread keeps the pods of one version apart, as far as that can be.
func (p *plan) spread(topology string) fields {
	return fields{
		"maxSkew": int64(1), "topologyKey": topology, "whenUnsatisfiable": "ScheduleAnyway",
		"labelSelector": fields{"matchLabels": anyMap(p.selector())}, "matchLabelKeys": []any{"pod-template-hash"},
	}
}

// tokenName and tokenPath are where client-go looks for a pod's own token.
const (
	tokenName = "api-access"
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// tokenVolume is what a pod has by itself where nobody switched it off.
func tokenVolume() fields {
	return fields{"name": tokenName, "projected": fields{"defaultMode": int64(0o440), "sources": []any{
		fields{"serviceAccountToken": fields{"path": "token", "expirationSeconds": int64(3607)}},
		fields{"configMap": fields{"name": "kube-root-ca.crt", "items": []any{fields{"key": "ca.crt", "path": "ca.crt"}}}},
		fields{"downwardAPI": fields{"items": []any{fields{"path": "namespace", "fieldRef": fields{"apiVersion": "v1", "fieldPath": "metadata.namespace"}}}}},
	}}}
}

func (p *plan) container(cfg *Config, drain time.Duration) fields {
	health, admin := ownPorts(p.ports)
	ports := []any{fields{"name": "health", "containerPort": int64(health), "protocol": "TCP"}}
	for _, q := range p.ports {
		ports = append(ports, fields{"name": fmt.Sprintf("port-%d", q.number), "containerPort": int64(q.target), "protocol": "TCP"})
	}
	return fields{
		"name": "postern", "image": cfg.Image, "imagePullPolicy": "IfNotPresent",
		"args":  anyList(p.args(cfg, health, admin, drain)),
		"ports": ports,
		"securityContext": fields{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
			"capabilities": fields{"drop": []any{"ALL"}},
		},
		"resources":      p.resources(),
		"startupProbe":   probe("/livez", 1, 60),
		"livenessProbe":  probe("/livez", 10, 6),
		"readinessProbe": probe("/readyz", 2, 2),
		"volumeMounts":   []any{fields{"name": tokenName, "mountPath": tokenPath, "readOnly": true}},
	}
}

func probe(path string, period, failures int64) fields {
	return fields{
		"httpGet":       fields{"path": path, "port": "health", "scheme": "HTTP"},
		"periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": int64(2),
	}
}

// args are the pods' command line. The lists are the controller's own, so that
// both understand the resources alike.
func (p *plan) args(cfg *Config, health, admin int, drain time.Duration) []string {
	out := []string{
		"run", "--in-cluster", "--read-only", "--behind-service", "--gateway=" + p.id(),
		fmt.Sprintf("--health=:%d", health), fmt.Sprintf("--admin=127.0.0.1:%d", admin),
		fmt.Sprintf("--drain=%v", drain), fmt.Sprintf("--drain-delay=%v", drainDelay),
	}
	for _, q := range p.ports {
		if q.named {
			out = append(out, fmt.Sprintf("--port=%d=%d", q.number, q.target))
		}
	}
	if n := namespacesOf(cfg.Namespaces); n[0] != "" {
		out = append(out, "--namespaces="+strings.Join(n, ","))
	}
	if len(cfg.SecretNamespaces) > 0 {
		out = append(out, "--secret-namespaces="+strings.Join(cfg.SecretNamespaces, ","))
	}
	return append(out, cfg.Args...)
}

// resources are what the parameters say, or enough for some thousand routes.
func (p *plan) resources() fields {
	r := p.infra.Proxy.Resources
	if r == nil {
		return fields{
			"requests": fields{"cpu": "100m", "memory": "256Mi"},
			"limits":   fields{"memory": "2Gi"},
		}
	}
	out := fields{}
	for name, m := range map[string]map[string]own.IntOrString{"requests": r.Requests, "limits": r.Limits} {
		list := fields{}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			list[k] = infrastructure.Quantity(m[k])
		}
		if len(list) > 0 {
			out[name] = list
		}
	}
	return out
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
