package kube

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/internal/resource"
)

// TestReached reads the addresses of a status, whatever else is there, and
// holds that another list of them is no other object.
func TestReached(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status any
		want   []string
	}{
		{"a Gateway's", map[string]any{"addresses": []any{
			map[string]any{"type": "IPAddress", "value": "10.0.0.1"}, map[string]any{"value": "gw.example"},
		}}, []string{"10.0.0.1", "gw.example"}},
		{"none", map[string]any{"addresses": []any{}}, nil},
		{"another kind's", map[string]any{"addresses": "10.0.0.1"}, nil},
		{"of other types", map[string]any{"addresses": []any{"10.0.0.1", map[string]any{"value": int64(1)}, map[string]any{"value": ""}}}, nil},
		{"no status", nil, nil},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		if tc.status != nil {
			u.Object["status"] = tc.status
		}
		if got := addresses(u); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	before := &resource.Object{Version: "v1", ResourceVersion: "1"}
	after := &resource.Object{Version: "v1", ResourceVersion: "2", Reached: []string{"10.0.0.1"}}
	if !after.Says(before) {
		t.Error("an address in the status makes it another object")
	}
}
