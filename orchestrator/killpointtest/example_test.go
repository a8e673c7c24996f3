package killpointtest_test

import (
	"testing"

	"github.com/killpoint/killpoint/orchestrator/killpointtest"
)

// A test of one's own project: every scenario of a folder, each as a subtest.
// go test -run TestCrashes/restart runs one of them.
func Example() {
	_ = func(t *testing.T) { // func TestCrashes(t *testing.T)
		if testing.Short() {
			t.Skip("needs a Docker Engine")
		}
		killpointtest.Run(t, "../scenarios")
	}
}

// Other values for the compose file, and subtests side by side.
func ExampleOptions_Run() {
	_ = func(t *testing.T) {
		killpointtest.Options{
			Env:      map[string]string{"NUM_CHUNKS": "100"},
			Parallel: true,
		}.Run(t, "../scenarios/restart.yaml", "../scenarios/crash-*.yaml")
	}
}

// TestCrash is such a test: it kills the ledger of the example shop at an
// exact write, which needs the interposer.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	killpointtest.Run(t, "testdata/crash.yaml")
}
