package run

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// at does something once, at the first event that matches.
func at(moment history.Event, do func()) func(string, history.Event) {
	var done atomic.Bool
	return func(_ string, event history.Event) {
		if (&seen{}).matches(event, moment) && done.CompareAndSwap(false, true) {
			do()
		}
	}
}

// The runs are of whole.yaml, which makes every kind of thing and does every
// kind of work.
func TestNothingIsLeftByAnInterruptedRun(t *testing.T) {
	for _, moment := range []history.Event{
		{Kind: history.Created},
		{Kind: history.Started, Service: "base"},
		{Kind: history.Log, Service: "worker"},
		{Kind: history.FaultFired},
		{Kind: history.FaultDone},
		{Kind: history.Phase, Text: "collecting"},
		{Kind: history.Started, Service: "worker", Incarnation: 3}, // the restart of a stable expectation
	} {
		t.Run(words(moment), func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(with(t))
			defer interrupt()
			sc, sys := mustLoad(t, "whole.yaml", "HOST_FILES="+hostFiles(t))
			s := watched(t, open(t, ctx, Options{OnEvent: at(moment, interrupt)}).Run(ctx, sc, sys))
			s.count(history.Event{Kind: history.Interrupted}, 1)
			s.count(history.Event{Kind: history.Trouble}, 0)
			s.count(history.Event{Kind: history.Unremoved}, 0)
			s.order(moment, history.Event{Kind: history.Interrupted}, history.Event{Kind: history.Removed})
		})
	}
}

// The engine may be in the middle of making something when a run is cut
// short, and goes on making it.
func TestNothingIsLeftWhereMakingIsCutShort(t *testing.T) {
	t.Parallel()
	for delay := time.Duration(0); delay < 200*time.Millisecond; delay += 40 * time.Millisecond {
		ctx, interrupt := context.WithCancel(with(t))
		sc, sys := mustLoad(t, "whole.yaml", "HOST_FILES="+hostFiles(t))
		timer := time.AfterFunc(delay, interrupt)
		watched(t, open(t, with(t), Options{}).Run(ctx, sc, sys))
		timer.Stop()
		interrupt()
	}
}

func TestNothingIsLeftByAPanic(t *testing.T) {
	// Each of them is told of by another goroutine.
	for _, moment := range []history.Event{
		{Kind: history.Phase, Text: "preparing"},
		{Kind: history.Created},
		{Kind: history.Started, Service: "base"},
		{Kind: history.Log, Service: "worker"},
		{Kind: history.FaultFired},
		{Kind: history.Phase, Text: "removing"},
	} {
		t.Run(words(moment), func(t *testing.T) {
			t.Parallel()
			ctx := with(t)
			sc, sys := mustLoad(t, "whole.yaml", "HOST_FILES="+hostFiles(t))
			s := watched(t, open(t, ctx, Options{OnEvent: at(moment, func() { panic("on purpose") })}).Run(ctx, sc, sys))
			s.count(history.Event{Kind: history.Trouble}, 1)
			s.must(history.Event{Kind: history.Trouble, Text: "panic: on purpose"})
			s.count(history.Event{Kind: history.Interrupted}, 0)
		})
	}
}

// A panic in a goroutine would end the process, and leave everything behind.
func TestPanicInAGoroutineIsTrouble(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	sc, sys := mustLoad(t, "no-network.yaml")
	o := open(t, ctx, Options{})
	// Images are looked up with another engine, so that it is the making of
	// the container that fails, and then its removal.
	o.engine = &engine.Engine{}
	s := &seen{T: t, history: o.Run(ctx, sc, sys)}
	t.Cleanup(s.show)
	const panicked = "panic: runtime error: invalid memory address"
	s.must(history.Event{Kind: history.Trouble, Text: "create only: " + panicked})
	s.must(history.Event{Kind: history.Unremoved, Text: "remove container kp-" + s.history.Meta.RunID + "-only: " + panicked})
}

func TestKeptContainersAreThereUntilTheyAreSwept(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	sc, sys := mustLoad(t, "whole.yaml", "HOST_FILES="+hostFiles(t))
	o := unclosed(t, ctx, Options{Keep: true})
	s := &seen{T: t, history: o.Run(ctx, sc, sys)}
	t.Cleanup(s.show)
	s.well()
	s.count(history.Event{Kind: history.Removed}, 0)
	kept := thingsOf(t, s.history.Meta.RunID)
	prefix := "kp-" + s.history.Meta.RunID + "-"
	for _, want := range []string{"container " + prefix + "base", "container " + prefix + "worker", "network " + prefix + "default", "volume " + prefix + "data", "volume " + prefix + "bind-1"} {
		if !slices.Contains(kept, want) {
			t.Errorf("%q are kept, want %q among them", kept, want)
		}
	}

	// The commands that the person is told work as they stand.
	told := s.event(history.Event{Kind: history.Warning, Text: "containers are kept"}).Text
	commands := regexp.MustCompile(`docker (?:ps|logs) [^ ]+(?: --filter [^ ]+)?`).FindAllString(told, -1)
	if len(commands) != 2 {
		t.Fatalf("%q names %d commands, want docker ps and docker logs", told, len(commands))
	}
	for index, want := range []string{prefix + "worker", "life 1 line"} {
		out, err := exec.CommandContext(ctx, "sh", "-c", commands[index]).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s; want it to show %q", commands[index], err, out, want)
		}
	}

	// While their orchestrator lives they are nobody else's; after that they
	// are kept from runs, and go with a sweep.
	sweepLeaves(t, ctx, "a living orchestrator's", kept, s.history.Meta.RunID)
	if err := o.Close(ctx); err != nil {
		t.Fatal(err)
	}
	open(t, ctx, Options{})
	if still := thingsOf(t, s.history.Meta.RunID); len(still) != len(kept) {
		t.Errorf("a new orchestrator left %q of the kept %q", still, kept)
	}
	if _, err := Sweep(ctx, testEngine, false); err != nil {
		t.Fatal(err)
	}
	if still := thingsOf(t, s.history.Meta.RunID); len(still) != 0 {
		t.Errorf("sweeping has left %q", still)
	}
}

func sweepLeaves(t *testing.T, ctx context.Context, whose string, things []string, runID string) {
	t.Helper()
	removed, err := Sweep(ctx, testEngine, false)
	if err != nil {
		t.Fatal(err)
	}
	if still := thingsOf(t, runID); len(still) != len(things) {
		t.Errorf("sweeping removed %q and left %q of %s %q", removed, still, whose, things)
	}
}

// Two runs of one orchestrator, side by side, of which one is killed again and
// again and the other is not.
func TestRunsSideBySideDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	o := open(t, ctx, Options{})
	type result struct {
		token string
		h     *history.History
	}
	results := make(chan result)
	for token, file := range map[string]string{"hurt": "side-hurt.yaml", "calm": "side-calm.yaml"} {
		sc, sys := mustLoad(t, file, "TOKEN="+token)
		go func() { results <- result{token, o.Run(ctx, sc, sys)} }()
	}
	for range 2 {
		got := <-results
		s := watched(t, got.h)
		s.well()
		s.must(history.Event{Kind: history.AllDone})
		for _, event := range got.h.Events {
			if event.Kind == history.Log && printedLine.MatchString(event.Text) && !strings.HasSuffix(event.Text, "."+got.token) {
				t.Errorf("the run of %s has read %q", got.token, event.Text)
			}
		}
		lives, kills := 1, 0
		if got.token == "hurt" {
			lives, kills = 4, 3
		}
		s.count(history.Event{Kind: history.Started, Service: "worker"}, lives)
		s.count(history.Event{Kind: history.FaultDone}, kills)
		s.count(history.Event{Kind: history.Log, Service: "watcher", Text: "lost worker"}, kills)
		if counts := s.lines("worker"); len(counts) != lives {
			t.Errorf("the run of %s has lines of %d lives, want %d", got.token, len(counts), lives)
		}
	}
}

func TestRunThatCannotWriteItsHistoryIsTrouble(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	sc, sys := mustLoad(t, "done.yaml")
	o := open(t, ctx, Options{})
	o.options.Dir = "/proc/nowhere"
	h := o.Run(ctx, sc, sys)
	s := &seen{T: t, history: h}
	s.must(history.Event{Kind: history.Trouble, Text: "create folder for the history"})
	if left := thingsOf(t, h.Meta.RunID); len(left) > 0 {
		t.Errorf("the run has left %q", left)
	}
	if fmt.Sprint(h.Meta.Started) == "" || h.Meta.Scenario != "done" {
		t.Errorf("the history is of %+v, want of scenario done", h.Meta)
	}
}
