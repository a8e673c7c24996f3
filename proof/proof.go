// Package proof shows that Killpoint finds things: workers that are broken on
// purpose, one file each in variants, and where each must be caught: by a
// scenario, or, for the subtle ones, which no shipped scenario catches, at an
// exact crash point.
//
// A variant is a small change to the real source, applied by the compiler's
// overlay while a worker is built: no seam for it is in the code that ships,
// and the change is to the code as it is today. Where the code has moved on,
// so that the change does not fit it any more, building the variant fails.
package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Models are the ways to fail under which a variant is explored.
const (
	ProcessCrash = "process-crash"
	PowerLoss    = "power-loss"
)

// Variant is one way to break a worker.
type Variant struct {
	// Name is the file's name without its extension.
	Name string `yaml:"-"`
	// Mistake says in one sentence what is wrong with it.
	Mistake string `yaml:"mistake"`
	// Source names a public project that made the mistake, and where one can
	// read about it.
	Source string `yaml:"source"`
	// Service is the one that runs the broken worker.
	Service string   `yaml:"service"`
	Changes []Change `yaml:"changes"`

	// Scenario is the shipped one that catches it; subtle variants have none.
	Scenario string `yaml:"scenario"`
	// Subtle: it passes every shipped scenario, and fails at Point.
	Subtle bool `yaml:"subtle"`
	// Point is a crash point, or several in a row, at which a subtle variant
	// fails when explore.yaml is run with Env.
	Point string `yaml:"point"`
	// Timeout stands in place of the scenario's, for what would hang.
	Timeout time.Duration `yaml:"timeout"`
	// Finds are the kinds of finding that the scenario or the point must make
	// of it, and Says is text that must stand in the findings.
	Finds []string `yaml:"finds"`
	Says  string   `yaml:"says"`

	// Model is the one under which an exploration finds it, and Env are the
	// variables, above those of explore.yaml, that make its runs long enough
	// to come to the mistake and no longer.
	Model string            `yaml:"model"`
	Env   map[string]string `yaml:"env"`
	// Depth is 2 where only a second crash, in the recovery from a first,
	// shows it.
	Depth int `yaml:"depth"`
	// Unexplored says why no exploration finds it; it has no model then.
	Unexplored string `yaml:"unexplored"`
}

// Change replaces text that stands exactly once in a source file.
type Change struct {
	File string `yaml:"file"` // relative to the project's root
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
}

// Correct is the worker as it ships, which has to stand beside the variants:
// whatever finds them must find nothing in it. Env makes its journal so small
// that checkpoints are among what is explored.
func Correct() Variant {
	return Variant{
		Name: "correct", Mistake: "None: it is the worker as it ships.", Service: "worker-2",
		Model: PowerLoss, Env: map[string]string{"NUM_CHUNKS": "8", "JOURNAL_BYTES": "1024"}, Depth: 2,
	}
}

// Crashes are the crash points at which a subtle variant fails.
func (v Variant) Crashes() (scenario.Sequence, error) {
	if v.Point == "" {
		return nil, nil
	}
	return scenario.ParseSequence(v.Point)
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
		variant, err := read(text)
		if err != nil {
			return nil, fmt.Errorf("read variant %s: %w", file, err)
		}
		variant.Name = strings.TrimSuffix(filepath.Base(file), ".yaml")
		variants = append(variants, variant)
	}
	return variants, nil
}

func read(text []byte) (Variant, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var variant Variant
	if err := decoder.Decode(&variant); err != nil {
		return Variant{}, err
	}
	return variant, variant.check()
}

// check says everything that is wrong with a variant.
func (v Variant) check() error {
	var wrong []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	refuse(v.Mistake == "" || v.Service == "" || len(v.Changes) == 0 || len(v.Finds) == 0, "mistake, service, changes and finds must be given")
	refuse(v.Subtle != (v.Scenario == ""), "scenario is what catches a variant that is not subtle, and only that")
	refuse(v.Subtle != (v.Point != ""), "point is where a subtle variant fails, and only that")
	refuse((v.Model == "") != (v.Unexplored != ""), "either model or unexplored must be given: under which model an exploration finds it, or why none does")
	refuse(v.Model != "" && v.Model != ProcessCrash && v.Model != PowerLoss, "model %q: want %s or %s", v.Model, ProcessCrash, PowerLoss)
	refuse(v.Unexplored != "" && (v.Subtle || len(v.Env) > 0), "unexplored: it can neither be subtle nor have env, which is for explorations")
	for _, change := range v.Changes {
		refuse(change.Old == change.New, "change %s: changes nothing", change.File)
		refuse(strings.Contains(change.New, "time.Sleep"), "change %s: a variant must be wrong in itself, not by a sleep that widens a window", change.File)
	}
	refuse(v.Depth != 0 && (v.Depth != 2 || v.Model == ""), "depth %d: only 2 can be given, for explorations", v.Depth)
	crashes, err := v.Crashes()
	if err != nil {
		wrong = append(wrong, err)
	}
	for _, point := range crashes {
		refuse(point.Service != v.Service, "point %s: want one of %s", point, v.Service)
		refuse((point.Lose != "") != (v.Model == PowerLoss), "point %s: is not one of the model %s", point, v.Model)
	}
	return errors.Join(wrong...)
}
