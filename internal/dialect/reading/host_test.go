package reading

import "testing"

func TestIsHost(t *testing.T) {
	for h, want := range map[string]bool{
		"*": true, "a.example": true, "*.example": true, "10.0.0.1": true, "[::1]": true, "a_b": true,
		"": false, "*.": false, "a.*": false, "*.*": false, "a..b": false, ".a": false, "A.example": false, "a/b": false, "a b": false,
	} {
		if got := IsHost(h); got != want {
			t.Errorf("IsHost(%q) = %v", h, got)
		}
	}
}
