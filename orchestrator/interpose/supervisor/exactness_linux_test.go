package supervisor_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

var (
	exactKills      = flag.Int("exact-kills", 24, "kills of each program of the exactness tests")
	exactContainers = flag.Int("exact-containers", 2, "how many of them kill its container; the others kill it in place")
	exactSeed       = flag.Uint64("exact-seed", 1, "seed of the crash points of the exactness tests")
)

// The writers of the exactness tests: so many threads, so many records each.
const (
	writers = 4
	records = 150
)

// subject is a program that is killed in the exactness tests: the test's own target, or one of those that a distribution's packages give, in an image made from them.
type subject struct {
	name string
	// command is run with the file to write, and for all but dd with the numbers of writers and records.
	command []string
	judge   func(data []byte, point interpose.Point) error
	// foreign programs are in an image of their own; the target also runs without a container.
	foreign bool
	// alone programs have no other thread to stop.
	alone bool
}

var subjects = []subject{
	{name: "Go, threads, O_APPEND", command: []string{"target", "append"}, judge: checkAppended},
	{name: "Go, threads, pwrite", command: []string{"target", "pwrite"}, judge: checkPlaced},
	{name: "Go, processes, O_APPEND", command: []string{"target", "processes"}, judge: checkAppended},
	{name: "C, threads, O_APPEND", command: []string{"/records", "append"}, judge: checkAppended, foreign: true},
	{name: "C, threads, pwrite", command: []string{"/records", "pwrite"}, judge: checkPlaced, foreign: true},
	{name: "C with musl, threads, O_APPEND", command: []string{"/records-musl", "append"}, judge: checkAppended, foreign: true},
	{name: "C, dd", command: []string{"dd", "if=/records.c", "bs=32", "count=50", "status=none"}, judge: checkCopied, foreign: true, alone: true},
	{name: "Python, threads, O_APPEND", command: []string{"python3", "/records.py", "append"}, judge: checkAppended, foreign: true},
	{name: "Python, threads, pwrite", command: []string{"python3", "/records.py", "pwrite"}, judge: checkPlaced, foreign: true},
	{name: "shell, processes, O_APPEND", command: []string{"sh", "/records.sh", "append"}, judge: checkAppended, foreign: true},
	{name: "busybox's shell, processes, O_APPEND", command: []string{"busybox", "sh", "/records.sh", "append"}, judge: checkAppended, foreign: true},
}

// blocks and blockSize are what dd copies.
const (
	blocks    = 50
	blockSize = 32
)

// on is the subject's command for one file.
func (s subject) on(file string) []string {
	command := append([]string(nil), s.command...)
	if s.alone {
		return append(command, "of="+file)
	}
	return append(command, file, strconv.Itoa(writers), strconv.Itoa(records))
}

// draw draws a point; one in eight is not torn.
func (s subject) draw(random *rand.Rand, path string) interpose.Point {
	last := writers*records - writers
	if s.alone {
		last = blocks
	}
	occurrence := 1 + random.IntN(last)
	switch random.IntN(8) {
	case 0:
		return hold(interpose.Write, path, occurrence, []interpose.Timing{interpose.Before, interpose.After}[random.IntN(2)])
	case 1:
		return tear(path, occurrence, mustKeep([]string{"half", "all-but-1"}[random.IntN(2)]))
	}
	return tear(path, occurrence, interpose.KeepBytes(1+int64(random.IntN(19))))
}

func mustKeep(text string) interpose.Keep {
	keep, err := interpose.ParseKeep(text)
	if err != nil {
		panic(err)
	}
	return keep
}

// TestExactness kills each program at points drawn by the seed, most times in place and sometimes with its container, and judges by the file alone.
func TestExactness(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if s.foreign {
				needDocker(t)
			}
			containers := *exactContainers
			if testing.Short() {
				containers = 0
			}
			wrong := s.killInPlace(t, *exactKills-containers, true)
			if containers > 0 {
				wrong = append(wrong, s.killContainers(t, containers)...)
			}
			if len(wrong) > 0 {
				t.Errorf("%d of %d kills were not exact (-exact-seed %d):\n%s", len(wrong), *exactKills, *exactSeed, strings.Join(wrong, "\n"))
			}
			t.Logf("%s: %d of %d kills ended at exactly the planned byte, %d of them with the container", s.name, *exactKills-len(wrong), *exactKills, containers)
		})
	}
}

// TestExactnessNeedsQuiescing shows that the test above can fail: where the other threads are not stopped, kills are off.
func TestExactnessNeedsQuiescing(t *testing.T) {
	kills := max(*exactKills/10, 10)
	for _, s := range subjects {
		if s.alone {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			if s.foreign {
				needDocker(t)
			}
			wrong := s.killInPlace(t, kills, false)
			if len(wrong) == 0 {
				t.Errorf("%d of %d kills were exact although no thread was stopped: TestExactness proves nothing", kills, kills)
			}
			t.Logf("%s: %d of %d kills were off without quiescing", s.name, len(wrong), kills)
		})
	}
}

// stage is where a subject runs under the interposer: a process, or a container.
type stage interface {
	await(kind interpose.Kind) interpose.Event
	control() *interpose.Client
}

// killInPlace kills a subject so many times, its interposer staying, and returns what was not exact.
func (s subject) killInPlace(t *testing.T, kills int, quiesce bool) []string {
	t.Helper()
	directory := t.TempDir()
	file := filepath.Join(directory, "file") // as the test names it
	path := file                             // as the program does
	if s.foreign {
		path = "/data/file"
	}
	random := rand.New(rand.NewPCG(*exactSeed, 0))
	plan := newPlan(s.draw(random, path))
	plan.Stay, plan.NoQuiesce = true, !quiesce
	var on stage
	if s.foreign {
		c := createContainerOf(t, programs(t), plan, []string{"--volume", directory + ":/data"}, s.on(path)...)
		c.start(plan)
		on = c
	} else {
		on = start(t, plan, append([]string{target}, s.on(path)[1:]...)...)
	}
	var wrong []string
	for kill := 1; ; kill++ {
		on.await(interpose.Reached)
		err := on.control().Kill(withTimeout(t))
		switch {
		case err == nil:
		case quiesce || !errors.Is(err, interpose.ErrNoProgram):
			t.Fatal(err)
		default: // a program that is not stopped may be at its end before the kill
			on.await(interpose.Exited)
		}
		wrong = append(wrong, s.misses(t, kill, file, plan.Points[0])...)
		if kill == kills {
			return wrong
		}
		plan.Incarnation++
		plan.Points = []interpose.Point{s.draw(random, path)}
		if err := on.control().Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
	}
}

// killContainers kills a subject's container so many times, with the death that users see: docker kill.
func (s subject) killContainers(t *testing.T, kills int) []string {
	t.Helper()
	directory := t.TempDir()
	random := rand.New(rand.NewPCG(*exactSeed, 1))
	plan := newPlan(s.draw(random, "/data/file"))
	flags := []string{"--volume", directory + ":/data"}
	var c *container
	if s.foreign {
		c = createContainerOf(t, programs(t), plan, flags, s.on("/data/file")...)
	} else {
		c = createContainer(t, plan, flags, append([]string{"/target"}, s.on("/data/file")[1:]...)...)
	}
	c.start(plan)
	var wrong []string
	for kill := 1; ; kill++ {
		c.await(interpose.Reached)
		c.kill()
		wrong = append(wrong, s.misses(t, kill, filepath.Join(directory, "file"), plan.Points[0])...)
		if kill == kills {
			return wrong
		}
		plan.Incarnation++
		plan.Points = []interpose.Point{s.draw(random, "/data/file")}
		c.restart(plan)
	}
}

// misses judges the file after a kill, and takes it away for the next one.
func (s subject) misses(t *testing.T, kill int, file string, point interpose.Point) []string {
	t.Helper()
	err := s.judge([]byte(contents(t, file)), point)
	if removeErr := os.Remove(file); removeErr != nil {
		t.Fatal(removeErr)
	}
	if err == nil {
		return nil
	}
	text, marshalErr := json.Marshal(point)
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	return []string{fmt.Sprintf("kill %d, %s: %v", kill, text, err)}
}
