//go:build race

package check_test

// raceEnabled says that the race detector takes memory of its own.
const raceEnabled = true
