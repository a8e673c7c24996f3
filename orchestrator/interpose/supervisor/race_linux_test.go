//go:build race

package supervisor_test

import "os"

func init() {
	raceFlags = []string{"-race"}
	// A race ends the interposer, and with it the test; without one it ends without a pause.
	if err := os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
}
