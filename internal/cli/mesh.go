package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/builtin"
)

// meshOptions are the flags of the workload's side of a mesh.
type meshOptions struct{ addr, egress string }

func (o *meshOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "mesh", "", "be the workload's side of a mesh: honour only rules for mesh, and listen on `ADDR` for plain HTTP, as a proxy or by a hosts entry; needs --workload, --identity and --egress-identity")
	f.StringVar(&o.egress, "egress-identity", "", "`SPIFFE-ID` that the egress gateway must prove to the workload's side")
}

// mesh returns what the flags say, nil without --mesh.
func (o *runOptions) newMesh() (*builtin.Mesh, error) {
	m := &o.meshSide
	if m.addr == "" {
		if m.egress != "" {
			return nil, errors.New("--egress-identity needs --mesh")
		}
		return nil, nil
	}
	var missing []string
	for _, f := range []struct{ flag, value string }{{"--workload", o.workload.name}, {"--identity", o.identity.from}, {"--egress-identity", m.egress}} {
		if f.value == "" {
			missing = append(missing, f.flag)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("--mesh needs %s", strings.Join(missing, " and "))
	}
	if err := authn.CheckSPIFFEID(m.egress); err != nil {
		return nil, fmt.Errorf("--egress-identity %q: want a SPIFFE ID, such as spiffe://cluster.local/ns/istio-system/sa/egress: %w", m.egress, err)
	}
	switch {
	case o.gateway != "":
		return nil, errors.New("--mesh and --gateway exclude each other: the workload's side serves no Gateway")
	case slices.ContainsFunc(o.dialects, func(d string) bool { return !slices.Contains(builtin.MeshNames(), d) }):
		return nil, fmt.Errorf("--mesh: of --dialects only %s has rules for mesh", strings.Join(builtin.MeshNames(), " and "))
	}
	host, port, err := net.SplitHostPort(m.addr)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, ipErr := netip.ParseAddr(host)
	if err != nil || portErr != nil || ipErr != nil {
		return nil, fmt.Errorf("--mesh %q: want an IP address and a port, such as 127.0.0.1:15001", m.addr)
	}
	return &builtin.Mesh{Address: ip.String(), Port: int(number), Egress: m.egress}, nil
}

// exposedMesh warns of a workload's side that others can reach: whoever does
// calls under the workload's identity.
func exposedMesh(m *builtin.Mesh) string {
	if m == nil {
		return ""
	}
	if ip, err := netip.ParseAddr(m.Address); err == nil && ip.IsLoopback() {
		return ""
	}
	return "--mesh " + net.JoinHostPort(m.Address, strconv.Itoa(m.Port)) + " is reachable from elsewhere: whoever connects calls under this workload's identity; use an address of loopback"
}
