package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
)

// Labels of what is made for a Gateway: those of the Gateway API
// (https://gateway-api.sigs.k8s.io/geps/gep-1762), and the one by which we know
// our own.
const (
	gatewayLabel = "gateway.networking.k8s.io/gateway-name"
	classLabel   = "gateway.networking.k8s.io/gateway-class-name"
	ownLabel     = "app.kubernetes.io/managed-by"
	nameLabel    = "app.kubernetes.io/name"
)

// longest is how long a label's value and a Service's name may be.
const longest = 63

// nameOf returns what the objects of a Gateway are called: its name and its
// class's, as far as a Service may be called so.
func nameOf(gateway, class string) string {
	name := gateway + "-" + class
	plain := strings.ReplaceAll(name, ".", "-")
	if plain == name && len(name) <= longest && name[0] >= 'a' && name[0] <= 'z' {
		return name
	}
	if plain[0] < 'a' || plain[0] > 'z' {
		plain = "gw-" + plain
	}
	return shorten(plain, name)
}

// labelOf returns a name as the value of a label.
func labelOf(name string) string {
	if len(name) <= longest {
		return name
	}
	return shorten(name, name)
}

// shorten cuts a name, and ends it with a digest of the whole, so that no two
// become one.
func shorten(name, whole string) string {
	sum := sha256.Sum256([]byte(whole))
	end := "-" + hex.EncodeToString(sum[:5])
	return strings.TrimRight(name[:min(len(name), longest-len(end))], "-.") + end
}

// selector returns the labels that the pods of a Gateway are found by.
func (p *plan) selector() map[string]string {
	return map[string]string{gatewayLabel: labelOf(p.gateway.Name), nameLabel: "postern"}
}

// labels returns those of all objects of a Gateway, ours before what its
// infrastructure says.
func (p *plan) labels() map[string]string {
	out := map[string]string{}
	maps.Copy(out, p.infra.Labels)
	maps.Copy(out, p.selector())
	out[classLabel] = labelOf(p.class)
	out[ownLabel] = Manager
	return out
}
