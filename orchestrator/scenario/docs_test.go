package scenario

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files and the generated docs anew")

const (
	docsFile   = "../../docs/scenarios.md"
	schemaFile = "../../docs/scenario.schema.json"

	referenceBegin = "<!-- reference: begin (made from the types in orchestrator/scenario; go test ./orchestrator/scenario -update) -->\n"
	referenceEnd   = "<!-- reference: end -->\n"
)

// TestReference holds the docs to the types and tables.
func TestReference(t *testing.T) {
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), referenceBegin)
	_, after, ended := strings.Cut(rest, referenceEnd)
	if !begun || !ended {
		t.Fatalf("%s lacks its two markers", docsFile)
	}
	golden(t, docsFile, before+referenceBegin+"\n"+Reference()+"\n"+referenceEnd+after)
}

// TestSchemaFile holds the committed schema, which the scenarios name, to
// what the command prints.
func TestSchemaFile(t *testing.T) { golden(t, schemaFile, string(Schema())) }

// TestDocsNameEveryKind looks for each kind's own row and example: exactly
// one of each.
func TestDocsNameEveryKind(t *testing.T) {
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	for before, kinds := range map[string][]Kind{"- ": FaultKinds, "when: ": TriggerKinds} {
		for _, kind := range kinds {
			for _, want := range []string{"\n| `" + kind.Name + "` | ", "\n" + before + kind.Example + "\n"} {
				if got := bytes.Count(page, []byte(want)); got < 1 {
					t.Errorf("docs have %q %d times, want it once at least", want, got)
				}
			}
		}
	}
}

// TestDocExamplesAreValid parses every whole scenario that the docs show.
func TestDocExamplesAreValid(t *testing.T) {
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range yamlBlocks(string(page)) {
		if !strings.Contains(block, "\nsystem:") {
			continue
		}
		shown++
		if _, problems := ParseBytes("docs.yaml", []byte(block)); problems != nil {
			t.Errorf("the docs show a scenario that is refused:\n%v", problems)
		}
	}
	if shown == 0 {
		t.Error("the docs show no whole scenario")
	}
}

// yamlBlocks gives the text of each fenced block of YAML.
func yamlBlocks(page string) []string {
	var blocks []string
	for i, part := range strings.Split(page, "```") {
		if text, isYAML := strings.CutPrefix(part, "yaml\n"); i%2 == 1 && isYAML {
			blocks = append(blocks, text)
		}
	}
	return blocks
}

// golden compares a text with a file, or writes the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run go test with -update)", err)
	}
	if difference := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); difference != "" {
		t.Errorf("%s is not what is made now (-file +made; -update renews it):\n%s", path, difference)
	}
}

// TestEveryShapeHasASection keeps a new mapping from missing in the docs.
func TestEveryShapeHasASection(t *testing.T) {
	sections := referenceSections()
	for structure := range shapes {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.of == structure }) {
			t.Errorf("%v has no section in the reference", structure)
		}
	}
}
