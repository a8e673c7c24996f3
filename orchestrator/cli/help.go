package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageTemplate is cobra's own in a shorter form: examples first, since they
// are what people copy, and flags without the values that a switch can take.
const usageTemplate = `{{if .HasExample}}Examples:
{{indented .Example}}

{{end}}Usage:
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else}}
  {{.UseLine}}{{end}}
{{- $commands := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $commands}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if not .Groups}}{{if .HasAvailableSubCommands}}

Commands:{{range $commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{flagList .LocalFlags}}{{end}}
{{- if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help says more about a command.{{end}}
`

// setHelp gives a command and all below it this form of help.
func setHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("indented", func(text string) string {
		return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
	})
	cobra.AddTemplateFunc("flagList", flagList)
	root.SetUsageTemplate(usageTemplate)
}

// flagList is a line for each flag, in the order in which they were defined.
func flagList(flags *pflag.FlagSet) string {
	var list strings.Builder
	table := tabwriter.NewWriter(&list, 0, 8, 3, ' ', 0)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		short := "    "
		if flag.Shorthand != "" {
			short = "-" + flag.Shorthand + ", "
		}
		value, text := pflag.UnquoteUsage(flag)
		if value != "" {
			value = " " + value
		}
		fallback := ""
		if flag.DefValue != "" && flag.DefValue != "0" && flag.DefValue != "0s" && flag.DefValue != "false" && flag.DefValue != "[]" {
			fallback = fmt.Sprintf(" (default %s)", flag.DefValue)
		}
		fmt.Fprintf(table, "  %s--%s%s\t%s%s\n", short, flag.Name, value, text, fallback)
	})
	table.Flush() // writes into memory: cannot fail
	return strings.TrimRight(list.String(), "\n")
}
