package conformance

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// date is the line of a report that is another after every run.
var date = regexp.MustCompile(`(?m)^date: .*\n`)

// keepReport puts a report, as the suite wrote it, where it is kept. One that
// says what the kept one says, on another day, is not put there: to run the
// suite changes nothing in a tree that is as good as it was.
func keepReport(written, kept string) error {
	report, err := os.ReadFile(written)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(kept)
	if err == nil && bytes.Equal(date.ReplaceAll(report, nil), date.ReplaceAll(before, nil)) {
		return nil
	}
	return os.WriteFile(kept, report, 0o644)
}

// TestKeepReport holds that the day alone is no reason to keep another report,
// and anything else is.
func TestKeepReport(t *testing.T) {
	first := "apiVersion: v1\ndate: \"2026-11-22T13:27:53Z\"\nprofiles:\n- name: GATEWAY-HTTP\n  passed: 36\n"
	tests := []struct{ name, report, want string }{
		{"none is kept yet", first, first},
		{"another day", "apiVersion: v1\ndate: \"2027-01-01T00:00:00Z\"\nprofiles:\n- name: GATEWAY-HTTP\n  passed: 36\n", first},
		{"another result", "apiVersion: v1\ndate: \"2027-01-02T00:00:00Z\"\nprofiles:\n- name: GATEWAY-HTTP\n  passed: 35\n",
			"apiVersion: v1\ndate: \"2027-01-02T00:00:00Z\"\nprofiles:\n- name: GATEWAY-HTTP\n  passed: 35\n"},
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
