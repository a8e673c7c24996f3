package proof_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var rates = flag.Bool("rates", false, "print how many crash points go into a minute, beside a plain script")

// The rates of the ways to crash worker-2 of the shipped pipeline, of the
// script that does it one by one, and of the pipeline's own processes with
// nothing around them, in one run. Only points count whose own checks ran.
func TestRates(t *testing.T) {
	if !*rates {
		t.Skip("takes some minutes; make rate runs it")
	}
	process := exploredRate(t, "--max", "600")
	chain := exploredRate(t, "--chain")
	container := exploredRate(t, "--kill", "container", "--max", "120")
	const crashes = 6
	script := exec.Command(filepath.Join(root, "proof", "plain.sh"), strconv.Itoa(crashes))
	script.Stderr = os.Stderr
	output, err := script.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	found := regexp.MustCompile(`in (\d+) s`).FindSubmatch(output)
	if found == nil {
		t.Fatalf("plain.sh says %s", output)
	}
	seconds, _ := strconv.ParseFloat(string(found[1]), 64)
	plain := crashes * 60 / max(seconds, 1)
	bare := bareRate(t)
	fmt.Printf("%-28s %8s %10s %8s\n", "", "a minute", "of a goal", "of plain")
	for _, line := range []struct {
		name       string
		rate, goal float64
	}{{"in place, a run each", process, 1000}, {"in place, in chains", chain, 1000}, {"container kills", container, 120}, {"plain script", plain, 0}, {"processes alone", bare, 0}} {
		goal := ""
		if line.goal > 0 {
			goal = fmt.Sprintf("%.0f %%", 100*line.rate/line.goal)
		}
		fmt.Printf("%-28s %8.1f %10s %7.1fx\n", line.name, line.rate, goal, line.rate/plain)
	}
	fmt.Println("Processes alone: the pipeline once through and worker-2 once more, without containers, crash points, putting back and checks.")
}

// exploredRate explores points and says how many went into a minute.
func exploredRate(t *testing.T, how ...string) float64 {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "campaign")
	arguments := append([]string{"explore", "scenarios/normal.yaml", "--target", "worker-2", "--quiet", "--report", folder}, how...)
	code, output := command(t, arguments...)
	if code != 0 { // not every point was come to
		t.Fatalf("exit code %d: %s", code, output)
	}
	return rate(t, folder)
}
