package check_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/check"
)

var update = flag.Bool("update", false, "write what came out into the test data")

// TestData judges the histories in testdata. A file holds cases, each begun
// by "=== name": directives (see world.direct), a line "----", and the
// verdict as verdictText writes it.
func TestData(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) { runDataFile(t, path, name) })
	}
}

func runDataFile(t *testing.T, path, only string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	preface, cases, _ := strings.Cut(string(text), "=== ")
	var renewed strings.Builder
	renewed.WriteString(preface)
	for _, text := range strings.Split(cases, "\n=== ") {
		name, body, _ := strings.Cut(text, "\n")
		input, want, ok := strings.Cut(body+"\n", "----\n")
		if !ok {
			t.Fatalf("case %q has no line ----", name)
		}
		t.Run(name, func(t *testing.T) {
			world := parseWorld(t, input)
			got := verdictText(check.Judge(&world.scenario, &world.history), only)
			fmt.Fprintf(&renewed, "=== %s\n%s----\n%s\n", name, input, got)
			if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" && !*update {
				t.Errorf("verdict differs (-want +got), -update takes the new one:\n%s", diff)
			}
		})
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(path, []byte(strings.TrimSuffix(renewed.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// verdictText writes a verdict down: the outcome, then each result that is
// not off, of one check if there is one of that name.
func verdictText(verdict check.Verdict, only string) string {
	var text strings.Builder
	one := false
	for _, result := range verdict.Results {
		one = one || result.Check == only
	}
	fmt.Fprintf(&text, "%s\n", verdict.Outcome)
	if !one {
		for _, reason := range verdict.Reasons {
			fmt.Fprintf(&text, "because %s\n", reason)
		}
	}
	for _, result := range verdict.Results {
		if result.Status == check.StatusOff || one && result.Check != only {
			continue
		}
		fmt.Fprintf(&text, "%s: %s %s%s\n", result.Check, result.Status, result.Detail, result.Reason)
		for _, finding := range result.Findings {
			fmt.Fprintf(&text, "  %s", finding.Kind)
			if finding.Count > 0 {
				fmt.Fprintf(&text, " (%d)", finding.Count)
			}
			fmt.Fprintf(&text, ": %s", finding.Text)
			if at := finding.Position.String(); at != "" {
				fmt.Fprintf(&text, " [%s]", at)
			}
			text.WriteString("\n")
			for _, row := range finding.Rows {
				fmt.Fprintf(&text, "    %q chunk %s partition %d", row.Text, row.Chunk, row.Partition)
				if row.Expected != row.Partition {
					fmt.Fprintf(&text, " expected %d", row.Expected)
				}
				if row.File != "" {
					fmt.Fprintf(&text, " at %s:%d", filepath.Base(row.File), row.Line)
				}
				text.WriteString("\n")
			}
		}
	}
	return strings.ReplaceAll(text.String(), " \n", "\n")
}
