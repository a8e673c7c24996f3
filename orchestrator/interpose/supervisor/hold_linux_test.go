package supervisor_test

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// lines are the first n lines that the target's verb sequence writes.
func lines(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString("line " + string(rune('1'+i)) + "\n")
	}
	return text.String()
}

func TestHoldOfAWriteLeavesExactlyThePlannedBytes(t *testing.T) {
	keep := func(text string) interpose.Keep {
		parsed, err := interpose.ParseKeep(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	tests := map[string]struct {
		point func(path string) interpose.Point
		want  string
	}{
		"before":       {func(path string) interpose.Point { return hold(interpose.Write, path, 3, interpose.Before) }, lines(2)},
		"after":        {func(path string) interpose.Point { return hold(interpose.Write, path, 3, interpose.After) }, lines(3)},
		"two bytes":    {func(path string) interpose.Point { return tear(path, 3, interpose.KeepBytes(2)) }, lines(2) + "li"},
		"half":         {func(path string) interpose.Point { return tear(path, 1, keep("half")) }, "lin"},
		"all but one":  {func(path string) interpose.Point { return tear(path, 2, keep("all-but-1")) }, lines(1) + "line 2"},
		"none":         {func(path string) interpose.Point { return tear(path, 2, interpose.KeepBytes(0)) }, lines(1)},
		"more than is": {func(path string) interpose.Point { return tear(path, 2, interpose.KeepBytes(1000)) }, lines(2)},
		"glob": {func(path string) interpose.Point {
			return tear(filepath.Dir(path)+"/*.txt", 2, interpose.KeepBytes(1))
		}, lines(1) + "l"},
		"glob over directories": {func(path string) interpose.Point {
			return tear(filepath.Dir(filepath.Dir(path))+"/**/*.{txt,csv}", 2, interpose.KeepBytes(1))
		}, lines(1) + "l"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.txt")
			p := start(t, newPlan(test.point(path)), target, "sequence", path, "9")
			event := p.await(interpose.Reached)
			if event.Inexact != "" || event.Path != path || !event.Held {
				t.Errorf("unexpected event %+v", event)
			}
			if got := contents(t, path); got != test.want {
				t.Errorf("while held: got %q, want %q", got, test.want)
			}
			p.kill()
			if got := contents(t, path); got != test.want {
				t.Errorf("after the kill: got %q, want %q", got, test.want)
			}
		})
	}
}

func TestHoldOfNames(t *testing.T) {
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	tests := map[string]struct {
		operation interpose.Operation
		path      string
		before    func(directory string) bool // what holds before the call and no longer after it
	}{
		"create":             {interpose.Create, "state.tmp", func(d string) bool { return !exists(d + "/state.tmp") }},
		"rename by old name": {interpose.Rename, "state.tmp", func(d string) bool { return exists(d+"/state.tmp") && !exists(d+"/state") }},
		"rename by new name": {interpose.Rename, "state", func(d string) bool { return exists(d+"/state.tmp") && !exists(d+"/state") }},
	}
	for name, test := range tests {
		for _, timing := range []interpose.Timing{interpose.Before, interpose.After} {
			t.Run(name+" "+string(timing), func(t *testing.T) {
				directory := t.TempDir()
				p := start(t, newPlan(hold(test.operation, directory+"/"+test.path, 1, timing)), target, "save", directory, "3")
				if event := p.await(interpose.Reached); event.Inexact != "" {
					t.Error(event.Inexact)
				}
				p.kill()
				if got := test.before(directory); got != (timing == interpose.Before) {
					t.Errorf("the directory is as before the call: %v", got)
				}
			})
		}
	}
}

// A point for later counts from the start, fires only once it is armed, and never for a call that came before.
func TestPointsForLater(t *testing.T) {
	for _, test := range []struct {
		occurrence int
		want       string // in the file while it is held; empty: not held
	}{{2, ""}, {3, ""}, {4, lines(3)}, {6, lines(5)}} {
		t.Run(strconv.Itoa(test.occurrence), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.txt")
			later := hold(interpose.Write, path, test.occurrence, interpose.Before)
			later.ID, later.Later = "later", true
			p := start(t, newPlan(later, hold(interpose.Write, path, 3, interpose.Before)), target, "sequence", path, "7")
			if event := p.await(interpose.Reached); event.Point != "point" {
				t.Fatalf("%q was reached, which was not armed", event.Point)
			}
			counts, err := p.client.Arm(withTimeout(t), "later")
			if err != nil || counts["later"] != 3 || counts["point"] != 3 {
				t.Errorf("armed at counts %v, %v", counts, err)
			}
			if err := p.client.Release(withTimeout(t)); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if event := p.await(interpose.Exited); event.Counts["later"] != 7 {
					t.Errorf("counted %v", event.Counts)
				}
				return
			}
			if event := p.await(interpose.Reached); event.Point != "later" || event.Occurrence != test.occurrence {
				t.Errorf("unexpected event %+v", event)
			}
			if got := contents(t, path); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReleaseLetsTheProgramGoOn(t *testing.T) {
	for _, timing := range []interpose.Timing{interpose.Before, interpose.During, interpose.After} {
		t.Run(string(timing), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.txt")
			point := hold(interpose.Write, path, 3, timing)
			point.Keep = interpose.KeepBytes(2)
			p := start(t, newPlan(point), target, "sequence", path, "5")
			p.await(interpose.Reached)
			if err := p.client.Release(withTimeout(t)); err != nil {
				t.Fatal(err)
			}
			if event := p.await(interpose.Exited); event.Code != 0 || event.Counts["point"] < 5 {
				t.Errorf("unexpected end %+v", event)
			}
			// The target goes on after a short write, so that nothing is missing.
			if got := contents(t, path); got != lines(5) {
				t.Errorf("got %q, want %q", got, lines(5))
			}
		})
	}
}

func TestAProgramThatEndsBeforeThePointSaysHowFarItCame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.txt")
	p := start(t, newPlan(hold(interpose.Write, path, 9, interpose.Before)), target, "sequence", path, "4")
	event := p.await(interpose.Exited)
	if event.Code != 0 || event.Counts["point"] != 4 {
		t.Errorf("want exit code 0 and 4 of 9 writes, got %+v", event)
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestHoldWhileAnotherThreadWaitsForItsChild(t *testing.T) {
	for occurrence := 5; occurrence < 200; occurrence += 10 {
		path := filepath.Join(t.TempDir(), "file")
		p := start(t, newPlan(tear(path, occurrence, interpose.KeepBytes(5))), target, "spawn", path, "200")
		event := p.await(interpose.Reached)
		p.kill()
		if event.Inexact != "" {
			t.Error(event.Inexact)
		}
		point := tear(path, occurrence, interpose.KeepBytes(5))
		if err := checkAppended([]byte(contents(t, path)), point); err != nil {
			t.Error(err)
		}
	}
}

func TestLinesOnStandardOutputArePoints(t *testing.T) {
	for _, timing := range []interpose.Timing{interpose.Before, interpose.During, interpose.After} {
		point := hold(interpose.Write, "/dev/stdout", 2, timing)
		point.Keep = interpose.KeepBytes(3)
		p := start(t, newPlan(point), "sh", "-c", "echo first; echo second; echo third")
		if event := p.await(interpose.Reached); event.Path != "/dev/stdout" || event.Inexact != "" {
			t.Errorf("unexpected event %+v", event)
		}
		p.kill()
		want := map[interpose.Timing]string{interpose.Before: "first\n", interpose.During: "first\nsec", interpose.After: "first\nsecond\n"}[timing]
		if got := p.output(); got != want {
			t.Errorf("%s: got %q, want %q", timing, got, want)
		}
	}
}

func TestEveryKindOfWriteCanBeTorn(t *testing.T) {
	// What the target's verb calls has written to the file before, and the bytes that are kept of one more.
	tests := map[string]struct {
		name       string
		occurrence int
		keep       int64
		want       string
	}{
		"write":                      {"data", 1, 4, "0123"},
		"pwrite over what is there":  {"data", 2, 1, "0123a56789"},
		"writev across buffers":      {"data", 3, 4, "0123ab6789onet"},
		"pwritev across buffers":     {"data", 4, 3, "01xxyb6789onetwothree"},
		"pwritev2 at the position":   {"data", 5, 1, "01xxyy6789onetwothreez"},
		"pwritev2 that appends":      {"data", 6, 2, "01xxyy6789onetwothreezzen"},
		"through a copied number":    {"data", 7, 2, "01xxyy6789onetwothreezzdud"},
		"through /proc/self/fd":      {"data", 8, 3, "01xxyy6789onetwothreezzdupaga"},
		"sendfile":                   {"copy", 1, 3, "01x"},
		"copy_file_range":            {"copy", 2, 2, "01xxyy67" + strings.Repeat("\x00", 12) + "xx"},
		"sendfile as a whole":        {"copy", 1, 8, "01xxyy67"},
		"splice as a whole":          {"copy", 3, 5, "01xxyy67piped" + strings.Repeat("\x00", 7) + "xxyy6"},
		"splice from a pipe":         {"copy", 3, 2, "01xxyy67pi" + strings.Repeat("\x00", 10) + "xxyy6"},
		"through a link to the file": {"back", 1, 2, "so"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			p := start(t, newPlan(tear(directory+"/"+test.name, test.occurrence, interpose.KeepBytes(test.keep))), target, "calls", directory)
			event := p.await(interpose.Reached)
			p.kill()
			if got := contents(t, directory+"/"+test.name); got != test.want || event.Inexact != "" || event.Kept != test.keep {
				t.Errorf("got %q, want %q; %+v", got, test.want, event)
			}
		})
	}
}

func TestATornWritePastThePageCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	p := start(t, newPlan(tear(path, 1, interpose.KeepBytes(100))), target, "direct", path)
	event := p.await(interpose.Reached)
	p.kill()
	if got := contents(t, path); len(got) != 100 || !strings.HasPrefix(got, "abcdef") || event.Inexact != "" {
		t.Errorf("got %d bytes; %+v", len(got), event)
	}
}

func TestPathsBelowAnotherRootAreThoseOfTheContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change its root")
	}
	for _, operation := range []interpose.Operation{interpose.Create, interpose.Write} {
		directory := t.TempDir()
		p := start(t, newPlan(hold(operation, directory+"/inside", 1, interpose.After)), target, "jail", directory, "inside")
		if event := p.await(interpose.Reached); event.Inexact != "" {
			t.Errorf("unexpected event %+v", event)
		}
		p.kill()
	}
}

func TestManyShortLivedProcessesAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	script := `i=0; while [ $i -lt 400 ]; do /bin/echo x >> $0; i=$((i+1)); done`
	p := start(t, newPlan(hold(interpose.Write, path, 390, interpose.Before)), "sh", "-c", script, path)
	p.await(interpose.Reached)
	p.kill()
	if got := len(contents(t, path)); got != 2*389 {
		t.Errorf("%d bytes, want %d", got, 2*389)
	}
}

func TestAWriteToAFullPipeIsCompleteWhenItIsHeldAfter(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const size = 40_000 // of which a pipe takes one and a half
	p := start(t, newPlan(hold(interpose.Write, pipe, 2, interpose.After)), "dd", "if=/dev/zero", "of="+pipe, "count=3", "bs="+strconv.Itoa(size))
	fill := func() int {
		n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	waitFor(t, "the first write is there", func() bool { return fill() >= size })
	p.await(interpose.Started)
	select {
	case event := <-p.client.Events():
		t.Fatalf("held before there is room: %+v", event)
	case <-time.After(100 * time.Millisecond):
	}
	if _, err := io.ReadFull(reader, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if event := p.await(interpose.Reached); event.Inexact != "" {
		t.Errorf("unexpected event %+v", event)
	}
	if got := fill(); got != size {
		t.Errorf("%d bytes of the second write are there, want %d", got, size)
	}
}
