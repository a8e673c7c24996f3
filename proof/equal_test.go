package proof_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/proof"
)

// What a campaign finds depends on its seed alone: two with one seed choose the
// same points and come to the same outcomes, and four shards that are merged
// are the campaign in one piece, and a program that is killed in place comes to
// what its container comes to. On the correct worker and on a broken one, on real
// containers.
func TestCampaignsAreEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("builds images and explores")
	}
	all, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	broken := all[slices.IndexFunc(all, func(v proof.Variant) bool { return v.Name == "forgets-after-restart" })]
	b := newBench(t)
	b.build(t, []proof.Variant{proof.Correct(), broken})
	for _, test := range []struct {
		name string
		code int
	}{{proof.Correct().Name, 0}, {broken.Name, 1}} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			explore := func(name string, code int, more ...string) string {
				into := filepath.Join(folder, name)
				arguments := append([]string{
					"explore", filepath.Join("proof", exploring), "--target", "worker-2", "--env", "WORKER_2_IMAGE=" + b.images[test.name],
					"--max", "32", "--seed", "7", "--confirm", "0", "--quiet", "--report", into,
				}, more...)
				if got, output := command(t, arguments...); got != code && code >= 0 {
					t.Fatalf("exit code %d, want %d:\n%s", got, code, output)
				}
				return into
			}
			first := outcomes(t, explore("first", test.code))
			if got := strings.Count(first, "\n"); got != 32 {
				t.Fatalf("%d points, want 32:\n%s", got, first)
			}
			if failed := strings.Contains(first, "failed"); failed != (test.code == 1) {
				t.Fatalf("outcomes:\n%s", first)
			}
			if difference := cmp.Diff(first, outcomes(t, explore("second", test.code))); difference != "" {
				t.Errorf("a second campaign differs (-first +second):\n%s", difference)
			}
			arguments := []string{"report", "merge", "--into", filepath.Join(folder, "merged")}
			for shard := 1; shard <= 4; shard++ {
				name := fmt.Sprintf("shard-%d", shard)
				arguments = append(arguments, explore(name, -1, "--shard", fmt.Sprintf("%d/4", shard))) // which of them fail is the seed's choice
			}
			if code, output := command(t, arguments...); code != test.code {
				t.Fatalf("merge: exit code %d, want %d:\n%s", code, test.code, output)
			}
			if difference := cmp.Diff(first, outcomes(t, filepath.Join(folder, "merged"))); difference != "" {
				t.Errorf("the merged shards differ (-whole +merged):\n%s", difference)
			}
			inPlace := outcomes(t, explore("in-place", -1, "--max", "8"))
			if difference := cmp.Diff(inPlace, outcomes(t, explore("containers", -1, "--max", "8", "--kill", "container"))); difference != "" {
				t.Errorf("real kills of containers differ (-in place +containers):\n%s", difference)
			}
			// In a chain, too: in the order in which its links happen to be, or each
			// point by itself from rest to rest.
			chained := outcomes(t, explore("chain", -1, "--chain", "--max", "15"))
			if failed := strings.Contains(chained, "failed"); failed != (test.code == 1) || strings.Count(chained, "\n") != 15 || strings.Contains(chained, "inconclusive") {
				t.Fatalf("outcomes of a chain:\n%s", chained)
			}
			if difference := cmp.Diff(chained, outcomes(t, explore("chain-again", -1, "--chain", "--max", "15", "--parallel", "3"))); difference != "" {
				t.Errorf("a second chain differs (-first +second):\n%s", difference)
			}
			var some []string
			for line := range strings.Lines(outcomes(t, explore("alone", -1, "--chain", "--max", "5", "--kill", "container"))) {
				some = append(some, line)
				if !strings.Contains("\n"+chained, "\n"+line) {
					t.Errorf("by itself, with a kill of the container: %sin a chain:\n%s", line, chained)
				}
			}
			if len(some) != 5 {
				t.Errorf("%d points by themselves", len(some))
			}
		})
	}
}

// outcomes is the point, outcome and kinds of finding of each point that was
// run, as a campaign writes them for diff.
func outcomes(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "outcomes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
