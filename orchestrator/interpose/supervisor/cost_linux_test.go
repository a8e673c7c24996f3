package supervisor_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

var costWrites = flag.Int("cost-writes", 0, "writes of each program of the cost measurement; 0 leaves it out")

// The limits of what the interposer may cost, from the project's design.
const (
	maxTrapped     = 12 * time.Microsecond
	maxTrappedRead = 16 * time.Microsecond
	maxSynced      = 0.10 // of the time of a write with fdatasync
)

// cost is the medians that the target measures, in nanoseconds.
type cost struct{ write, untrapped, synced int64 }

// TestCost compares the same program with and without the interposer, in two containers of the same kind that take turns and write to the same volume: one that counts, and one that reads and reports the bytes as well.
func TestCost(t *testing.T) {
	if *costWrites == 0 {
		t.Skip("run with -cost-writes, as make bench-interpose does")
	}
	needDocker(t)
	native, counted := compareCost(t, newPlan(hold(interpose.Write, "/data/interposed", 1<<30, interpose.Before)))
	recording := newPlan()
	recording.Record = &interpose.Record{Operations: []interpose.Operation{interpose.Write}, Paths: []string{"/data/interposed"}, Sums: true}
	nativeToo, recorded := compareCost(t, recording)
	trapped, trappedRead := time.Duration(counted.write-native.write), time.Duration(recorded.write-nativeToo.write)
	slower := float64(counted.synced)/float64(native.synced) - 1
	t.Logf("write: native %d ns, with path and count +%v, reported with a sum of its bytes +%v", native.write, trapped, trappedRead)
	t.Logf("untrapped call: native %d ns, interposed %d ns", native.untrapped, counted.untrapped)
	t.Logf("write with fdatasync: native %d ns, interposed %d ns, %+.1f %%", native.synced, counted.synced, 100*slower)
	if trapped > maxTrapped || trappedRead > maxTrappedRead {
		t.Errorf("a trapped call costs too much: at most %v, with its bytes %v", maxTrapped, maxTrappedRead)
	}
	if slower > maxSynced {
		t.Errorf("a program bound by syncs is slowed too much: at most %.0f %%", 100*maxSynced)
	}
	if counted.untrapped > native.untrapped*105/100+2 {
		t.Error("an untrapped call costs more than without the interposer")
	}
}

// compareCost runs the two programs by turns on one volume.
func compareCost(t *testing.T, plan interpose.Plan) (native, interposed cost) {
	t.Helper()
	volume := t.TempDir()
	for _, pipe := range []string{"first", "second"} {
		if err := unix.Mkfifo(volume+"/"+pipe, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--volume", volume + ":/data"}
	count := fmt.Sprint(*costWrites)
	c := createContainer(t, plan, flags, "/target", "measure", "/data/interposed", count, "/data/first", "/data/second")
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	name := c.name + "-native"
	arguments := append([]string{"run", "--detach", "--name", name, "--network", "none"}, flags...)
	docker(t, nil, append(arguments, from, "/target", "measure", "/data/native", count, "/data/second", "/data/first")...)
	t.Cleanup(func() { docker(t, nil, "rm", "--force", "--volumes", name) })
	c.start(plan)
	// Whoever reads this byte has the first turn.
	turn, err := os.OpenFile(volume+"/first", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close()
	if _, err := turn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if event := c.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d", event.Code)
	}
	if code := docker(t, nil, "wait", name); code != "0" {
		t.Fatalf("native program: exit code %s", code)
	}
	return parseCost(t, docker(t, nil, "logs", name)), parseCost(t, docker(t, nil, "logs", c.name))
}

func parseCost(t *testing.T, output string) cost {
	t.Helper()
	var c cost
	if _, err := fmt.Sscanf(output[max(strings.LastIndex(output, "write"), 0):], "write %d untrapped %d synced %d", &c.write, &c.untrapped, &c.synced); err != nil {
		t.Fatalf("unexpected output %q: %v", output, err)
	}
	return c
}
