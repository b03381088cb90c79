//go:build race

package authn_test

// raceEnabled relaxes bounds on time and memory: the detector multiplies both.
const raceEnabled = true

// many is how many keys the tests and benchmarks of many have.
const many = 10_000
