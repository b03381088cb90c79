package deploy

// namespaceName is the label by which an API server calls every namespace.
const namespaceName = "kubernetes.io/metadata.name"

// guarded reports whether a NetworkPolicy guards the pods.
func (p *plan) guarded(cfg *Config) bool {
	if own := p.infra.Proxy.NetworkPolicy; own != nil {
		return *own
	}
	return cfg.NetworkPolicies
}

// networkPolicy lets anybody reach the listeners, and the controller's
// namespace alone what tells of the pods; a node's probes are let in by every
// network. Where the pods may go it leaves open: that is for the resources to
// say, whose backends and providers have addresses that nobody knows before.
func (p *plan) networkPolicy(cfg *Config) fields {
	health, _ := ownPorts(p.ports)
	tcp := func(n int) fields { return fields{"port": int64(n), "protocol": "TCP"} }
	ingress := []any{fields{
		"ports": []any{tcp(health)},
		"from":  []any{fields{"namespaceSelector": fields{"matchLabels": fields{namespaceName: cfg.Home}}}},
	}}
	var open []any
	for _, q := range p.ports {
		open = append(open, tcp(q.target))
	}
	if len(open) > 0 { // a rule without ports would be one for all of them
		ingress = append(ingress, fields{"ports": open})
	}
	return fields{
		"podSelector": fields{"matchLabels": anyMap(p.selector())},
		"policyTypes": []any{"Ingress"}, "ingress": ingress,
	}
}
