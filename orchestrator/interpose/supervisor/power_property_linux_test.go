package supervisor_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// simulated is a directory that is played from its history, another way to find out what a power cut leaves than to undo and do again.
type simulated struct {
	names    map[string]int // file by name
	contents map[int][]byte
}

// simulatedStep is one step of a history, about a file whatever its name is.
type simulatedStep struct {
	text    []string
	file    int
	id      int64 // of the change, from 1; 0 for a sync
	durable bool
}

// history draws steps that can all be made, and says which of their changes are durable in the end.
func history(random *rand.Rand, length int) []*simulatedStep {
	names := make(map[string]int)
	sizes := make(map[int]int)
	var steps []*simulatedStep
	var changes int64
	files := 0
	for len(steps) < length {
		step := draw(random, names, sizes, &files)
		if step == nil {
			continue
		}
		if step.text[0] == "sync" {
			for _, before := range steps {
				named := before.text[0] == "make" || before.text[0] == "rename" || before.text[0] == "unlink"
				if len(step.text) == 1 && named || len(step.text) == 2 && !named && before.file == step.file {
					before.durable = true
				}
			}
		} else {
			changes++
			step.id = changes
		}
		steps = append(steps, step)
	}
	return steps
}

// draw draws one step and follows it, or returns nil where it cannot be made.
func draw(random *rand.Rand, names map[string]int, sizes map[int]int, files *int) *simulatedStep {
	name := string(rune('a' + random.IntN(4)))
	file, exists := names[name]
	switch action := random.IntN(10); {
	case action < 2 && !exists:
		*files++
		names[name] = *files
		return &simulatedStep{text: []string{"make", name}, file: *files}
	case !exists:
		return nil
	case action < 5:
		offset, text := random.IntN(sizes[file]+1), strings.Repeat(string(rune('A'+random.IntN(26))), 1+random.IntN(6))
		sizes[file] = max(sizes[file], offset+len(text))
		return &simulatedStep{text: []string{"write", name, strconv.Itoa(offset), text}, file: file}
	case action == 5:
		length := random.IntN(10)
		if length == sizes[file] {
			return nil // it changes nothing
		}
		sizes[file] = length
		return &simulatedStep{text: []string{"cut", name, strconv.Itoa(length)}, file: file}
	case action == 6:
		other := string(rune('a' + random.IntN(4)))
		if other == name {
			return nil
		}
		names[other] = file
		delete(names, name)
		return &simulatedStep{text: []string{"rename", name, other}, file: file}
	case action == 7:
		delete(names, name)
		return &simulatedStep{text: []string{"unlink", name}, file: file}
	case action == 8:
		return &simulatedStep{text: []string{"sync", name}, file: file}
	}
	return &simulatedStep{text: []string{"sync"}}
}

// play plays the changes that are durable or survive and returns what the directory then holds.
func play(steps []*simulatedStep, survive func(id int64) bool) map[string]string {
	s := simulated{names: make(map[string]int), contents: make(map[int][]byte)}
	for _, step := range steps {
		if step.id != 0 && (step.durable || survive(step.id)) {
			s.step(step)
		}
	}
	result := make(map[string]string)
	for name, file := range s.names {
		result[name] = string(s.contents[file])
	}
	return result
}

func (s *simulated) step(step *simulatedStep) {
	at := ""
	for name, file := range s.names {
		if file == step.file {
			at = name
		}
	}
	switch step.text[0] {
	case "make":
		s.names[step.text[1]] = step.file
	case "rename":
		if at != "" {
			delete(s.names, at)
			s.names[step.text[2]] = step.file
		}
	case "unlink":
		delete(s.names, at)
	case "write":
		offset := mustNumber(step.text[2])
		data := s.contents[step.file]
		for len(data) < offset+len(step.text[3]) {
			data = append(data, 0)
		}
		copy(data[offset:], step.text[3])
		s.contents[step.file] = data
	case "cut":
		length := mustNumber(step.text[2])
		data := append(s.contents[step.file], make([]byte, 10)...)
		s.contents[step.file] = append([]byte(nil), data[:length]...)
	}
}

func mustNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// TestPowerLossLeavesWhatTheSurvivingChangesMake compares files after a power cut with a simulation, for random histories and random survivors. A data change of a file that lost its name on the way is gone in both.
func TestPowerLossLeavesWhatTheSurvivingChangesMake(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			steps := history(random, 8+random.IntN(25))
			var survivors []int64
			survive := make(map[int64]bool)
			var script []string
			for _, step := range steps {
				script = append(script, strings.Join(step.text, ","))
				if step.id != 0 && random.IntN(2) == 0 {
					survivors, survive[step.id] = append(survivors, step.id), true
				}
			}
			directory := t.TempDir()
			plan := withPowerLoss(directory, hold(interpose.Create, directory+"/end", 1, interpose.Before), interpose.Lose{Survive: "only", IDs: survivors})
			p := start(t, plan, append(append([]string{target, "script", directory}, script...), "make,end")...)
			event := p.await(interpose.Reached)
			p.kill()
			want := play(steps, func(id int64) bool { return survive[id] })
			got := make(map[string]string)
			entries, err := os.ReadDir(directory)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				got[entry.Name()] = contents(t, directory+"/"+entry.Name())
			}
			if difference := cmp.Diff(want, got); difference != "" || event.Inexact != "" {
				t.Errorf("%s\n%s\nsteps %q\nsurvivors %v\nnot synced %+v\nlost %v", event.Inexact, difference, script, survivors, event.Unsynced, event.Lost)
			}
		})
	}
}
