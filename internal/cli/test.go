package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/policytest"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

func newTest(std Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run PolicyTest files: requests, and what should become of them",
		Long: `Run the PolicyTests in files and folders. Each tries requests on policies, or on
a whole configuration, and compares what would become of them with what it
expects: the decision, the status, the deciding policy and rule, the caller, and
what the upstream would get. The stages that serve requests decide; no
connection is opened.

What does not come out as expected is explained. With -o json there is one
object for each case, on a line; with -o junit a report for CI. The exit code is
1 if a case fails or a file is broken.

  apiVersion: postern.dev/v1alpha1
  kind: PolicyTest
  metadata: {name: team-access}
  spec:
    resources: ["../policies"]
    cases:
    - name: alice may use gpt-3.5-turbo
      request:
        method: POST
        url: http://ai.example.com:8080/openai
        claims: {iss: solo.io, sub: alice, llms: {openai: [gpt-3.5-turbo]}}
      expect: {decision: allow}`,
		Example: `  postern test policies/
  postern test -o junit policies/ > report.xml`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usageError{errors.New("nothing to run: name a file or folder of PolicyTests")}
			case !slices.Contains([]string{"text", "json", "junit"}, output):
				return usageError{fmt.Errorf("-o %q: want text, json or junit", output)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runTests(cmd.Context(), std, args, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT` of the output: text, json or junit")
	return cmd
}

func runTests(ctx context.Context, std Streams, paths []string, output string) error {
	tests, err := policytest.Read(paths)
	if err != nil {
		return err
	}
	results := policytest.Run(ctx, tests, newTestLoader(std).load)
	switch output {
	case "json":
		err = policytest.JSON(std.Out, results)
	case "junit":
		err = policytest.JUnit(std.Out, results)
	default:
		err = policytest.Text(std.Out, results)
	}
	if err != nil {
		return err
	}
	failed := policytest.Failed(results)
	if failed > 0 {
		fmt.Fprintf(std.Err, "postern: %d of %s failed\n", failed, count(len(results), "case"))
		return errReported
	}
	fmt.Fprintf(std.Err, "postern: %s passed\n", count(len(results), "case"))
	return nil
}

// testLoader reads what tests are about, with every dialect there is.
type testLoader struct {
	std     Streams
	kinds   []resource.Kind
	decoder *resource.Decoder
}

func newTestLoader(std Streams) *testLoader {
	kinds := builtin.Kinds(builtin.Dialects(builtin.Options{}))
	return &testLoader{std: std, kinds: kinds, decoder: resource.NewDecoder(kinds, resource.Options{Env: std.Env, EnvMode: resource.EnvPlaceholder})}
}

// load turns a test's resources into configuration.
func (l *testLoader) load(ctx context.Context, r policytest.Resources) *policytest.Loaded {
	store := secret.NewStore()
	out := &policytest.Loaded{Deps: offline(store)}
	l.decode(policytest.ScaffoldFile, r.Scaffold, store, out) // the first of a name counts
	if len(r.Paths) > 0 {
		l.files(ctx, r.Paths, store, out)
	}
	l.decode(r.File, r.Inline, store, out)
	if len(out.Fatal) > 0 {
		return out
	}
	p := gateway.NewPipeline(builtin.Dialects(gatewayOf(r.Workload)), compile.New(out.Deps), "")
	var report status.Report
	out.Config, report, _ = p.Translate(resource.NewSet(out.Objects, l.kinds))
	out.Report.Join(report)
	return out
}

// gatewayOf is what a test says of the gateway, as --workload does. Without
// labels it says too little to select by.
func gatewayOf(w *policytest.Workload) builtin.Options {
	if w == nil || w.Namespace == "" || len(w.Labels) == 0 {
		return builtin.Options{}
	}
	return builtin.Options{Workload: &builtin.Workload{Namespace: w.Namespace, Labels: w.Labels}}
}

// decode takes documents as a file's.
func (l *testLoader) decode(file string, text []byte, store *secret.Store, out *policytest.Loaded) {
	if len(text) == 0 {
		return
	}
	d := l.decoder.Decode(file, text)
	store.Put(d.Secrets)
	out.Objects = append(out.Objects, d.Objects...)
	out.Report.Add(d.Problems...)
	if d.Broken {
		out.Fatal = append(out.Fatal, errorsOf(d.Problems)...)
	}
}

// files reads files and folders as run does.
func (l *testLoader) files(ctx context.Context, paths []string, store *secret.Store, out *policytest.Loaded) {
	source := builtin.Files(builtin.FileConfig{Paths: paths, Dialects: builtin.Dialects(builtin.Options{}), Store: store, Env: l.std.Env, Placeholders: true})
	u, err := source.Load(ctx)
	out.Report.Add(u.Problems...)
	if err != nil {
		if out.Fatal = errorsOf(u.Problems); len(out.Fatal) == 0 {
			out.Fatal = []status.Problem{{Severity: status.Error, What: err.Error()}}
		}
		return
	}
	for _, k := range l.kinds {
		out.Objects = append(out.Objects, u.Set.All(k.GroupKind)...)
	}
}

func errorsOf(list []status.Problem) []status.Problem {
	return slices.DeleteFunc(slices.Clone(list), func(p status.Problem) bool { return p.Severity != status.Error })
}
