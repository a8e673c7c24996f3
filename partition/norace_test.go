//go:build !race

package partition_test

const underRace = false
