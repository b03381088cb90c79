package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/explain"
)

// explainOptions are the flags of explain.
type explainOptions struct {
	resourceOptions
	headers          []string
	body             string
	peer             string
	sourceIP         string
	output           string
	decision, logged string
}

func newExplain(std Streams) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain -f PATH... METHOD URL",
		Short: "Say what would become of one request, and why, without sending it",
		Long: `Find out what would become of a request: the listener and the route that it
would meet, every step and what it would see, the policy that decides, with file
and line, and what the upstream would get. Credentials are named, never shown.

The stages that serve requests decide; nothing is sent, and no connection is
opened. Where the outcome hangs on another server (a key set behind a URL, an
external check, an introspection), the decision is unknown.

The URL's port is the listener's as it is configured, whatever port run binds.
With --decision, a decision of the past is looked up in an access log; the id
is in the answer's X-Postern-Decision header.`,
		Example: `  postern explain -f policies/ POST http://ai.example.com:8080/openai \
      -H "Authorization: Bearer $TOKEN" -d '{"model": "gpt-3.5-turbo"}'
  postern explain --decision 8a1fc9370e6b2d45 --log access.log`,
		Args: func(_ *cobra.Command, args []string) error { return o.check(args) },
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), std, args) },
	}
	o.flags(cmd.Flags())
	f := cmd.Flags()
	f.StringArrayVarP(&o.headers, "header", "H", nil, "`'NAME: VALUE'` of the request; repeatable")
	f.StringVarP(&o.body, "data", "d", "", "`BODY` of the request; @FILE reads it")
	f.StringVar(&o.peer, "peer", "", "`SPIFFE-ID` in the client certificate, which counts as verified")
	f.StringVar(&o.sourceIP, "source-ip", "", "`IP` that the connection comes from (default 127.0.0.1)")
	f.StringVarP(&o.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	f.StringVar(&o.decision, "decision", "", "`ID` of a decision of the past, in place of a request")
	f.StringVar(&o.logged, "log", "", "`FILE` of the access log that it is in; - is standard input")
	return cmd
}

// check says what is wrong with the arguments.
func (o *explainOptions) check(args []string) error {
	var fault string
	switch {
	case o.output != "text" && o.output != "json":
		fault = fmt.Sprintf("-o %q: want text or json", o.output)
	case (o.decision == "") != (o.logged == ""):
		fault = "--decision and --log go together: an id, and the access log that it is in"
	case o.decision != "" && len(args) > 0:
		fault = fmt.Sprintf("argument %q: --decision takes no request", args[0])
	case o.decision != "":
		return nil
	case len(args) == 1 && strings.Contains(args[0], "://"):
		fault = fmt.Sprintf("name the method before the URL: GET %s", args[0])
	case len(args) != 2:
		fault = "want a method and a URL, as POST http://ai.example.com:8080/openai"
	case strings.Contains(args[0], "://") && !strings.Contains(args[1], "://"):
		fault = fmt.Sprintf("name the method before the URL: %s %s", args[1], args[0])
	default:
		return nil
	}
	return usageError{errors.New(fault)}
}

func (o *explainOptions) run(ctx context.Context, std Streams, args []string) error {
	if o.decision != "" {
		return o.past(std)
	}
	q, err := o.request(std, args)
	if err != nil {
		return usageError{err}
	}
	r, err := o.load(ctx, std, true)
	if err != nil {
		return err
	}
	if r.update.Set == nil {
		return fmt.Errorf("read resources: %w", r.fatal)
	}
	p, err := o.pipeline(offline(r.store))
	if err != nil {
		return err
	}
	config, report, _ := p.Translate(r.update.Set)
	deps := offline(r.store)
	deps.Exposed, _ = o.exposure()
	target, compiled := explain.NewTarget(config, deps)
	defer compiled.Snapshot.Release()
	report.Add(r.update.Problems...)
	report.Join(compiled.Report())
	report.Sort()
	if n := report.Errors(); n > 0 {
		fmt.Fprintf(std.Err, "postern: the resources have %s, which may be why; see postern check\n", count(n, "error"))
	}
	x, err := target.Explain(ctx, q)
	switch {
	case errors.Is(err, explain.ErrNoListener):
		return err
	case err != nil:
		return usageError{err}
	case o.output == "json":
		return printJSON(std.Out, x)
	}
	return x.Text(std.Out)
}

// request reads the request off the command line.
func (o *explainOptions) request(std Streams, args []string) (*explain.Request, error) {
	q := &explain.Request{Method: args[0], URL: args[1], Header: http.Header{}, Peer: o.peer, SourceIP: o.sourceIP}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, errors.New("-H: want 'Name: value'; the value is not repeated here, since it may be secret")
		}
		q.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	q.Body = []byte(o.body)
	if file, ok := strings.CutPrefix(o.body, "@"); ok {
		in := std.In
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return nil, fmt.Errorf("-d: %w", err)
			}
			defer f.Close()
			in = f
		}
		var err error
		if q.Body, err = io.ReadAll(io.LimitReader(in, mostBody)); err != nil {
			return nil, fmt.Errorf("-d: %w", err)
		}
	}
	return q, nil
}

// mostBody is more than any listener takes.
const mostBody = 64 << 20

// past explains a decision that an access log tells of.
func (o *explainOptions) past(std Streams) error {
	in := std.In
	if o.logged != "-" {
		f, err := os.Open(o.logged)
		if err != nil {
			return fmt.Errorf("--log: %w", err)
		}
		defer f.Close()
		in = f
	}
	line, err := explain.Find(in, o.decision)
	switch {
	case err != nil:
		return fmt.Errorf("--log %s: %w", o.logged, err)
	case o.output == "json":
		return printJSON(std.Out, line)
	}
	return line.Text(std.Out)
}
