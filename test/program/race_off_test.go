//go:build !race

package program

// raceEnabled says that memory is larger, and time longer, than they are.
const raceEnabled = false
