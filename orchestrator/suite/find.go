package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Find makes arguments into scenario files, each once, in the order of the
// arguments: a file stands for itself, a folder for the YAML files in it, and
// a pattern for what it matches (** reaches into folders), for shells that
// leave patterns as they are. Everything that is missing is named in the
// error.
func Find(arguments []string) ([]string, error) {
	var files []string
	var wrong []error
	for _, argument := range arguments {
		found, err := find(argument)
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

func find(argument string) ([]string, error) {
	info, err := os.Stat(argument)
	switch {
	case err == nil && info.IsDir():
		return scenariosIn(argument)
	case err == nil:
		return []string{filepath.Clean(argument)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read scenario: %w", err)
	case !strings.ContainsAny(argument, "*?[{"):
		return nil, fmt.Errorf("read scenario %s: there is no such file or folder%s", argument, meant(argument))
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

// meant names the file that was most likely meant: the same name with an
// extension, in the folder scenarios, or one that is spelt like it.
func meant(argument string) string {
	folder, name := filepath.Dir(argument), filepath.Base(argument)
	for _, in := range []string{folder, filepath.Join(folder, "scenarios")} {
		files, err := scenariosIn(in)
		if err != nil {
			continue
		}
		for index := range files {
			files[index] = filepath.Base(files[index])
		}
		near := scenario.Nearest(name, files)
		for _, extension := range []string{".yaml", ".yml"} {
			if slices.Contains(files, name+extension) {
				near = name + extension
			}
		}
		if slices.Contains(files, name) {
			near = name
		}
		if near != "" {
			return fmt.Sprintf(": did you mean %s?", filepath.Join(in, near))
		}
	}
	return ""
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
