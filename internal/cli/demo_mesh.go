package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postern-gateway/postern/internal/simulate"
)

// egressHost is how the demo's mesh calls its egress gateway.
const egressHost = "istio-egressgateway.istio-system.svc.cluster.local"

// identify makes a workload certificate and returns its folder.
func (d *demo) identify(name, id string) (string, error) {
	ca := d.providers.CA()
	cert, err := ca.IssueWorkload(simulate.Workload{URIs: []string{id}})
	if err != nil {
		return "", err
	}
	dir := filepath.Join(d.dir, "identity-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, simulate.WriteIdentity(dir, cert, ca.PEM())
}

// addSides assembles the callers' sides of the mesh, which carry requests to
// the part's gateway.
func (d *demo) addSides(ctx context.Context, p *part, gateway string) error {
	p.sides, p.at = map[string]*serving{}, map[string]string{}
	for _, c := range p.callers {
		identity, err := d.identify(c.name, c.spiffeID())
		if err != nil {
			return err
		}
		p.at[c.name] = freePort(c.local)
		o := runOptions{
			resourceOptions: resourceOptions{
				paths: []string{p.dir}, exposed: "warn",
				workload: workloadOptions{name: c.namespace + "/" + c.name, labels: "app=" + c.name},
			},
			identity: identityOptions{from: identity}, meshSide: meshOptions{addr: p.at[c.name], egress: p.identity},
			bind: "127.0.0.1", connectTo: []string{fmt.Sprintf("%s:80=%s", egressHost, gateway)},
			drain: demoDrain, bodyBudget: demoBodyBudget,
		}
		s, err := o.assemble(ctx, d.std)
		if err != nil {
			return fmt.Errorf("side of %s: %w", c.name, err)
		}
		s.quiet = true
		p.sides[c.name] = s
	}
	return nil
}

// servings are all gateways of the demo, those of callers included.
func (d *demo) servings() []*serving {
	var out []*serving
	for i := range d.parts {
		p := &d.parts[i]
		out = append(out, p.serving)
		for _, c := range p.callers {
			if s := p.sides[c.name]; s != nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// scheme is how a part's gateway is asked.
func (p *part) scheme() string {
	if p.identity != "" {
		return "https://"
	}
	return "http://"
}
