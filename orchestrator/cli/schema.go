package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

func (w *world) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Long: `Print the JSON Schema of scenario files. An editor that knows it completes keys
and marks mistakes; with the YAML language server, begin a scenario with

  # yaml-language-server: $schema=scenario.schema.json`,
		Example: "killpoint schema > scenarios/scenario.schema.json",
		GroupID: "scenarios",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := w.stdout.Write(scenario.Schema()); err != nil {
				return broken(fmt.Errorf("write schema: %w", err))
			}
			return nil
		},
	}
}
