// Package docs holds the documentation, and tests that keep it true.
package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTutorial does what docs/tutorial.md tells people to do: it runs each
// block of sh, in one shell, and compares what is printed with the block of
// text that follows. Blocks of console are left out: they are about getting
// ready, which the test does in its own way.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Docker Engine and the images of make images")
	}
	page, err := os.ReadFile("tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := stepsOf(string(page))
	if len(steps) < 8 {
		t.Fatalf("%d steps were found on the page", len(steps))
	}
	outputs := follow(t, buildKillpoint(t), steps)
	for index, step := range steps {
		got := outputs[index]
		if failed := got.code != 0; failed != step.fails() {
			t.Errorf("line %d: exit code %d of\n%s\nwhich printed\n%s", step.line, got.code, step.commands, got.text)
		} else if missing := notFound(step.prints, got.text); missing != "" {
			t.Errorf("line %d: %q is not printed where the page says so, by\n%s\nwhich printed\n%s", step.line, missing, step.commands, got.text)
		}
	}
}

// step is one block of commands and what the page says that they print.
type step struct {
	line     int // of the page, where the commands begin
	commands string
	prints   string // empty when the page does not say
}

// fails says whether the page shows a failure as the result.
func (s step) fails() bool {
	return strings.HasPrefix(s.prints, "✗") || strings.Contains(s.prints, "\n✗")
}

var fence = regexp.MustCompile("^```(\\w*)$")

func stepsOf(page string) []step {
	var steps []step
	kind, block, begin := "", []string{}, 0
	for number, line := range strings.Split(page, "\n") {
		match := fence.FindStringSubmatch(line)
		switch {
		case match == nil:
			block = append(block, line)
		case match[1] != "": // a block begins
			kind, block, begin = match[1], nil, number+2
		default:
			text := strings.Join(block, "\n") + "\n"
			if kind == "sh" {
				steps = append(steps, step{line: begin, commands: text})
			} else if kind == "text" && len(steps) > 0 && steps[len(steps)-1].prints == "" {
				steps[len(steps)-1].prints = text
			}
			kind, block = "", nil
		}
	}
	return steps
}

// buildKillpoint makes the command, which is its own interposer, and gives
// its folder.
func buildKillpoint(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, "killpoint"), "../orchestrator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build killpoint: %v\n%s", err, out)
	}
	return folder
}

type output struct {
	text string
	code int
}

// follow runs the steps in one shell, in an empty folder.
func follow(t *testing.T, tools string, steps []step) []output {
	t.Helper()
	const mark = "=== end of step"
	var script strings.Builder
	for _, step := range steps {
		fmt.Fprintf(&script, "%scode=$?; echo; echo \"%s: $code\"\n", step.commands, mark)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "steps.sh")
	if err := os.WriteFile(file, []byte(script.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(ctx, "bash", file)
	shell.Dir = t.TempDir()
	shell.Env = append(ownEnvironment(), "PATH="+tools+":"+os.Getenv("PATH"), "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TMPDIR="+t.TempDir())
	// Killed with SIGKILL, killpoint could not remove its containers.
	shell.Cancel = func() error { return shell.Process.Signal(os.Interrupt) }
	shell.WaitDelay = time.Minute
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var outputs []output
	rest := string(out)
	for range steps {
		text, after, found := strings.Cut(rest, "\n"+mark+": ")
		if !found {
			t.Fatalf("the shell ended early:\n%s", rest)
		}
		var code int
		fmt.Sscan(after, &code)
		_, rest, _ = strings.Cut(after, "\n")
		outputs = append(outputs, output{text, code})
	}
	return outputs
}

// ownEnvironment leaves out what would make killpoint speak to somebody else
// than the reader of the page: a CI system, which would show the failures that
// are wanted here, and variables that stand for flags.
func ownEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "GITHUB_") || strings.HasPrefix(entry, "KILLPOINT_")
	})
}

// duration is a time as results show it; it differs from run to run.
var duration = regexp.MustCompile(`(\d+m)?\d+(\.\d+)?s\b`)

// notFound gives the first line that the page shows and that is not printed,
// or not behind the lines before it. A … stands for anything, a line that is
// nothing else for any number of lines.
func notFound(shown, printed string) string {
	lines := strings.Split(printed, "\n")
	for want := range strings.Lines(shown) {
		want = strings.TrimSpace(want)
		if want == "" || want == "…" {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(duration.ReplaceAllString(want, "0s")), "…", ".*") + "$")
		for {
			if len(lines) == 0 {
				return want
			}
			line := strings.TrimSpace(duration.ReplaceAllString(lines[0], "0s"))
			lines = lines[1:]
			if pattern.MatchString(line) {
				break
			}
		}
	}
	return ""
}
