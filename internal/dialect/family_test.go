package dialect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
)

// TestFamiliesNameTheFirst holds that an object which another family keeps from
// a listener is told of the oldest that does, in whatever order they came.
func TestFamiliesNameTheFirst(t *testing.T) {
	grpc := resource.GroupKind{Group: "g", Kind: "Other"}
	host := func(gk resource.GroupKind, name string, age int64, hostname string) *VirtualHost {
		return &VirtualHost{
			Listeners: []string{"ns/gw/http"}, Hostnames: []string{hostname}, Family: gk.Kind,
			Owner: key(gk, name), Age: time.Unix(age, 0),
		}
	}
	for seed := range uint64(20) {
		f := world()
		f.Hosts = []*VirtualHost{
			host(grpc, "first", 1, "b.example.com"),
			host(grpc, "second", 2, "a.example.com"),
			host(grpc, "third", 3, "*.c.example.com"),
			host(grpc, "fourth", 4, "b.example.com"),
			host(routeGK, "late", 5, "a.example.com"),
			host(routeGK, "late", 5, "x.c.example.com"),
			host(routeGK, "late", 5, "*.example.com"),
		}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(f.Hosts), func(i, j int) { f.Hosts[i], f.Hosts[j] = f.Hosts[j], f.Hosts[i] })
		_, report := new(Merger).Merge([]*Fragment{f})
		said := fmt.Sprint(report.Problems)
		if !strings.Contains(said, "ns/first comes first") || strings.Count(said, "comes first") != 1 {
			t.Fatalf("in order %d: %s", seed, said)
		}
	}
}
