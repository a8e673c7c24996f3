package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variablePrefix is how the variables begin that stand for flags.
const variablePrefix = "KILLPOINT_"

// onCommandLineOnly are flags that have no variable: one that is set for
// another reason long ago must not delete containers of other people's runs,
// and help must not be what every command does.
var onCommandLineOnly = map[string]bool{"help": true, "all": true}

// opposite are flags that exclude each other: when one is on the command
// line, the variable of the other does not count.
var opposite = map[string]string{"quiet": "verbose", "verbose": "quiet"}

// variableOf is the variable that stands for a flag.
func variableOf(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environmentToFlags gives each flag that is not on the command line the value
// of its variable, so that flags win over variables and variables over
// defaults. An empty variable counts as not set.
func environmentToFlags(command *cobra.Command, lookup func(string) string) error {
	var wrong error
	given := map[string]bool{}
	command.Flags().Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if given[flag.Name] || given[opposite[flag.Name]] || onCommandLineOnly[flag.Name] || wrong != nil {
			return
		}
		name := variableOf(flag.Name)
		if value := lookup(name); value != "" {
			if err := command.Flags().Set(flag.Name, value); err != nil {
				wrong = fmt.Errorf("read variable %s=%s: %w", name, value, err)
			}
		}
	})
	return wrong
}
