package proof_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/proof"
)

const (
	minimal = `
mistake: It is wrong.
service: worker-2
changes: [{file: a.go, old: x, new: y}]
finds: [lost]
model: process-crash
`
	plain  = minimal + "scenario: scenarios/normal.yaml\n"
	subtle = minimal + "subtle: true\npoint: worker-2:fsync:/data/a:1:before\n"
)

// load reads a folder that holds one variant.
func load(t *testing.T, text string) ([]proof.Variant, error) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "one.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return proof.Load(folder)
}

func TestLoad(t *testing.T) {
	for _, text := range []string{
		plain, subtle,
		strings.Replace(plain, "model: process-crash", "unexplored: Because.", 1),
		plain + "env: {NUM_CHUNKS: 3}\ntimeout: 5s\nsays: x\nsource: some/project#1\n",
		strings.Replace(strings.Replace(subtle, "before", "before:lose-all", 1), "process-crash", "power-loss", 1),
	} {
		variants, err := load(t, text)
		if err != nil || len(variants) != 1 || variants[0].Name != "one" {
			t.Errorf("got %+v, %v\n%s", variants, err, text)
		}
	}
}

// A variant that does not say all that is asked of it, or contradicts itself,
// is refused, and the file is named.
func TestLoadRefuses(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{plain + "scenrio: x\n", "scenrio"},
		{strings.Replace(plain, "finds: [lost]", "", 1), "finds must be given"},
		{minimal, "scenario is what catches"},
		{subtle + "scenario: scenarios/normal.yaml\n", "scenario is what catches"},
		{plain + "point: worker-2:fsync:/data/a:1:before\n", "point is where"},
		{strings.Replace(subtle, "point:", "#", 1), "point is where"},
		{strings.Replace(subtle, "1:before", "0:before", 1), "counted from 1"},
		{strings.Replace(subtle, "worker-2:fsync", "worker-3:fsync", 1), "want one of worker-2"},
		{plain + "depth: 3\n", "only 2 can be given"},
		{strings.Replace(subtle, "before", "before:lose-all", 1), "not one of the model process-crash"},
		{strings.Replace(subtle, "process-crash", "power-loss", 1), "not one of the model power-loss"},
		{strings.Replace(plain, "process-crash", "sunspots", 1), `model "sunspots"`},
		{strings.Replace(plain, "model: process-crash", "", 1), "either model or unexplored"},
		{plain + "unexplored: Because.\n", "either model or unexplored"},
		{strings.Replace(plain, "model: process-crash", "unexplored: Because.\nenv: {A: 1}", 1), "unexplored: it can neither"},
		{strings.Replace(plain, "new: y", "new: time.Sleep(1)", 1), "not by a sleep"},
		{strings.Replace(plain, "new: y", "new: x", 1), "changes nothing"},
	} {
		_, err := load(t, test.text)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "one.yaml") {
			t.Errorf("got %v, want it to say %q\n%s", err, test.says, test.text)
		}
	}
}

// There are enough of each kind for an exploration to prove something, and
// what each names is there.
func TestVariants(t *testing.T) {
	variants, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	explored, subtle := 0, 0
	for _, variant := range variants {
		if variant.Unexplored == "" {
			explored++
		}
		if variant.Subtle {
			subtle++
			continue
		}
		if _, err := os.Stat(filepath.Join(root, variant.Scenario)); err != nil {
			t.Errorf("%s: %v", variant.Name, err)
		}
	}
	if explored < 15 || subtle < 5 {
		t.Errorf("%d variants are explored and %d of them subtle, want at least 15 and 5", explored, subtle)
	}
}

// A change that does not fit the code any more is an error that says so.
func TestBuildFollowsTheCode(t *testing.T) {
	variant := proof.Variant{Name: "gone", Changes: []proof.Change{{File: "partition/fs.go", Old: "no such text", New: "x"}}}
	err := variant.Build(t.Context(), mustAbs(t, root), t.TempDir(), filepath.Join(t.TempDir(), "worker"))
	if err == nil || !strings.Contains(err.Error(), "partition/fs.go") || !strings.Contains(err.Error(), "0 times") {
		t.Errorf("got %v", err)
	}
}
