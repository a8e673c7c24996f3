package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

func (w *world) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [SCENARIO.yaml | folder | pattern]…",
		Short: "Check scenarios and their compose files, and show every problem",
		Long: `Check scenarios and the compose files that they name, without Docker. Every
problem of every file is shown as file:line:col with the line, and the command
ends with 2 when there is one. Without arguments it checks the folder
scenarios.`,
		Example: `killpoint validate scenarios/restart.yaml
killpoint validate 'scenarios/**/*.yaml'`,
		GroupID:           "scenarios",
		ValidArgsFunction: completeScenarios,
		RunE: func(command *cobra.Command, arguments []string) error {
			files, err := suite.Find(orDefaultFolder(arguments))
			if err != nil {
				return err
			}
			good, problems := w.loadScenarios(command.Context(), files, func(*scenario.Scenario) {})
			if len(problems) > 0 {
				w.annotateProblems(problems)
				return badScenario(problems)
			}
			for _, one := range good {
				for _, warning := range one.System.Warnings {
					fmt.Fprintf(w.stderr, "%s: warning: %s\n", one.System.File, warning)
				}
			}
			if len(good) == 1 {
				fmt.Fprintf(w.stdout, "%s is valid\n", good[0].Scenario.File)
				return nil
			}
			fmt.Fprintf(w.stdout, "%d scenarios are valid\n", len(good))
			return nil
		},
	}
}

// annotateProblems tells GitHub where the problems are, when run there.
func (w *world) annotateProblems(problems scenario.Problems) {
	if w.onGitHub() {
		report.AnnotateProblems(w.stderr, problems, w.getenv("GITHUB_WORKSPACE"))
	}
}

func (w *world) onGitHub() bool { return w.getenv("GITHUB_ACTIONS") == "true" }
