package draft

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

var update = flag.Bool("update", false, "write what the drafts are into testdata")

// TestDrafts reads systems, each followed by ---- and by what is drafted for
// it, and sees that every draft is valid.
func TestDrafts(t *testing.T) {
	text, err := os.ReadFile("testdata/drafts.txt")
	if err != nil {
		t.Fatal(err)
	}
	var renewed strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n\n") {
		input, _, _ := strings.Cut(block, "\n----")
		fmt.Fprintf(&renewed, "%s\n----\n%s\n\n\n", input, drafted(t, input))
	}
	got := strings.TrimRight(renewed.String(), "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/drafts.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if difference := cmp.Diff(string(text), got); difference != "" {
		t.Errorf("testdata/drafts.txt differs (-want +got; go test -update renews it):\n%s", difference)
	}
}

// drafted is the draft for one system of the test data, with its notes.
func drafted(t *testing.T, input string) string {
	t.Helper()
	head, compose, found := strings.Cut(input, "compose\n")
	if !found {
		t.Fatalf("no compose file in:\n%s", input)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "compose.yaml"), []byte(strings.ReplaceAll("\n"+compose, "\n  ", "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	wish := Wish{System: "compose.yaml"}
	for line := range strings.Lines(head) {
		if name, is := strings.CutPrefix(strings.TrimSpace(line), "service "); is {
			wish.Service = strings.Trim(name, "'")
		}
	}
	file := filepath.Join(folder, "first.yaml")
	made, err := Write(load(t, file, []byte("system: compose.yaml\n")), wish)
	if err != nil {
		return "error: " + err.Error()
	}
	load(t, file, made.Text)
	var out strings.Builder
	for _, note := range made.Notes {
		fmt.Fprintf(&out, "%s: %s\n", note.Subject, note.Text)
	}
	return out.String() + strings.TrimRight(string(made.Text), "\n")
}

// load binds a scenario to its system, and fails the test when it is not valid.
func load(t *testing.T, file string, text []byte) *system.System {
	t.Helper()
	sc, problems := scenario.ParseBytes(file, text)
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	sys, problems := system.Load(context.Background(), sc, nil)
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	return sys
}

// Whatever a service, a queue or a folder is called, the text stays YAML that
// says it.
func TestScalar(t *testing.T) {
	for text, want := range map[string]string{
		"worker-2": "worker-2", "../../compose.yaml": "../../compose.yaml", "..": "'..'", "yes": "'yes'", "it's": "'it''s'", "1": "'1'",
		"/data/*.csv": "'/data/*.csv'", "a b": "'a b'", "": "''", "a,b": "'a,b'", "-": "'-'", "#": "'#'", "Null": "'Null'",
	} {
		if got := Scalar(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}
