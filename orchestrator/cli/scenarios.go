package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// defaultFolder is where list and validate look when they are not told.
const defaultFolder = "scenarios"

// orDefaultFolder is what list and validate work on without arguments.
func orDefaultFolder(arguments []string) []string {
	if len(arguments) == 0 {
		return []string{defaultFolder}
	}
	return arguments
}

// loadScenarios parses every file and binds it to its system; change is
// applied between the two, for flags that stand above what a file says.
func (w *world) loadScenarios(ctx context.Context, files []string, change func(*scenario.Scenario)) ([]suite.Loaded, scenario.Problems) {
	return suite.Load(ctx, files, w.environ, w.load, change)
}

// completeScenarios lets the shell offer YAML files and folders.
func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
