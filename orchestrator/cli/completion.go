package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shells are those whose completion can be written. The scripts know no
// command by themselves: they ask killpoint, and so never grow old.
var shells = map[string]func(*cobra.Command, io.Writer) error{
	"bash":       func(root *cobra.Command, to io.Writer) error { return root.GenBashCompletionV2(to, true) },
	"zsh":        func(root *cobra.Command, to io.Writer) error { return root.GenZshCompletion(to) },
	"fish":       func(root *cobra.Command, to io.Writer) error { return root.GenFishCompletion(to, true) },
	"powershell": func(root *cobra.Command, to io.Writer) error { return root.GenPowerShellCompletionWithDesc(to) },
}

func (w *world) completionCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use:   "completion " + strings.Join(names, " | "),
		Short: "Print what makes a shell complete killpoint's commands and flags",
		Long: `Print a script that makes a shell complete commands, flags and scenario files.
Bash needs the package bash-completion; zsh must have run compinit.`,
		Example: `killpoint completion bash > ~/.local/share/bash-completion/completions/killpoint
killpoint completion zsh > "${fpath[1]}/_killpoint"
killpoint completion fish > ~/.config/fish/completions/killpoint.fish
source <(killpoint completion bash)  # in this shell only`,
		GroupID:   "tool",
		ValidArgs: names,
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) != 1 || shells[arguments[0]] == nil {
				return fmt.Errorf("say which shell: %s", strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(command *cobra.Command, arguments []string) error {
			if err := shells[arguments[0]](command.Root(), w.stdout); err != nil {
				return broken(fmt.Errorf("write completion: %w", err))
			}
			return nil
		},
	}
}

// plainDescriptions takes the marks out of the descriptions of flags that
// help reads the name of the value from: shells show descriptions as they are.
func plainDescriptions(command *cobra.Command) {
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		_, flag.Usage = pflag.UnquoteUsage(flag)
	})
	for _, below := range command.Commands() {
		plainDescriptions(below)
	}
}
