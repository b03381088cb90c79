package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/examples"
	"github.com/postern-gateway/postern/internal/simulate"
)

// walkthrough is one part of the demo: a folder of examples and what to try.
type walkthrough struct {
	folder, title string
	// port is the one its resources name, and local where the demo binds it
	// if it is free.
	port, local int
	tries       []try
	// identity is the SPIFFE ID of the gateway where callers prove theirs, and
	// callers are the workloads whose side of the mesh runs too.
	identity string
	callers  []caller
}

// caller is a workload of the demo's mesh: {name} in a command is its side, on
// the port local if it is free.
type caller struct {
	namespace, name string
	local           int
}

// spiffeID is the identity of a caller.
func (c caller) spiffeID() string {
	return "spiffe://cluster.local/ns/" + c.namespace + "/sa/" + c.name
}

// try is one command and what it shows. {base} is the gateway, {dir} the
// folder.
type try struct{ shows, command string }

// walkthroughs lists the parts of the demo.
func walkthroughs() []walkthrough {
	const prompt = ` -d '{"inputs": "Why put a gateway before an LLM?"}'`
	const chat = ` -H 'Content-Type: application/json' -d '{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Why put a gateway before an LLM?"}]}'`
	const tellMe = ` -H 'Host: dashscope.aliyuncs.com' -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "Tell me about yourself"}]}'`
	return []walkthrough{
		{
			folder: "gloo-gateway-jwt", title: "Gloo Gateway: a VirtualService before Hugging Face asks for a JWT and a claim",
			port: 8080, local: 8081,
			tries: []try{
				{"nobody: 401, Jwt is missing", "curl -i {base}/huggingface-gloo-gw" + prompt},
				{"a caller with the claim: 200", `curl -i {base}/huggingface-gloo-gw -H "Authorization: Bearer $(cat {dir}/workshop.jwt)"` + prompt},
			},
		},
		{
			folder: "gloo-ai-gateway", title: "Gloo AI Gateway: an HTTPRoute to OpenAI, for tokens that list gpt-3.5-turbo",
			port: 8080, local: 8082,
			tries: []try{
				{"nobody: 401, Jwt is missing", "curl -i {base}/openai" + chat},
				{"Alice, who may: 200", `curl -i {base}/openai -H "Authorization: Bearer $(cat {dir}/alice.jwt)"` + chat},
				{"Bob, who may not: 403, RBAC: access denied", `curl -i {base}/openai -H "Authorization: Bearer $(cat {dir}/bob.jwt)"` + chat},
			},
		},
		{
			folder: "gloo-mesh-apikey", title: "Gloo Mesh: a RouteTable to Hugging Face asks for an API key, whose Secret holds the provider's token",
			port: 80, local: 8083,
			tries: []try{
				{"nobody: 401", "curl -i {base}/huggingface" + prompt},
				{"a caller with a key: 200", `curl -i {base}/huggingface -H "api-key: mysecretkey" -H 'Content-Type: application/json'` + prompt},
			},
		},
		{
			folder: "envoy-ai-gateway/today-api-key", title: "Envoy AI Gateway: an AIGatewayRoute to OpenAI by the model, whose BackendSecurityPolicy holds the key",
			port: 8080, local: 8084,
			tries: []try{
				{"the model of the route: 200", "curl -i {base}/v1/chat/completions" + strings.Replace(chat, "gpt-3.5-turbo", "gpt-4o-mini", 1)},
				{"another model: 404, No matching route", "curl -i {base}/v1/chat/completions" + chat},
				{"the models that there are: 200, gpt-4o-mini", "curl -i {base}/v1/models"},
			},
		},
		{
			folder: "asm-egress-gateway", title: "ASM: workloads call DashScope by way of an egress gateway, which knows them by their certificates",
			port: 80, local: 8085,
			identity: "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway",
			callers:  []caller{{"default", "curl", 8086}, {"default", "sleep", 8087}},
			tries: []try{
				{"the workload curl, by its own side of the mesh: 200", "curl -i {curl}" + tellMe},
				{"the workload sleep, which a policy denies: 403, RBAC: access denied", "curl -i {sleep}" + tellMe},
			},
		},
	}
}

func newDemo(std Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Serve the walk-throughs against simulated providers, in one process",
		Long: `Start simulated providers and one gateway for each walk-through, all in this
process, and print the curl lines to try. The resources are laid out in a folder
that the gateways follow, so that they can be edited. Nothing leaves this machine.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), std) },
	}
}

func runDemo(ctx context.Context, std Streams) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	providers, err := startSimulator(ctx, std, simulatorConfig{
		http: "127.0.0.1:0", https: "127.0.0.1:0", keys: []string{demoOpenAIKey, demoHuggingFaceKey},
	})
	if err != nil {
		return err
	}
	defer func() { _ = providers.Close() }()
	d := &demo{std: std, dir: dir, providers: providers}
	defer d.close()
	for _, w := range walkthroughs() {
		if err := d.add(ctx, w); err != nil {
			return fmt.Errorf("demo %s: %w", w.folder, err)
		}
	}
	return d.serve(ctx, cancel)
}

// demo is the running walk-throughs.
type demo struct {
	std       Streams
	dir       string
	providers *simulate.Server
	parts     []part
}

type part struct {
	walkthrough
	dir     string
	serving *serving
	sides   map[string]*serving // of callers, by name
	at      map[string]string   // where they listen
}

// add lays a walk-through's resources out and assembles its gateway.
func (d *demo) add(ctx context.Context, w walkthrough) error {
	p := part{walkthrough: w, dir: filepath.Join(d.dir, w.folder)}
	if err := layOut(w.folder, p.dir); err != nil {
		return err
	}
	at := freePort(w.local)
	ca, err := d.providers.CA().WriteFile(d.dir)
	if err != nil {
		return err
	}
	o := runOptions{
		resourceOptions: resourceOptions{paths: []string{p.dir}, exposed: "warn"},
		bind:            "127.0.0.1", ports: []string{fmt.Sprintf("%d=%s", w.port, at)},
		upstreamCA: ca, accessLog: "-", drain: demoDrain, bodyBudget: demoBodyBudget,
	}
	for _, k := range simulate.Kinds() {
		for _, host := range k.Hosts {
			o.connectTo = append(o.connectTo, host+":443="+d.providers.HTTPSAddr())
		}
	}
	std := d.std
	std.Env = demoEnv
	if w.identity != "" {
		if o.identity.from, err = d.identify(w.folder, w.identity); err != nil {
			return err
		}
	}
	if p.serving, err = o.assemble(ctx, std); err != nil {
		return err
	}
	p.serving.quiet = true
	d.parts = append(d.parts, p)
	return d.addSides(ctx, &d.parts[len(d.parts)-1], at)
}

// What each gateway of the demo is bounded by.
const (
	demoDrain      = 5 * time.Second
	demoBodyBudget = 64 << 20
)

// demoEnv has the keys that the simulated providers take.
func demoEnv(name string) (string, bool) {
	switch name {
	case "OPENAI_API_KEY", "API_KEY":
		return demoOpenAIKey, true
	case "HF_API_TOKEN":
		return demoHuggingFaceKey, true
	}
	return "", false
}

// layOut writes the embedded files of a walk-through into dir.
func layOut(folder, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(examples.Files, folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(examples.Files, folder+"/"+e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// freePort returns port if nobody listens on it, or one that the kernel
// chooses.
func freePort(port int) string {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "127.0.0.1:0"
		}
	}
	_ = ln.Close()
	return ln.Addr().String()
}

// serve runs every part until ctx ends or one of them fails.
func (d *demo) serve(ctx context.Context, cancel context.CancelFunc) error {
	servings := d.servings()
	errs := make([]error, len(servings))
	var all sync.WaitGroup
	for i, s := range servings {
		all.Go(func() {
			defer cancel()
			errs[i] = s.gateway.Run(ctx)
		})
	}
	for _, s := range servings {
		select {
		case <-s.gateway.Ready():
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		d.print()
	}
	all.Wait()
	return errors.Join(errs...)
}

func (d *demo) print() {
	w := d.std.Err
	fmt.Fprintf(w, "postern demo: %s, simulated providers, one process. Ctrl-C ends it.\n", count(len(d.servings()), "gateway"))
	fmt.Fprintf(w, "What the providers were sent: curl http://%s/_simulate/requests\n", d.providers.HTTPAddr())
	for i, p := range d.parts {
		base := p.scheme() + p.serving.gateway.Listeners().Addr("", p.port).String()
		fmt.Fprintf(w, "\n%d. %s\n   %s serves %s; edit the files there, and it follows.\n", i+1, p.title, base, p.dir)
		for _, t := range p.tries {
			fmt.Fprintf(w, "\n   # %s\n   %s\n", t.shows, p.filled(t.command, base))
		}
	}
	fmt.Fprintln(w, "\nEach request is told of on standard output: who, what was decided, and by which policy.")
	fmt.Fprintln(w, "postern: ready")
}

// filled puts addresses and the folder into a command.
func (p *part) filled(command, base string) string {
	pairs := []string{"{base}", base, "{dir}", p.dir}
	for name, at := range p.at {
		pairs = append(pairs, "{"+name+"}", "http://"+at)
	}
	return strings.NewReplacer(pairs...).Replace(command)
}

func (d *demo) close() {
	for _, s := range d.servings() {
		s.close()
	}
}
