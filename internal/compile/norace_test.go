//go:build !race

package compile

// raceEnabled relaxes bounds on time: the detector multiplies it.
const raceEnabled = false
