//go:build race

package partition_test

// underRace thins out the crash tests, which the race detector slows tenfold.
const underRace = true
