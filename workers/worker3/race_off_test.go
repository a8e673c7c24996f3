//go:build !race

package worker3

const raceEnabled = false
