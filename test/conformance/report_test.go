package conformance

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// said is what a report says, whatever the day and the order of its profiles:
// both are others after every run.
func said(report []byte) (map[string]any, error) {
	var out map[string]any
	if err := yaml.Unmarshal(report, &out); err != nil {
		return nil, err
	}
	delete(out, "date")
	profiles, _ := out["profiles"].([]any)
	slices.SortFunc(profiles, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out, nil
}

// keepReport puts a report, as the suite wrote it, where it is kept. One that
// says what the kept one says is not put there: to run the suite changes nothing
// in a tree that is as good as it was.
func keepReport(written, kept string) error {
	report, err := os.ReadFile(written)
	if err != nil {
		return err
	}
	now, err := said(report)
	if err != nil {
		return err
	}
	if before, err := os.ReadFile(kept); err == nil {
		if then, err := said(before); err == nil && reflect.DeepEqual(now, then) {
			return nil
		}
	}
	return os.WriteFile(kept, report, 0o644)
}

// TestKeepReport holds that a day and an order are no reason to keep another
// report, and a result is.
func TestKeepReport(t *testing.T) {
	const (
		http, grpc = "- name: GATEWAY-HTTP\n  passed: 36\n", "- name: GATEWAY-GRPC\n  passed: 14\n"
		first      = "apiVersion: v1\ndate: \"2026-11-22T13:27:53Z\"\nprofiles:\n" + http + grpc
		other      = "apiVersion: v1\ndate: \"2027-01-02T00:00:00Z\"\nprofiles:\n" + http + "- name: GATEWAY-GRPC\n  passed: 13\n"
	)
	tests := []struct{ name, report, want string }{
		{"none is kept yet", first, first},
		{"another day and order", "apiVersion: v1\ndate: \"2027-01-01T00:00:00Z\"\nprofiles:\n" + grpc + http, first},
		{"another result", other, other},
	}
	dir := t.TempDir()
	written, kept := filepath.Join(dir, "report.yaml"), filepath.Join(dir, "kept.yaml")
	for _, tt := range tests {
		if err := os.WriteFile(written, []byte(tt.report), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := keepReport(written, kept); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, err := os.ReadFile(kept); err != nil || string(got) != tt.want {
			t.Errorf("%s: kept is %q, %v", tt.name, got, err)
		}
	}
	if err := keepReport(filepath.Join(dir, "absent"), kept); err == nil {
		t.Error("a report that the suite did not write is kept")
	}
}
