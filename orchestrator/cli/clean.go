package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (w *world) cleanCommand() *cobra.Command {
	all := false
	command := &cobra.Command{
		Use:   "clean",
		Short: "Remove containers, networks and volumes that runs have left",
		Long: `Remove what runs have left on the Docker Engine: after --keep, or after
killpoint itself was killed. Only what carries killpoint's labels is removed,
and nothing of a killpoint that is still running on this machine. What another
machine has started on the same engine is removed with --all only.`,
		Example: `killpoint clean
killpoint clean --all`,
		GroupID: "tool",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			removed, err := w.sweep(command.Context(), all)
			for _, thing := range removed {
				fmt.Fprintf(w.stdout, "removed %s\n", thing)
			}
			if err != nil {
				return broken(fmt.Errorf("clean: %w", err))
			}
			if len(removed) == 0 {
				fmt.Fprintln(w.stdout, "nothing to remove")
			}
			return nil
		},
	}
	command.Flags().BoolVar(&all, "all", false, "also what other machines have started on this engine")
	return command
}
