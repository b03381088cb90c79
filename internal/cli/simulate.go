package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/simulate"
)

// simulateOptions are the flags of simulate.
type simulateOptions struct {
	http, https, provider, caDir string
	keys                         []string
	behavior                     simulate.Behavior
	fault                        string
	ignoreHeaders                bool
}

func newSimulate(std Streams) *cobra.Command {
	var o simulateOptions
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the simulated providers alone",
		Long: `Serve simulated LLM providers on loopback: OpenAI, Hugging Face, Bedrock, DashScope, Azure OpenAI,
Anthropic, Mistral, Gemini and Vertex AI, told apart by the Host of a request; and what vouches for a
gateway to a cloud: an OIDC issuer, the token services of AWS, Entra and Google, and their metadata
servers. They refuse a wrong key as the real ones do, answer the
same to the same question, and show what they were sent, credentials as
fingerprints, at /_simulate/requests.

Lead a gateway to them with --connect-to api.openai.com:443=HOST:PORT and
--upstream-ca FILE. A request orders its own fault with x-simulate-* headers.`,
		Example: `  postern simulate --ca-dir /tmp/ca
  postern run -f examples/gloo-ai-gateway --connect-to api.openai.com:443=127.0.0.1:9443 --upstream-ca /tmp/ca/simulate-ca.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), std) },
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "addr", "127.0.0.1:9000", "`ADDR` for HTTP")
	f.StringVar(&o.https, "tls-addr", "127.0.0.1:9443", "`ADDR` for HTTPS")
	f.StringVar(&o.provider, "default-provider", "", "`NAME` of who answers for other hosts: "+providerNames())
	f.StringArrayVar(&o.keys, "key", nil, "accepted API `KEY`; repeatable (default: $OPENAI_API_KEY and $HF_API_TOKEN, or sk-demo and hf_demo)")
	f.StringVar(&o.caDir, "ca-dir", "", "`FOLDER` to write the root certificate for --upstream-ca into")
	f.DurationVar(&o.behavior.Delay, "delay", 0, "`TIME` to wait before each answer")
	f.IntVar(&o.behavior.Status, "status", 0, "`CODE` of every answer")
	f.StringVar(&o.fault, "fault", "", "`KIND` of fault in each answer: reset, half, hang, garbage, early-close")
	f.BoolVar(&o.ignoreHeaders, "ignore-headers", false, "take no orders from x-simulate-* request headers")
	return cmd
}

func (o *simulateOptions) run(ctx context.Context, std Streams) error {
	o.behavior.Fault = simulate.Fault(o.fault)
	server, err := startSimulator(ctx, std, simulatorConfig{
		http: o.http, https: o.https, keys: o.keys, anyHost: o.provider,
		behavior: o.behavior, ignoreHeaders: o.ignoreHeaders,
	})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	fmt.Fprintf(std.Err, "simulated providers on http://%s and https://%s\n", server.HTTPAddr(), server.HTTPSAddr())
	if o.caDir != "" {
		if err := os.MkdirAll(o.caDir, 0o755); err != nil {
			return fmt.Errorf("--ca-dir: %w", err)
		}
		file, err := server.CA().WriteFile(o.caDir)
		if err != nil {
			return fmt.Errorf("--ca-dir: %w", err)
		}
		fmt.Fprintf(std.Err, "root certificate in %s\n", file)
	}
	<-ctx.Done()
	return nil
}

// simulatorConfig is what the simulated providers are started with.
type simulatorConfig struct {
	http, https   string
	keys          []string
	anyHost       string
	behavior      simulate.Behavior
	ignoreHeaders bool
}

// The keys of the demo, for providers whose variable is not set.
const (
	demoOpenAIKey      = "sk-demo"
	demoHuggingFaceKey = "hf_demo"
)

// startSimulator starts every simulated provider on one pair of ports.
func startSimulator(ctx context.Context, std Streams, c simulatorConfig) (*simulate.Server, error) {
	keys := c.keys
	if len(keys) == 0 {
		keys = []string{envOr(std, "OPENAI_API_KEY", demoOpenAIKey), envOr(std, "HF_API_TOKEN", demoHuggingFaceKey)}
	}
	if c.anyHost != "" && !slices.ContainsFunc(simulate.Kinds(), func(k simulate.Kind) bool { return k.Name == c.anyHost }) {
		return nil, usageError{fmt.Errorf("--default-provider %q: want %s", c.anyHost, providerNames())}
	}
	var providers []simulate.Provider
	cloud := simulate.NewCloud(simulate.CloudConfig{})
	for _, k := range simulate.Kinds() {
		hosts := k.Hosts
		if k.Name == c.anyHost {
			hosts = nil
		}
		providers = append(providers, k.New(simulate.ProviderConfig{Keys: keys, Hosts: hosts, Cloud: cloud}))
	}
	for _, addr := range []string{c.http, c.https} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, usageError{fmt.Errorf("address %q: want HOST:PORT", addr)}
		}
	}
	server, err := simulate.New(simulate.Config{
		Providers: providers, HTTP: []string{c.http}, HTTPS: []string{c.https},
		Behavior: c.behavior, IgnoreHeaders: c.ignoreHeaders,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return server, server.Start(ctx)
}

func providerNames() string {
	var names []string
	for _, k := range simulate.Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, " or ")
}

func envOr(std Streams, name, otherwise string) string {
	if v, ok := std.Env(name); ok && v != "" {
		return v
	}
	return otherwise
}
