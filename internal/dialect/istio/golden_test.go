package istio

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// A line "workload: namespace/name k=v..." of a case says which workload the
// gateway is, and one "mesh: address port identity" that it is the workload's
// side.
func suite() *dialecttest.Suite {
	s := &dialecttest.Suite{Order: shortOrder, Env: resource.EnvPlaceholder, Least: 40, Update: *update}
	with := func(s *dialecttest.Suite, o Options) {
		s.Dialects, s.Kinds = []dialect.Dialect{New(o)}, knownKinds(o)
	}
	with(s, Options{})
	s.Case = func(t *testing.T, s *dialecttest.Suite, comment string) { with(s, options(t, comment)) }
	return s
}

func TestGolden(t *testing.T) { suite().Golden(t) }

func TestIncremental(t *testing.T) { suite().Incremental(t) }

// options reads what a case says of the gateway.
func options(t *testing.T, comment string) Options {
	t.Helper()
	var out Options
	for line := range strings.Lines(comment) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(rest)
		switch key {
		case "workload":
			namespace, name, _ := strings.Cut(fields[0], "/")
			out.Workload = &Workload{Namespace: namespace, Name: name, Labels: map[string]string{}}
			for _, f := range fields[1:] {
				k, v, _ := strings.Cut(f, "=")
				out.Workload.Labels[k] = v
			}
		case "mesh":
			port, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			out.Mesh = &Mesh{Address: fields[0], Port: port, Egress: fields[2]}
		}
	}
	return out
}

func knownKinds(opts Options) []resource.Kind {
	return slices.Concat(resource.CoreKinds(), parent.Kinds(), New(opts).Kinds)
}

// shortOrder leaves out the bytes of an object's name: last, rank, age … place.
func shortOrder(v any) any {
	list, ok := v.([]any)
	if !ok || len(list) < 6 {
		return fmt.Sprint(v)
	}
	places := list[3:]
	for len(places) > 0 && places[0].(float64) > 1<<20 { // seven bytes of text
		places = places[1:]
	}
	return fmt.Sprint(list[:3], " … ", places)
}
