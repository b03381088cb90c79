package reading

import "testing"

func TestHeaderNames(t *testing.T) {
	for _, c := range []struct {
		name                       string
		token, framing, credential bool
	}{
		{"x-team", true, false, false},
		{"X_Team.1!", true, false, false},
		{"", false, false, false},
		{":path", false, false, false},
		{"x team", false, false, false},
		{"x-team\r\n", false, false, false},
		{"x-täm", false, false, false},
		{"Host", true, true, false},
		{"TRANSFER-ENCODING", true, true, false},
		{"content-length ", false, false, false},
		{"Authorization", true, false, true},
		{"X-Api-Key", true, false, true},
		{"x-api-keys", true, false, false},
	} {
		if got := IsToken(c.name); got != c.token {
			t.Errorf("IsToken(%q) = %v", c.name, got)
		}
		if got := IsFraming(c.name); got != c.framing {
			t.Errorf("IsFraming(%q) = %v", c.name, got)
		}
		if got := HoldsCredential(c.name); got != c.credential {
			t.Errorf("HoldsCredential(%q) = %v", c.name, got)
		}
	}
}
