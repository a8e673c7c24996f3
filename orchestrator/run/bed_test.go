package run

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// bed makes a bed for a scenario of testdata.
func bed(t *testing.T, ctx context.Context, file string, options BedOptions) (*Bed, *Orchestrator) {
	t.Helper()
	sc, sys := mustLoad(t, file)
	o := open(t, ctx, Options{})
	b, err := o.NewBed(ctx, sc, sys, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if left := thingsOf(t, b.group.id); len(left) > 0 {
			t.Errorf("the bed has left %q", left)
		}
	})
	return b, o
}

// gist is what a run comes to, without its times and without the order of what
// goes on side by side: each service's own events, and what was collected.
func gist(t *testing.T, h *history.History) []string {
	t.Helper()
	var lines []string
	for _, event := range h.Events {
		switch event.Kind {
		case history.Trouble, history.Warning, history.TimedOut, history.Settled:
			lines = append(lines, words(event))
		case history.Started, history.Exited, history.PointReached, history.FaultFired, history.FaultDone, history.FaultHealed:
			lines = append(lines, words(event))
		case history.Log:
			lines = append(lines, words(event)+" on "+event.Stream)
		case history.CommandRan:
			lines = append(lines, words(event)+" "+event.Stdout+event.Stderr)
		}
	}
	for _, file := range h.Files {
		lines = append(lines, fmt.Sprintf("%s of %s, %s, %d bytes %s", file.Path, file.Service, file.Stage, file.Size, file.SHA256))
	}
	// The two streams of a container are two pipes.
	slices.Sort(lines)
	return lines
}

// A trial on a bed is what a run in containers of its own is, and the tenth is
// what the first was: lives count from 1 again, files are what they were, and
// nothing of a trial before is seen.
func TestTrialsAreRuns(t *testing.T) {
	const trials = 10
	for name, test := range map[string]struct {
		options        BedOptions
		scenario, file string
		containers     int // that were made to be killed
	}{
		"in place": {options: BedOptions{Target: "worker"}, scenario: "bed.yaml", file: "/said"},
		"a container that is killed": {
			options: BedOptions{Target: "worker", KillContainer: true}, scenario: "bed-tidy.yaml", file: "/shared/said", containers: 1,
		},
		"a container that is killed, and its volume changed": {
			options: BedOptions{Target: "worker", KillContainer: true}, scenario: "bed-alone.yaml", file: "/alone/said", containers: trials,
		},
		"a container that is killed and changed": {
			options: BedOptions{Target: "worker", KillContainer: true}, scenario: "bed.yaml", file: "/said", containers: trials,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := trialsAreRuns(t, trials, test.options, test.scenario, test.file)
			if b.killed != nil && b.killed.made != test.containers {
				t.Errorf("%d containers were made for %d trials, want %d", b.killed.made, trials, test.containers)
			}
		})
	}
}

func trialsAreRuns(t *testing.T, trials int, options BedOptions, scenario, file string) *Bed {
	t.Helper()
	ctx := with(t)
	b, o := bed(t, ctx, scenario, options)
	sc, sys := mustLoad(t, scenario)
	own := o.Run(ctx, sc, sys)
	want := slices.DeleteFunc(gist(t, own), func(line string) bool {
		// The end of the containers themselves.
		return strings.Contains(line, "exited of watcher") || strings.Contains(line, "exited of worker in life 3")
	})
	if !slices.Contains(want, fmt.Sprintf(`point-reached of worker in life 1, fault 1, "after 4 bytes of write 10 of %s (10 bytes at byte 0)"`, file)) {
		t.Fatalf("the run is not what the test means:\n%s", strings.Join(want, "\n"))
	}
	for trial := range trials {
		h := b.Trial(ctx, sc, nil)
		got := slices.DeleteFunc(gist(t, h), func(line string) bool {
			return strings.Contains(line, "exited of watcher") || strings.Contains(line, "exited of worker in life 3")
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("trial %d (-run in containers +trial):\n%s", trial+1, diff)
		}
		if err := os.RemoveAll(h.Dir); err != nil {
			t.Error(err)
		}
	}
	return b
}

// A trial in which something never comes, or that is interrupted leaves the bed as good as new.
func TestBedOutlivesATrialThatIsCutShort(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	b, _ := bed(t, ctx, "bed.yaml", BedOptions{Target: "worker"})
	sc, _ := mustLoad(t, "bed.yaml")
	never := *sc
	never.Expect.Logs = slices.Clone(sc.Expect.Logs)
	never.Expect.Logs[0].Contains = "a line that never comes"
	s := &seen{T: t, history: b.Trial(ctx, &never, nil)}
	s.must(history.Event{Kind: history.Settled})
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	s = &seen{T: t, history: b.Trial(cancelled, sc, nil)}
	s.must(history.Event{Kind: history.Interrupted})
	s = &seen{T: t, history: b.Trial(ctx, sc, nil)}
	s.must(history.Event{Kind: history.AllDone})
	s.count(history.Event{Kind: history.Trouble}, 0)
}

// A container of a bed that dies is trouble of the trial under way, and of all
// later ones.
func TestBedWithADeadContainer(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	b, _ := bed(t, ctx, "bed.yaml", BedOptions{Target: "worker"})
	sc, _ := mustLoad(t, "bed.yaml")
	if err := b.engine.Kill(ctx, b.residents["watcher"].made.id, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	<-b.residents["watcher"].gone
	for range 2 {
		s := &seen{T: t, history: b.Trial(ctx, sc, nil)}
		s.must(history.Event{Kind: history.Trouble, Text: "watcher"})
	}
	if b.Err() == nil {
		t.Error("the bed says nothing")
	}
}

func TestBedRefuses(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	sc, sys := mustLoad(t, "bed.yaml")
	o := open(t, ctx, Options{BindRW: true})
	if _, err := o.NewBed(ctx, sc, sys, BedOptions{Target: "worker"}); err == nil || !strings.Contains(err.Error(), "--bind-rw") {
		t.Errorf("real bind mounts: %v", err)
	}
	o = open(t, ctx, Options{})
	if _, err := o.NewBed(ctx, sc, sys, BedOptions{Target: "nobody"}); err == nil || !strings.Contains(err.Error(), "nobody is no service") {
		t.Errorf("a target that is not there: %v", err)
	}
	if left, err := testEngine.Labelled(ctx, labelOwner, o.owner.name); err != nil || len(left.Containers) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A program on a bed has as long to become healthy as the engine would give it,
// and on a machine that is busy with other trials no less than that takes.
func TestPatienceWithHealth(t *testing.T) {
	t.Parallel()
	tests := []struct {
		check system.Healthcheck
		want  time.Duration
	}{
		{system.Healthcheck{}, 90 * time.Second},
		{system.Healthcheck{Interval: time.Second}, residentPatience},
		{system.Healthcheck{Interval: 10 * time.Second, Retries: 4, StartPeriod: time.Minute}, 100 * time.Second},
	}
	for _, test := range tests {
		if got := healthPatience(&test.check); got != test.want {
			t.Errorf("%+v: %s, want %s", test.check, got, test.want)
		}
	}
}
