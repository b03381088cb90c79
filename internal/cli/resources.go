package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// resourceOptions are the flags that say which resources are read.
type resourceOptions struct {
	paths    []string
	dialects []string
	gateway  string
	exposed  string
	workload workloadOptions
	mesh     *builtin.Mesh // nil: a gateway
}

func (o *resourceOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.paths, "file", "f", nil, "`PATH` of resources: a file, a folder and all below it, or - for standard input; repeatable")
	f.StringVar(&o.gateway, "gateway", "", "serve this Gateway only: `NAMESPACE/NAME`")
	o.familyFlags(f)
	o.workload.flags(f)
}

// familyFlags are those that every program has that understands resources.
func (o *resourceOptions) familyFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.dialects, "dialects", nil, "`LIST` of the families of resources to read: "+strings.Join(builtin.Names(), ",")+" (default all)")
	f.StringVar(&o.exposed, "exposed", "warn", "`ACTION` where a route carries a provider credential and asks nobody who they are: warn, or deny, which closes it")
}

// selected returns the dialects that the flags ask for.
func (o *resourceOptions) selected() ([]dialect.Dialect, error) {
	w, err := o.workload.workload()
	if err != nil {
		return nil, err
	}
	dialects, err := builtin.Select(o.dialects, builtin.Options{Workload: w, Mesh: o.mesh})
	if err != nil {
		return nil, usageError{err}
	}
	return dialects, nil
}

// read is the resources as they were read once, without being served.
type read struct {
	source source.Source
	// cluster is the source if that is a cluster, of which nothing is read yet.
	cluster builtin.Cluster
	// duties are what is done in it beside serving; nil: none.
	duties *duties
	store  *secret.Store
	update source.Update
	// fatal is why run would refuse to start with them, or nil.
	fatal error
}

// load reads the resources once.
func (o *resourceOptions) load(ctx context.Context, std Streams, placeholders bool) (*read, error) {
	if len(o.paths) == 0 {
		return nil, usageError{errors.New("nothing to read: name a file or folder with -f")}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	dialects, err := o.selected()
	if err != nil {
		return nil, err
	}
	r := &read{store: secret.NewStore()}
	files := builtin.Files(builtin.FileConfig{
		Paths: o.paths, Stdin: std.In, Dialects: dialects, Store: r.store,
		Env: std.Env, Placeholders: placeholders, NoSecrets: o.mesh != nil,
	})
	r.source = files
	r.update, r.fatal = files.Load(ctx)
	return r, nil
}

// check returns what is wrong with the flags.
func (o *resourceOptions) check() error {
	if namespace, name, ok := strings.Cut(o.gateway, "/"); o.gateway != "" && (!ok || namespace == "" || name == "") {
		return usageError{fmt.Errorf("--gateway %q: want NAMESPACE/NAME", o.gateway)}
	}
	_, err := o.exposure()
	return err
}

// refuse says why nothing is served, and returns the error that ends run.
func (r *read) refuse(w io.Writer) error {
	printProblems(w, r.update.Problems)
	report := status.Report{Problems: r.update.Problems}
	if n := report.Errors(); n > 0 {
		return fmt.Errorf("refuses to start: correct the %s above", plural(n, "error"))
	}
	return fmt.Errorf("refuses to start: %w", r.fatal)
}

// exposure reads --exposed.
func (o *resourceOptions) exposure() (compile.Exposure, error) {
	switch o.exposed {
	case "warn":
		return compile.ExposedWarn, nil
	case "deny":
		return compile.ExposedDeny, nil
	}
	return "", usageError{fmt.Errorf("--exposed %q: want warn or deny", o.exposed)}
}

// pipeline returns what turns the resources into a snapshot.
func (o *resourceOptions) pipeline(deps compile.Deps) (*gateway.Pipeline, error) {
	dialects, err := o.selected()
	if err != nil {
		return nil, err
	}
	if deps.Exposed, err = o.exposure(); err != nil {
		return nil, err
	}
	return gateway.NewPipeline(dialects, compile.New(deps), o.gateway), nil
}

// offline returns what compiles resources that are looked at and not served:
// nothing is dialled, no key set is fetched.
func offline(store *secret.Store) compile.Deps {
	log := slog.New(slog.DiscardHandler)
	return compile.Deps{
		Store: store, Keep: new(keep.Keep), Tokens: authn.NewTokenCache(1),
		Clock: time.Now, Log: log, Identity: compile.IdentityAssumed,
		Forward: forward.Deps{Store: store, Clock: time.Now, Log: log},
	}
}

// printProblems writes one line for each problem, errors before warnings.
func printProblems(w io.Writer, problems []status.Problem) {
	for _, severity := range []status.Severity{status.Error, status.Warning, status.Note} {
		for _, p := range problems {
			if p.Severity == severity {
				fmt.Fprintf(w, "%s: %s\n", p.Severity, p)
			}
		}
	}
}

// printJSON writes v, indented.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
