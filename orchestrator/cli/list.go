package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

func (w *world) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [SCENARIO.yaml | folder | pattern]…",
		Short: "List scenarios with their faults",
		Long: `List scenarios: name, faults, compose file and description. Without arguments
it lists the folder scenarios. Files that are no valid scenarios are shown as
problems on stderr, and the command ends with 2.`,
		Example:           "killpoint list scenarios",
		GroupID:           "scenarios",
		ValidArgsFunction: completeScenarios,
		RunE: func(_ *cobra.Command, arguments []string) error {
			files, err := suite.Find(orDefaultFolder(arguments))
			if err != nil {
				return err
			}
			var problems scenario.Problems
			table := tabwriter.NewWriter(w.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tFAULTS\tSYSTEM\tDESCRIPTION")
			for _, file := range files {
				sc, wrong := scenario.Parse(file)
				if len(wrong) > 0 {
					problems = append(problems, wrong...)
					continue
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", sc.Name, faultList(sc.Faults), sc.System, oneSpace(sc.Description))
			}
			if err := table.Flush(); err != nil {
				return broken(fmt.Errorf("write list: %w", err))
			}
			if len(problems) > 0 {
				return badScenario(problems)
			}
			return nil
		},
	}
}

// faultList is what is done to whom, and how often.
func faultList(faults []scenario.Fault) string {
	if len(faults) == 0 {
		return "none"
	}
	var parts []string
	for _, fault := range faults {
		part := string(fault.Kind) + " " + fault.Service
		if fault.Times > 1 {
			part += fmt.Sprintf(" x%d", fault.Times)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// oneSpace keeps a description that was written over several lines in its row.
func oneSpace(text string) string { return strings.Join(strings.Fields(text), " ") }
