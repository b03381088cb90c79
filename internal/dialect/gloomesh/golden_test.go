package gloomesh

import (
	"flag"
	"fmt"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
	"github.com/postern-gateway/postern/internal/resource"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

func suite() *dialecttest.Suite {
	return &dialecttest.Suite{Dialects: []dialect.Dialect{New(Options{})}, Kinds: knownKinds(), Order: shortOrder, Least: 60, Update: *update}
}

func TestGolden(t *testing.T) { suite().Golden(t) }

func TestIncremental(t *testing.T) { suite().Incremental(t) }

func knownKinds() []resource.Kind { return append(resource.CoreKinds(), New(Options{}).Kinds...) }

// shortOrder leaves out the bytes of a table's name: weight, age … place.
func shortOrder(v any) any {
	list, ok := v.([]any)
	if !ok || len(list) < 4 {
		return fmt.Sprint(v)
	}
	return fmt.Sprint(list[0], " ", list[1], " … ", list[len(list)-1])
}
