package deploy

import "slices"

// privileged is the number of ports that only a superuser may bind, and shift
// is what `run --behind-service` adds to one of them.
const (
	privileged = 1024
	shift      = 10000
	lastPort   = 65535
)

// port is one port of a Service, and where the pods have it.
type port struct {
	number, target int
	// named says that the pods have to be told: it is not where they would put
	// it by themselves.
	named bool
}

// portsOf returns the ports of listeners, once each, in their order. Two that
// would meet in the pods are kept apart.
func portsOf(numbers []int) []port {
	sorted := slices.Compact(slices.Sorted(slices.Values(numbers)))
	taken := map[int]bool{}
	for _, n := range sorted {
		if n >= privileged {
			taken[n] = true
		}
	}
	out := make([]port, 0, len(sorted))
	for _, n := range sorted {
		p := port{number: n, target: n}
		if n < privileged {
			p.target = n + shift
			if taken[p.target] {
				p.target, p.named = free(p.target, taken), true
			}
			taken[p.target] = true
		}
		out = append(out, p)
	}
	return out
}

// free returns a port that is not taken, at want or soon after.
func free(want int, taken map[int]bool) int {
	for n := want; ; n++ {
		if n > lastPort {
			n = privileged
		}
		if !taken[n] {
			return n
		}
	}
}

// ownPorts are where the pods answer probes, and where their admin page is.
func ownPorts(ports []port) (health, admin int) {
	taken := map[int]bool{}
	for _, p := range ports {
		taken[p.target] = true
	}
	health = free(19902, taken)
	taken[health] = true
	return health, free(9901, taken)
}
