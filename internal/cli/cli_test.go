package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marker is in every secret of these tests, and never in what is printed.
const marker = "MARKER-0123456789"

// patience is how long a test waits for what takes milliseconds.
const patience = time.Minute

// result is what a command line came to.
type result struct {
	code     int
	out, err string
}

// command runs a command line to its end, with nothing in the environment.
func command(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, err bytes.Buffer
	code := Main(ctx, args, Streams{In: strings.NewReader(stdin), Out: &out, Err: &err, Env: func(string) (string, bool) { return "", false }})
	if ctx.Err() != nil {
		t.Fatalf("postern %s does not end; standard error:\n%s", strings.Join(args, " "), &err)
	}
	if strings.Contains(out.String()+err.String(), marker) {
		t.Errorf("security row 8: postern %s shows a secret:\n%s%s", strings.Join(args, " "), &out, &err)
	}
	return result{code, out.String(), err.String()}
}

// folder writes files into a folder of their own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// answering is a VirtualService that answers by itself: no upstream is needed.
const answering = `apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: answering}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{exact: /one}]
      directResponseAction: {status: 201, body: one}
`

// broken is a VirtualService with an unknown field.
const broken = `apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: broken}
spec:
  virtualHots: {}
`

// secretive has a secret at every place where one may be written.
const secretive = `apiVersion: v1
kind: Secret
metadata: {name: token}
stringData: {Authorization: Bearer ` + marker + `}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: by-name}
spec: {ai: {openai: {authToken: {secretRef: {name: token, namespace: default}}}}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: inline}
spec: {ai: {openai: {authToken: {inline: ` + marker + `}}}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: both}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - {matchers: [{prefix: /a}], routeAction: {single: {upstream: {name: by-name}}}}
    - {matchers: [{prefix: /b}], routeAction: {single: {upstream: {name: inline}}}}
`

func TestExitCodes(t *testing.T) {
	good := folder(t, map[string]string{"a.yaml": answering})
	bad := folder(t, map[string]string{"a.yaml": broken})
	notYAML := folder(t, map[string]string{"a.yaml": "kind: [\n"})
	in := func(file string) string { return filepath.Join(good, file) }
	for _, tc := range []struct {
		args string
		code int
		says string // of standard error, or of standard output if that is empty
	}{
		{"", 0, "Available Commands"},
		{"--help", 0, "Available Commands"},
		{"help check", 0, "file:line: Kind namespace/name"},
		{"run --help", 0, "--connect-to HOST:PORT=ADDR:PORT"},
		{"no-such", 2, `unknown command "no-such"; see postern --help`},
		{"--no-such", 2, "unknown flag: --no-such"},
		{"version", 0, "postern " + version},
		{"version now", 2, `argument "now": postern version takes none; see postern version --help`},

		{"check", 2, "nothing to read: name a file or folder with -f"},
		{"check " + good, 2, "name files and folders with -f"},
		{"check -f", 2, "flag needs an argument: 'f' in -f; see postern check --help"},
		{"check -f " + good, 0, "1 object: 0 errors, 0 warnings"},
		{"check -f " + bad, 1, "1 object: 1 error, 0 warnings"},
		{"check -f " + bad + " -f " + good, 1, "2 objects: "},
		{"check -f " + notYAML, 1, "1 error"},
		{"check -f " + in("no-such.yaml"), 1, "1 error"},
		{"check -o yaml -f " + good, 2, `-o "yaml": want text or json`},
		{"check --exposed maybe -f " + good, 2, `--exposed "maybe": want warn or deny`},
		{"check --dialects gloo,nope -f " + good, 2, `--dialects: "nope" is not known: have gatewayapi, gloo`},
		{"check --gateway edge -f " + good, 2, `--gateway "edge": want NAMESPACE/NAME`},

		{"translate", 2, "nothing to read"},
		{"translate -f " + good, 0, ""},
		{"translate -f " + bad, 1, "unknown field"},
		{"translate --no-such", 2, "see postern translate --help"},

		{"run", 2, "nothing to read"},
		{"run " + good, 2, "name files and folders with -f"},
		{"run -f " + notYAML, 1, "postern: refuses to start: correct the error above"},
		{"run -f " + in("no-such.yaml"), 1, "no such file or directory; create it, or leave the path out"},
		{"run --port 80 -f " + good, 2, `--port "80": want LISTENER=BIND, such as 80=8080`},
		{"run --port 80=http -f " + good, 2, `--port "80=http": want LISTENER=BIND`},
		{"run --port 80=70000 -f " + good, 2, `--port "80=70000": want LISTENER=BIND`},
		{"run --port apps/edge=8080 -f " + good, 2, "want LISTENER=BIND"},
		{"run --bind example.com -f " + good, 2, `--bind "example.com": want an IP address`},
		{"run --bind= -f " + good, 2, `--bind "": want an IP address`},
		{"run --connect-to a:1 -f " + good, 2, `--connect-to "a:1": want HOST:PORT=ADDR:PORT`},
		{"run --connect-to a=b:1 -f " + good, 2, `--connect-to "a=b:1": want HOST:PORT=ADDR:PORT`},
		{"run --connect-to a:1=b:x -f " + good, 2, `--connect-to "a:1=b:x": want HOST:PORT=ADDR:PORT`},
		{"run --upstream-ca " + in("no.pem") + " -f " + good, 1, "--upstream-ca: open "},
		{"run --upstream-ca " + in("a.yaml") + " -f " + good, 1, "holds no PEM certificate"},
		{"run --access-log " + in("no/such") + " -f " + good, 1, "--access-log: open "},
		{"run --drain soon -f " + good, 2, `invalid argument "soon" for "--drain" flag`},
		{"run --exposed maybe -f " + good, 2, `--exposed "maybe"`},
		{"run --dialects nope -f " + good, 2, `--dialects: "nope"`},
		{"run --workload edge -f " + good, 2, `--workload "edge": want NAMESPACE/NAME`},
		{"run --workload-labels a=b -f " + good, 2, "--workload-labels needs --workload"},
		{"check --workload a/b --workload-labels a -f " + good, 2, `--workload-labels "a": want key=value`},
		{"check --workload a/b --workload-labels a=b,a=c -f " + good, 2, "label a is written twice"},

		{"simulate now", 2, "takes none"},
		{"simulate --addr 9000", 2, `address "9000": want HOST:PORT`},
		{"simulate --default-provider nope", 2, `--default-provider "nope": want openai or huggingface or `},
		{"simulate --fault nope", 2, "want reset, half, hang, garbage or early-close"},
		{"simulate --status 99", 2, "want 200 to 599"},

		{"token --claims text", 2, "--claims: want a JSON object"},
		{"token --claim sub", 2, `--claim "sub": want NAME=VALUE`},
		{"token --key " + in("no.pem"), 1, "--key: open "},
		{"token --key " + in("a.yaml"), 1, "postern: "},
		{"token --jwks " + in("no/such"), 1, "write key set: open "},
		{"token --expires-in 60", 2, "see postern token --help"},

		{"demo now", 2, "takes none"},
	} {
		t.Run(strings.ReplaceAll(tc.args, good, "GOOD"), func(t *testing.T) {
			r := command(t, "", strings.Fields(tc.args)...)
			text := r.err
			if text == "" {
				text = r.out
			}
			if r.code != tc.code || !strings.Contains(text, tc.says) {
				t.Errorf("exits with %d, want %d with %q; standard error:\n%s", r.code, tc.code, tc.says, r.err)
			}
		})
	}
}

// TestHelp holds that each command says what it is for and has a word for
// each flag.
func TestHelp(t *testing.T) {
	for _, c := range newRoot(Streams{}).Commands() {
		if c.Name() == "help" {
			continue
		}
		r := command(t, "", c.Name(), "--help")
		if r.code != 0 || r.err != "" || !strings.Contains(r.out, "Usage:\n  postern "+c.Name()) {
			t.Errorf("%s --help: %+v", c.Name(), r)
		}
		for line := range strings.Lines(r.out) {
			if strings.HasPrefix(strings.TrimSpace(line), "-") && (strings.Contains(line, " string") || strings.Contains(line, "stringArray")) {
				t.Errorf("%s --help names a value by its type: %s", c.Name(), line)
			}
		}
	}
}

func TestCheckJSON(t *testing.T) {
	r := command(t, "", "check", "-o", "json", "-f", folder(t, map[string]string{"a.yaml": broken}))
	var got struct {
		Errors, Warnings, Objects int
		Problems                  []struct {
			Severity, What, Remedy string
			Origin                 struct {
				Kind, Namespace, Name, Field, File string
				Line                               int
			}
		}
		Outcomes []struct {
			Object            struct{ Group, Kind, Namespace, Name string }
			Condition, Reason string
			OK                bool
		}
	}
	decode(t, r.out, &got)
	if r.code != 1 || r.err != "" || got.Errors != 1 || got.Warnings != 0 || got.Objects != 1 || len(got.Problems) != 1 {
		t.Fatalf("%+v", r)
	}
	p := got.Problems[0]
	if p.Severity != "error" || p.Remedy != "did you mean virtualHost?" || p.Origin.Kind != "VirtualService" ||
		p.Origin.Field != "spec.virtualHots" || p.Origin.Line != 5 || filepath.Base(p.Origin.File) != "a.yaml" {
		t.Errorf("problem %+v", p)
	}
	if len(got.Outcomes) == 0 || got.Outcomes[0].Object.Name != "broken" || got.Outcomes[0].OK {
		t.Errorf("outcomes %+v", got.Outcomes)
	}
	empty := command(t, "", "check", "-o", "json", "-f", "-")
	if empty.code != 0 || strings.Contains(empty.out, "null") {
		t.Errorf("nothing to check: %+v", empty)
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
}

// TestTranslate holds that the model is one JSON value that survives being
// read and written, with secrets by name.
func TestTranslate(t *testing.T) {
	r := command(t, "", "translate", "-f", folder(t, map[string]string{"a.yaml": secretive}))
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	c := roundTrip(t, r.out)
	if len(c.Listeners) != 1 || len(c.Upstreams) != 2 || !strings.Contains(r.out, `"token"`) {
		t.Errorf("translates to\n%s", r.out)
	}
	if r := command(t, "kind: [", "translate", "-f", "-"); r.code != 1 || !strings.Contains(r.err, "stdin:2: this is not YAML") {
		t.Errorf("what is not YAML: %+v", r)
	}
}

// buffer is what a command writes while a test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a command that serves.
type running struct {
	t        *testing.T
	args     []string
	out, err buffer
	cancel   context.CancelFunc
	code     chan int
}

// start runs a command that serves, until it says so in the words given. It is
// stopped when the test ends.
func start(t *testing.T, ready, stdin string, args ...string) *running {
	t.Helper()
	r := &running{t: t, args: args, code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		r.code <- Main(ctx, args, Streams{
			In: strings.NewReader(stdin), Out: &r.out, Err: &r.err, Env: func(string) (string, bool) { return "", false },
		})
	}()
	t.Cleanup(func() { r.stop(0) })
	r.await(ready)
	return r
}

// await waits until the command has said something.
func (r *running) await(says string) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(r.err.String(), says) {
		select {
		case code := <-r.code:
			r.code <- code
			r.t.Fatalf("postern %s: ends with %d before it says %q; standard error:\n%s", r.args[0], code, says, &r.err)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("postern %s: never says %q; standard error:\n%s", r.args[0], says, &r.err)
		}
	}
}

// stop ends the command, and holds it to its exit code.
func (r *running) stop(want int) {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	select {
	case code := <-r.code:
		if code != want {
			r.t.Errorf("postern %s exits with %d, want %d; standard error:\n%s", r.args[0], code, want, &r.err)
		}
	case <-time.After(patience):
		r.t.Errorf("postern %s does not end; standard error:\n%s", r.args[0], &r.err)
	}
	if strings.Contains(r.out.String()+r.err.String(), marker) {
		r.t.Errorf("security row 8: postern %s shows a secret:\n%s%s", r.args[0], &r.out, &r.err)
	}
}

// taken returns a loopback address on which the test itself listens.
func taken(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}
