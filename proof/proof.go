// Package proof shows that Killpoint finds things: workers that are broken on
// purpose, one file each in variants, and the scenario that must catch each.
//
// A variant is a small change to the real source, applied by the compiler's
// overlay while a worker is built: no seam for it is in the code that ships,
// and the change is to the code as it is today. Where the code has moved on,
// so that the change does not fit it any more, building the variant fails.
package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Variant is one way to break a worker.
type Variant struct {
	// Name is the file's name without its extension.
	Name string `yaml:"-"`
	// Mistake says in one sentence what is wrong with it.
	Mistake string `yaml:"mistake"`
	// Service is the one that runs the broken worker.
	Service string   `yaml:"service"`
	Changes []Change `yaml:"changes"`
	// Scenario must catch it, with these variables for the compose file and
	// these further arguments of killpoint run.
	Scenario  string            `yaml:"scenario"`
	Env       map[string]string `yaml:"env"`
	Arguments []string          `yaml:"arguments"`
	// Finds are the kinds of finding that the scenario must make of it, and
	// Says is text that must stand in its findings.
	Finds []string `yaml:"finds"`
	Says  string   `yaml:"says"`
}

// Change replaces text that stands exactly once in a source file.
type Change struct {
	File string `yaml:"file"` // relative to the project's root
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
}

// Load reads every variant of a folder, in order of their names.
func Load(folder string) ([]Variant, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list variants: %w", err)
	}
	slices.Sort(files)
	variants := make([]Variant, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read variant: %w", err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		decoder.KnownFields(true)
		var variant Variant
		if err := decoder.Decode(&variant); err != nil {
			return nil, fmt.Errorf("read variant %s: %w", file, err)
		}
		variant.Name = strings.TrimSuffix(filepath.Base(file), ".yaml")
		if err := variant.check(); err != nil {
			return nil, fmt.Errorf("read variant %s: %w", file, err)
		}
		variants = append(variants, variant)
	}
	return variants, nil
}

func (v Variant) check() error {
	if v.Mistake == "" || v.Service == "" || v.Scenario == "" || len(v.Changes) == 0 || len(v.Finds) == 0 {
		return errors.New("mistake, service, scenario, changes and finds must be given")
	}
	for _, change := range v.Changes {
		if strings.Contains(change.New, "time.Sleep") {
			return errors.New("a variant must be wrong in itself, not by a sleep that widens a window")
		}
	}
	return nil
}

// overlay is the form that the compiler's -overlay flag takes: the file to
// read in place of each one.
type overlay struct {
	Replace map[string]string
}

// Build compiles the worker with the variant's changes into the file binary.
// Root is the project's root; scratch is a folder for the changed sources.
func (v Variant) Build(ctx context.Context, root, scratch, binary string) error {
	replaced := overlay{Replace: map[string]string{}}
	for index, change := range v.Changes {
		original := filepath.Join(root, change.File)
		source := original
		if changed := replaced.Replace[original]; changed != "" {
			source = changed // a second change to one file
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return fmt.Errorf("change %s: %w", change.File, err)
		}
		if n := strings.Count(string(text), change.Old); n != 1 {
			return fmt.Errorf("change %s: the text to replace stands there %d times, want once: the variant must follow the code:\n%s", change.File, n, change.Old)
		}
		changed := filepath.Join(scratch, fmt.Sprintf("%d-%s", index, filepath.Base(change.File)))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), change.Old, change.New, 1)), 0o644); err != nil {
			return fmt.Errorf("change %s: %w", change.File, err)
		}
		replaced.Replace[original] = changed
	}
	listing, err := json.Marshal(replaced)
	if err != nil {
		return fmt.Errorf("write overlay: %w", err)
	}
	overlayFile := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(overlayFile, listing, 0o644); err != nil {
		return fmt.Errorf("write overlay: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", overlayFile, "-o", binary, "./workers")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build variant %s: %w\n%s", v.Name, err, output)
	}
	return nil
}
