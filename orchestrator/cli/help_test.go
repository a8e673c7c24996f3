package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands gives every command that people see, and the root.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var add func(*cobra.Command)
	add = func(command *cobra.Command) {
		all = append(all, command)
		for _, below := range command.Commands() {
			if !below.Hidden && below.Name() != "help" {
				add(below)
			}
		}
	}
	add(newUser(t).world.root())
	return all
}

// commandNames is each command as it is typed, without "killpoint".
func commandNames(t *testing.T) []string {
	var names []string
	for _, command := range commands(t) {
		names = append(names, strings.TrimSpace(strings.TrimPrefix(command.CommandPath(), "killpoint")))
	}
	return names
}

// Every command has help in its own words, and examples that can be copied:
// their commands and flags are there.
func TestHelpHasExamplesThatCanBeCopied(t *testing.T) {
	for _, command := range commands(t) {
		if command.Short == "" || command.Long == "" && command.HasAvailableFlags() {
			t.Errorf("%s has no help of its own", command.CommandPath())
		}
		if command.Example == "" {
			t.Errorf("%s has no example", command.CommandPath())
		}
		for line := range strings.Lines(command.Example) {
			checkExample(t, command, strings.TrimSpace(line))
		}
	}
}

// checkExample parses one line of examples as a shell would, far enough: up
// to a redirection or a remark, without the quotes.
func checkExample(t *testing.T, of *cobra.Command, line string) {
	t.Helper()
	_, typed, found := strings.Cut(line, "killpoint")
	if !found {
		t.Errorf("%s: example %q does not call killpoint", of.CommandPath(), line)
		return
	}
	var words []string
	for _, word := range strings.Fields(typed) {
		if strings.HasPrefix(word, ">") || strings.HasPrefix(word, "#") || word == "|" {
			break
		}
		words = append(words, strings.Trim(word, `'")`))
	}
	root := newUser(t).world.root()
	named, rest, err := root.Find(words)
	if err != nil {
		t.Errorf("%s: example %q: %v", of.CommandPath(), line, err)
		return
	}
	if of.HasParent() && named.CommandPath() != of.CommandPath() {
		t.Errorf("%s: example %q is of %s", of.CommandPath(), line, named.CommandPath())
	}
	if err := named.ParseFlags(rest); err != nil {
		t.Errorf("%s: example %q: %v", of.CommandPath(), line, err)
		return
	}
	if err := named.ValidateArgs(named.Flags().Args()); err != nil {
		t.Errorf("%s: example %q: %v", of.CommandPath(), line, err)
	}
}
