package envoyai

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

func suite() *dialecttest.Suite {
	return &dialecttest.Suite{
		Dialects: []dialect.Dialect{New(), gateways()}, Kinds: knownKinds(), Least: 28, Update: *update,
		Order: wholeNumber, Short: short,
	}
}

func TestGolden(t *testing.T) { suite().Golden(t) }

func TestIncremental(t *testing.T) { suite().Incremental(t) }

func knownKinds() []resource.Kind { return append(resource.CoreKinds(), New().Kinds...) }

// gateways stands for the Gateway API's dialect: it makes the listeners.
func gateways() dialect.Dialect {
	return dialect.Dialect{
		Name: "gateways",
		Roots: func(v *resource.View) (out []resource.Key) {
			for _, o := range v.All(parent.GatewayKind) {
				out = append(out, o.Key)
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			f := &dialect.Fragment{}
			o := v.Get(root.GroupKind, root.Namespace, root.Name)
			for _, l := range parent.Listeners(v, o) {
				section := dialect.TargetOf(root)
				section.Section = string(l.Spec.Name)
				var tls *ir.ServerTLS
				if l.Spec.TLS != nil {
					tls = &ir.ServerTLS{MinVersion: "1.2", ALPN: []string{"http/1.1"}}
				}
				f.Listeners = append(f.Listeners, &dialect.Listener{
					Listener: ir.Listener{Name: l.Name, Port: int(l.Spec.Port), Hostname: l.Hostname(), TLS: tls},
					Targets:  []dialect.Target{section, dialect.TargetOf(root)}, Owner: root, Age: o.Created,
				})
			}
			return f, status.Report{}
		},
	}
}

// short puts what is the same in every case on one line, and matches too.
func short(n map[string]any) (any, bool) {
	if line, ok := shortRoute(n); ok {
		return line, true
	}
	if list, ok := n["matches"].([]any); ok {
		n["matches"] = shortMatches(list)
	}
	return nil, false
}

// wholeNumber writes a step's order; those of matches are written with them.
func wholeNumber(order any) any {
	if n, ok := order.(float64); ok {
		return int64(n)
	}
	return order
}

// shortRoute writes the answers that the gateway gives by itself.
func shortRoute(n map[string]any) (string, bool) {
	action, _ := n["action"].(map[string]any)
	direct, _ := action["direct"].(map[string]any)
	if direct == nil || n["matches"] == nil {
		return "", false
	}
	var slots []any
	steps, _ := n["steps"].([]any)
	for _, s := range steps {
		slots = append(slots, s.(map[string]any)["slot"])
	}
	return fmt.Sprint(n["name"], " answers ", direct["status"], " after ", slots), true
}

const openAIPaths = "exact /v1/chat/completions, exact /v1/embeddings, exact /v1/completions, exact /v1/responses, " +
	"exact /v1/responses/input_tokens, exact /v1/images/generations, exact /v1/audio/speech, exact /v1/audio/transcriptions, exact /v1/audio/translations"

// shortMatches joins the paths of matches that differ in nothing else.
func shortMatches(list []any) any {
	var order []string
	paths := map[string][]string{}
	for _, m := range list {
		m := m.(map[string]any)
		path := fmt.Sprint(m["path"].(map[string]any)["kind"], " ", m["path"].(map[string]any)["value"])
		delete(m, "path")
		if o, ok := m["order"].([]any); ok {
			m["order"] = fmt.Sprint(o)
		}
		rest, _ := json.Marshal(m)
		if paths[string(rest)] == nil {
			order = append(order, string(rest))
		}
		paths[string(rest)] = append(paths[string(rest)], path)
	}
	var out []any
	for _, rest := range order {
		out = append(out, strings.Replace(strings.Join(paths[rest], ", "), openAIPaths, "(OpenAI)", 1)+" "+rest)
	}
	return out
}
