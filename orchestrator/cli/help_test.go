package cli

import (
	"os"
	"path/filepath"
	"regexp"
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

var shellBlock = regexp.MustCompile("(?s)\n```(?:sh|console)\n(.*?)\n```")

// The commands that the README and docs show can be typed: they are there,
// with these flags.
func TestCommandsOnPages(t *testing.T) {
	root := filepath.Join(packageFolder, "..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	top := newUser(t).world.root()
	shown := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "bin/")
				if strings.HasPrefix(line, "killpoint ") {
					shown++
					checkExample(t, top, line)
				}
			}
		}
	}
	if shown < 8 {
		t.Errorf("only %d commands were found", shown)
	}
}
