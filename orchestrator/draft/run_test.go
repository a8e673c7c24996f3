package draft_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/draft"
	"github.com/killpoint/killpoint/orchestrator/killpointtest"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// What is drafted for the example systems runs and passes as it is: for the
// pipeline with its broker, and for a project that is nothing like it.
func TestDraftsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Docker Engine and the images of make images")
	}
	folder := t.TempDir()
	for name, compose := range map[string]string{
		"pipeline": "../../compose/partition-writes.yaml",
		"shop":     "../../scenarios/examples/shop/compose.yaml",
	} {
		whole, err := filepath.Abs(compose)
		if err != nil {
			t.Fatal(err)
		}
		bare, problems := scenario.ParseBytes(filepath.Join(folder, name+".yaml"), []byte("system: "+whole+"\n"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		sys, problems := system.Load(context.Background(), bare, os.Environ())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		made, err := draft.Write(sys, draft.Wish{System: whole})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bare.File, made.Text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	killpointtest.Options{Parallel: true}.Run(t, folder)
}
