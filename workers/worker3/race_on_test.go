//go:build race

package worker3

// raceEnabled says that the race detector takes memory of its own.
const raceEnabled = true
