//go:build !race

package authn_test

const raceEnabled = false

// many is how many keys the tests and benchmarks of many have.
const many = 100_000
