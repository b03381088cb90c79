package gloo

import (
	"flag"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/dialecttest"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

func suite() *dialecttest.Suite {
	return &dialecttest.Suite{
		Dialects: []dialect.Dialect{New(), gatewayAPI()}, Kinds: knownKinds(), Least: 60, Update: *update,
	}
}

func TestGolden(t *testing.T) { suite().Golden(t) }

func TestIncremental(t *testing.T) { suite().Incremental(t) }
