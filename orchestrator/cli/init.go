package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/draft"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// initOptions are the flags of the init command.
type initOptions struct{ output, service string }

func (w *world) initCommand() *cobra.Command {
	o := &initOptions{}
	command := &cobra.Command{
		Use:   "init [COMPOSE.yaml]",
		Short: "Write a first scenario for a compose file",
		Long: `Write a first scenario for a compose file: it kills the service that looks most
like a worker at a telling moment, and starts it again. The broker, the queues
and the end of the work are taken from the file where it shows them; what is
guessed is said. An existing file is never overwritten.

Without an argument the compose file of this folder is taken.`,
		Example: `killpoint init deploy/compose.yaml
killpoint init  # the compose file of this folder
killpoint init deploy/compose.yaml --service worker
killpoint init compose.yaml --output scenarios/worker-crash.yaml
killpoint init --output -`,
		GroupID:           "scenarios",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeScenarios,
		RunE: func(command *cobra.Command, arguments []string) error {
			return w.initScenario(command.Context(), o, arguments)
		},
	}
	command.Flags().SortFlags = false
	command.Flags().StringVar(&o.output, "output", filepath.Join(defaultFolder, "first.yaml"), "write the scenario to this `file`; - is stdout")
	command.Flags().StringVar(&o.service, "service", "", "kill this `service`, instead of the one that is guessed")
	return command
}

// composeFiles are the names that Compose looks for, in its order.
var composeFiles = []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}

// composeFile is the one that was named, or the one of this folder.
func composeFile(arguments []string) (string, error) {
	if len(arguments) == 1 {
		info, err := os.Stat(arguments[0])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("read compose file %s: there is no such file", arguments[0])
		case err != nil:
			return "", fmt.Errorf("read compose file: %w", err)
		case info.IsDir():
			return composeFileIn(arguments[0])
		}
		return arguments[0], nil
	}
	return composeFileIn(".")
}

func composeFileIn(folder string) (string, error) {
	for _, name := range composeFiles {
		file := filepath.Join(folder, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file, nil
		}
	}
	return "", fmt.Errorf("find compose file: folder %s has no compose.yaml or docker-compose.yml: name the file", folder)
}

func (w *world) initScenario(ctx context.Context, o *initOptions, arguments []string) error {
	file, err := composeFile(arguments)
	if err != nil {
		return err
	}
	target := o.output
	if target == "-" {
		target = filepath.Join(defaultFolder, "first.yaml") // where its paths begin
	} else if _, err := os.Lstat(target); err == nil {
		return fmt.Errorf("write scenario: %s is there already: name another with --output", target)
	}
	wish := draft.Wish{Service: o.service, Schema: schemaFor(target)}
	if wish.System, err = relative(target, file); err != nil {
		return fmt.Errorf("name %s in the scenario: %w", file, err)
	}
	made, problems, err := w.draft(ctx, target, wish)
	if len(problems) > 0 {
		return badScenario(problems)
	}
	if err != nil {
		return err
	}
	if o.output == "-" {
		if _, err := w.stdout.Write(made.Text); err != nil {
			return broken(fmt.Errorf("write scenario: %w", err))
		}
		w.tellDraft(made)
		return nil
	}
	if err := createWhole(target, made.Text); err != nil {
		return broken(fmt.Errorf("write scenario: %w", err))
	}
	fmt.Fprintf(w.stdout, "wrote %s\n", target)
	w.tellDraft(made)
	fmt.Fprintf(w.stderr, "next: killpoint run %s\n", target)
	return nil
}

// draft makes the scenario and sees that it is valid: what is written is
// ready to run.
func (w *world) draft(ctx context.Context, target string, wish draft.Wish) (draft.Draft, scenario.Problems, error) {
	bare, problems := scenario.ParseBytes(target, []byte("system: "+draft.Scalar(wish.System)+"\n"))
	if len(problems) > 0 {
		return draft.Draft{}, problems, nil
	}
	sys, problems := w.load(ctx, bare, w.environ)
	if len(problems) > 0 {
		return draft.Draft{}, problems, nil
	}
	made, err := draft.Write(sys, wish)
	if err != nil {
		return draft.Draft{}, nil, err
	}
	for _, warning := range sys.Warnings {
		fmt.Fprintf(w.stderr, "%s: warning: %s\n", sys.File, warning)
	}
	written, problems := scenario.ParseBytes(target, made.Text)
	if len(problems) == 0 {
		_, problems = w.load(ctx, written, w.environ)
	}
	if len(problems) > 0 {
		return draft.Draft{}, nil, broken(fmt.Errorf("killpoint itself failed, please report it: the scenario that it wrote is not valid: %w\n%s", problems, made.Text))
	}
	return made, nil, nil
}

// tellDraft says what was found and guessed.
func (w *world) tellDraft(made draft.Draft) {
	table := tabwriter.NewWriter(w.stderr, 0, 8, 2, ' ', 0)
	for _, note := range made.Notes {
		fmt.Fprintf(table, "  %s\t%s\n", note.Subject, note.Text)
	}
	table.Flush() // a screen that went away has nobody to tell
}

// relative is a file as the scenario at target names it.
func relative(target, file string) (string, error) {
	folder, err := filepath.Abs(filepath.Dir(target))
	if err != nil {
		return "", err
	}
	whole, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	return filepath.Rel(folder, whole)
}

// schemaNames are where a JSON Schema of scenarios is looked for, in the
// scenario's folder and those above it.
var schemaNames = []string{"scenario.schema.json", filepath.Join("docs", "scenario.schema.json")}

// schemaFor gives the nearest schema, as the scenario names it; empty when
// there is none.
func schemaFor(target string) string {
	folder, err := filepath.Abs(filepath.Dir(target))
	if err != nil {
		return ""
	}
	for above := folder; ; above = filepath.Dir(above) {
		for _, name := range schemaNames {
			if _, err := os.Stat(filepath.Join(above, name)); err == nil {
				if found, err := filepath.Rel(folder, filepath.Join(above, name)); err == nil {
					return filepath.ToSlash(found)
				}
			}
		}
		if above == filepath.Dir(above) {
			return ""
		}
	}
}

// createWhole writes a file that must not be there yet.
func createWhole(path string, text []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(text)
	return err
}
