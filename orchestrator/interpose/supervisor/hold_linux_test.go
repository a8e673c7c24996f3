package supervisor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
