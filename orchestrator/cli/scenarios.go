package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// defaultFolder is where list and validate look when they are not told.
const defaultFolder = "scenarios"

// loaded is a scenario that was bound to its system.
type loaded struct {
	scenario *scenario.Scenario
	system   *system.System
}

// findScenarios makes arguments into scenario files, each once, in the order
// of the arguments: a file stands for itself, a folder for the YAML files in
// it, and a pattern for what it matches (** reaches into folders), for shells
// that leave patterns as they are.
func findScenarios(arguments []string) ([]string, error) {
	var files []string
	var wrong []error
	for _, argument := range arguments {
		found, err := findScenario(argument)
		if err != nil {
			wrong = append(wrong, err)
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, errors.Join(wrong...)
}

func findScenario(argument string) ([]string, error) {
	info, err := os.Stat(argument)
	switch {
	case err == nil && info.IsDir():
		return scenariosIn(argument)
	case err == nil:
		return []string{filepath.Clean(argument)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read scenario: %w", err)
	case !strings.ContainsAny(argument, "*?[{"):
		return nil, fmt.Errorf("read scenario %s: there is no such file or folder", argument)
	}
	found, err := doublestar.FilepathGlob(argument, doublestar.WithFilesOnly())
	if err != nil {
		return nil, fmt.Errorf("read pattern %s: %w", argument, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read scenarios %s: no file matches", argument)
	}
	slices.Sort(found)
	return found, nil
}

// scenariosIn gives the YAML files of a folder, without the compose files
// that may lie beside them.
func scenariosIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	var files []string
	for _, entry := range entries {
		name := entry.Name()
		extension := filepath.Ext(name)
		compose := strings.HasPrefix(name, "compose.") || strings.HasPrefix(name, "docker-compose.")
		if !entry.IsDir() && !compose && (extension == ".yaml" || extension == ".yml") {
			files = append(files, filepath.Join(folder, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read scenarios: folder %s holds no .yaml file", folder)
	}
	return files, nil
}

// orDefaultFolder is what list and validate work on without arguments.
func orDefaultFolder(arguments []string) []string {
	if len(arguments) == 0 {
		return []string{defaultFolder}
	}
	return arguments
}

// loadScenarios parses every file and binds it to its system. All problems of
// all files come back together; change is applied between the two, for flags
// that stand above what a file says.
func (w *world) loadScenarios(ctx context.Context, files []string, change func(*scenario.Scenario)) ([]loaded, scenario.Problems) {
	var all []loaded
	var problems scenario.Problems
	for _, file := range files {
		sc, wrong := scenario.Parse(file)
		problems = append(problems, wrong...)
		if sc == nil || isProblemOf("system", sc, wrong) {
			continue // nothing that it could be bound to
		}
		change(sc)
		sys, more := w.load(ctx, sc, w.environ)
		problems = append(problems, more...)
		if len(wrong)+len(more) == 0 {
			all = append(all, loaded{sc, sys})
		}
	}
	return all, problems
}

// isProblemOf says whether one of the problems is about a key of the scenario.
func isProblemOf(key string, sc *scenario.Scenario, problems scenario.Problems) bool {
	place, written := sc.Positions[key]
	if !written {
		return len(problems) > 0
	}
	return slices.ContainsFunc(problems, func(problem scenario.Problem) bool { return problem.Position == place })
}

// completeScenarios lets the shell offer YAML files and folders.
func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
