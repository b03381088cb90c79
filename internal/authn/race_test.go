//go:build race

package authn_test

// raceEnabled relaxes bounds on time and memory: the detector multiplies both.
const raceEnabled = true
