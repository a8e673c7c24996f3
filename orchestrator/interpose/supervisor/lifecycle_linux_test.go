package supervisor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

func TestExitCodes(t *testing.T) {
	notExecutable := t.TempDir() + "/data"
	if err := os.WriteFile(notExecutable, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	otherMachine := t.TempDir() + "/program" // as in an image for another architecture
	if err := os.WriteFile(otherMachine, append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 128)...), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		command []string
		code    int
		stderr  string
	}{
		"success":          {[]string{target, "exit", "0"}, 0, ""},
		"failure":          {[]string{target, "exit", "7"}, 7, ""},
		"killed":           {[]string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		"aborted":          {[]string{"sh", "-c", "kill -ABRT $$"}, 134, ""},
		"through PATH":     {[]string{"true"}, 0, ""},
		"not in PATH":      {[]string{"no-such-program"}, 127, "executable file not found in $PATH"},
		"not there":        {[]string{"/no/such/program"}, 127, "no such file or directory"},
		"not executable":   {[]string{notExecutable}, 126, "permission denied"},
		"a directory":      {[]string{"/tmp"}, 126, "is a directory"},
		"another machine":  {[]string{otherMachine}, 126, "exec format error"},
		"zombies are gone": {[]string{target, "orphans"}, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before)), test.command...)
			if code := p.exitCode(); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, p.errors())
			}
			if !strings.Contains(p.errors(), test.stderr) {
				t.Errorf("stderr %q, want %q in it", p.errors(), test.stderr)
			}
		})
	}
}

func TestSignalsArePassedOnAsToAFirstProcess(t *testing.T) {
	tests := map[string]struct {
		signal syscall.Signal
		init   bool
		code   int // 0: it goes on
	}{
		"handled":                       {syscall.SIGTERM, false, 40 + 15},
		"another one":                   {syscall.SIGUSR1, false, 40 + 10},
		"not handled":                   {syscall.SIGUSR2, false, 0},
		"not handled, with docker-init": {syscall.SIGHUP, true, 128 + 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := newPlan()
			plan.Init = test.init
			p := start(t, plan, target, "wait")
			waitFor(t, "the program listens", func() bool { return strings.Contains(p.output(), "listening, child of 1") })
			if err := p.process.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if test.code == 0 {
				// The next signal is handled, so that the first was not if the program gets this one.
				if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				test.code = 40 + 15
			}
			if code := p.exitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("wait until %s: it did not happen", what)
		}
	}
}

func TestTheProgramSeesItsOwnWorld(t *testing.T) {
	want, err := exec.Command("sh", "-c", "env | sort; pwd; ulimit -n; umask; cat").Output()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before)), "sh", "-c", "env | sort; pwd; ulimit -n; umask; cat")
	if code := p.exitCode(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if got := p.output(); got != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestKillInPlaceEndsEveryProcessAndStartBeginsAnew(t *testing.T) {
	directory := t.TempDir()
	plan := newPlan(hold(interpose.Write, directory+"/file", 7, interpose.Before))
	plan.Stay = true
	p := start(t, plan, target, "processes", directory+"/file", "3", "20")
	for incarnation := 1; incarnation <= 3; incarnation++ {
		event := p.await(interpose.Reached)
		if event.Incarnation != incarnation || event.Occurrence != 7 {
			t.Errorf("unexpected event %+v", event)
		}
		// The first children may come to the point before the last was forked.
		if alive := processesWriting(t, directory+"/file"); alive < 2 || alive > 4 {
			t.Errorf("%d processes run, want the parent and 1 to 3 children", alive)
		}
		if err := p.client.Kill(withTimeout(t)); err != nil {
			t.Fatal(err)
		}
		if killed := p.await(interpose.Killed); killed.Counts["point"] != 7 {
			t.Errorf("counts %v, want 7", killed.Counts)
		}
		size := len(contents(t, directory+"/file"))
		if left := processesWriting(t, directory+"/file"); left > 0 {
			t.Errorf("%d processes are left", left)
		}
		plan.Incarnation++
		if err := p.client.Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			t.Error("nothing was written")
		}
	}
}

// processesWriting counts the programs that were given a file to write.
func processesWriting(t *testing.T, file string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, line := range lines {
		text, err := os.ReadFile(line)
		arguments := strings.Split(string(text), "\x00")
		if err == nil && slices.Contains(arguments, file) && arguments[0] != interposer {
			count++
		}
	}
	return count
}

func TestAProgramThatEndsCanBeStartedAgain(t *testing.T) {
	plan := newPlan()
	plan.Stay = true
	p := start(t, plan, target, "exit", "3")
	for range 3 {
		if event := p.await(interpose.Exited); event.Code != 3 {
			t.Errorf("exit code %d", event.Code)
		}
		plan.Incarnation++
		if err := p.client.Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongCommandsAreRefused(t *testing.T) {
	p := start(t, newPlan(), target, "wait")
	ctx := withTimeout(t)
	p.await(interpose.Started)
	_, unknown := p.client.Arm(ctx, "point")
	for what, err := range map[string]error{
		"release without a held point": p.client.Release(ctx),
		"start while it runs":          p.client.Start(ctx, p.plan),
		"arm what the plan has not":    unknown,
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := p.client.Lose(ctx, interpose.Lose{Survive: "none"}); err == nil {
		t.Error("lose without a held point: no error")
	}
}

// One thread of the interposer is slow to wake up by itself, and nobody else is.
func TestTimersOfTheProgramAreAsExactAsEver(t *testing.T) {
	native, err := exec.Command(target, "slack").Output()
	if err != nil {
		t.Fatal(err)
	}
	plan := newPlan()
	plan.Stay = true
	p := start(t, plan, target, "slack")
	p.await(interpose.Exited)
	waitFor(t, "the program's output has come", func() bool { return p.output() != "" })
	if got := p.output(); got != string(native) {
		t.Errorf("the program's slack is %q, natively %q", got, native)
	}
	result, err := p.client.Exec(withTimeout(t), []string{target, "slack"})
	if got := string(result.Stdout); err != nil || got != string(native) {
		t.Errorf("the slack of what is executed beside it is %q, %v; natively %q", got, err, native)
	}
	if os.Geteuid() != 0 {
		return // what follows is for root to see
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for _, thread := range threads {
		slack, err := os.ReadFile("/proc/" + filepath.Base(thread) + "/timerslack_ns")
		if err == nil && string(slack) == "10000000\n" {
			slow++
		}
	}
	if slow == 0 || slow > len(threads)/2 {
		t.Errorf("%d threads of %d of the interposer's are slow to wake up, want one", slow, len(threads))
	}
}
