package gateway

import "testing"

// TestPortsAddress says where listeners are bound.
func TestPortsAddress(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flags []string
		shift bool
		port  int
		want  string
		fixed bool
	}{
		{"as asked for", nil, false, 80, "127.0.0.1:80", false},
		{"named", []string{"80=8080"}, false, 80, "127.0.0.1:8080", true},
		{"named for a Gateway", []string{"80=8080", "a/b:80=8081"}, false, 80, "127.0.0.1:8081", true},
		{"named elsewhere", []string{"80=127.0.0.2:8080"}, false, 80, "127.0.0.2:8080", true},
		{"shifted", nil, true, 443, "127.0.0.1:10443", true},
		{"shifted, but named", []string{"443=8443"}, true, 443, "127.0.0.1:8443", true},
		{"not to be shifted", nil, true, 1024, "127.0.0.1:1024", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := ParsePorts("127.0.0.1", tc.flags)
			if err != nil {
				t.Fatal(err)
			}
			p.Shift = tc.shift
			if got, fixed := p.address("", tc.port, []string{"a/b"}); got != tc.want || fixed != tc.fixed {
				t.Errorf("%s, fixed %v", got, fixed)
			}
		})
	}
}
