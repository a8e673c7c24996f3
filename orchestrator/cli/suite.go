package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// closeTimeout bounds the removal of what runs shared, so that an engine that
// hangs cannot hold the command for ever.
const closeTimeout = time.Minute

// job is one run of one scenario under a name that no other run of the
// command has.
type job struct {
	loaded
	name string
}

// jobsOf repeats the scenarios, all of them once before any of them again, so
// that the repetitions of one run side by side least of all. A name that
// occurs more than once gets a number: restart.1, restart.2.
func jobsOf(scenarios []loaded, repeat int) []job {
	var jobs []job
	count := map[string]int{}
	for range repeat {
		for _, one := range scenarios {
			count[one.scenario.Name]++
			jobs = append(jobs, job{loaded: one, name: one.scenario.Name})
		}
	}
	taken := map[string]bool{}
	for name, times := range count {
		taken[folderName(name)] = times == 1
	}
	for index := range jobs {
		plain := jobs[index].name
		if count[plain] == 1 {
			continue
		}
		for number := 1; ; number++ {
			name := fmt.Sprintf("%s.%d", plain, number)
			if !taken[folderName(name)] {
				taken[folderName(name)] = true
				jobs[index].name = name
				break
			}
		}
		// A copy, since the other repetitions have another name.
		renamed := *jobs[index].scenario
		renamed.Name = jobs[index].name
		jobs[index].scenario = &renamed
	}
	return jobs
}

// suite runs jobs and reports each one.
type suite struct {
	runner      runner
	console     *report.Console
	outputs     *outputs
	judge       func(*scenario.Scenario, *history.History) check.Verdict
	now         func() time.Time
	parallel    int
	failFast    bool
	replayFlags []string
	events      map[string]*recorded // by name of the run; the map itself is fixed while jobs run
	stopped     atomic.Bool
}

// recorded is the events of a run as they were seen from outside: what is
// left of its history when the run panics.
type recorded struct {
	mu     sync.Mutex
	events []history.Event
}

func (s *suite) onEvent(name string, event history.Event) {
	if seen := s.events[name]; seen != nil {
		seen.mu.Lock()
		seen.events = append(seen.events, event)
		seen.mu.Unlock()
	}
	s.console.Event(name, event)
}

// execute runs the jobs, so many at a time, and removes what they shared. The
// results are in the order of the jobs. The error is trouble that belongs to
// none of them.
func (s *suite) execute(ctx context.Context, jobs []job) ([]report.Result, error) {
	notice := sync.OnceFunc(func() {
		s.console.Note("interrupted: removing containers (Ctrl-C again aborts and leaves them)")
	})
	defer context.AfterFunc(ctx, notice)()
	for _, next := range jobs {
		s.events[next.name] = &recorded{}
	}
	results := make([]report.Result, len(jobs))
	slots := make(chan struct{}, s.parallel)
	var running sync.WaitGroup
	for index, next := range jobs {
		slots <- struct{}{}
		if ctx.Err() != nil || s.stopped.Load() {
			results[index] = report.NotRunResult(next.scenario)
			<-slots
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			results[index] = s.one(ctx, next)
			if s.failFast && results[index].Outcome != report.Passed {
				s.stopped.Store(true)
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		notice() // the runs may have ended before it was its turn
	}
	return results, s.close(ctx)
}

// close works on when the command was interrupted: it is the cleaning up.
func (s *suite) close(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var err error
	if panicked := guard(func() { err = s.runner.Close(bounded) }); panicked != nil {
		return panicked
	}
	if err != nil {
		return fmt.Errorf("remove what runs shared: %w", err)
	}
	return nil
}

// one runs a job, judges it, saves it and shows it. Whatever happens in any of
// these, there is a result.
func (s *suite) one(ctx context.Context, next job) report.Result {
	s.console.Begin(next.name, next.scenario)
	h := s.run(ctx, next)
	verdict := s.verdict(next.scenario, h)
	result := report.NewResult(next.scenario, h, verdict)
	result.Replay = withFlags(result.Replay, s.replayFlags)
	if err := s.outputs.save(next, h, &result); err != nil {
		result.Outcome = report.Broken
		result.Trouble = append(result.Trouble, err.Error())
	}
	s.console.End(result)
	seen := s.events[next.name]
	seen.mu.Lock()
	seen.events = nil // the history is saved, and its copy no longer needed
	seen.mu.Unlock()
	return result
}

// run runs a job. A panic becomes trouble in a history of what was seen
// until then.
func (s *suite) run(ctx context.Context, next job) *history.History {
	var h *history.History
	panicked := guard(func() { h = s.runner.Run(ctx, next.scenario, next.system) })
	if panicked == nil {
		return h
	}
	seen := s.events[next.name]
	seen.mu.Lock()
	defer seen.mu.Unlock()
	h = &history.History{Meta: history.Meta{
		Scenario: next.name, File: next.scenario.File, Replay: "killpoint run " + quoted(next.scenario.File),
	}}
	h.Events = append(h.Events, seen.events...)
	addTrouble(h, panicked)
	return h
}

// verdict judges a history. How long that took is a part of the run's time.
func (s *suite) verdict(sc *scenario.Scenario, h *history.History) check.Verdict {
	var verdict check.Verdict
	began := s.now()
	panicked := guard(func() { verdict = s.judge(sc, h) })
	report.AddChecking(h, s.now().Sub(began))
	if panicked != nil {
		addTrouble(h, panicked)
		return check.Verdict{Outcome: check.Broken}
	}
	return verdict
}

// guard turns a panic into an error that says where it came from.
func guard(do func()) (panicked error) {
	defer func() {
		if reason := recover(); reason != nil {
			panicked = fmt.Errorf("killpoint itself failed, please report it: panic: %v\n%s", reason, debug.Stack())
		}
	}()
	do()
	return nil
}

func addTrouble(h *history.History, err error) {
	event := history.Event{Kind: history.Trouble, Text: err.Error()}
	if len(h.Events) > 0 {
		event.At = h.Events[len(h.Events)-1].At
	}
	h.Events = append(h.Events, event)
}

// withFlags adds to a command the flags that it does not have yet.
func withFlags(command string, flags []string) string {
	if command == "" {
		return ""
	}
	for _, flag := range flags {
		if !strings.Contains(command+" ", " "+flag+" ") {
			command += " " + flag
		}
	}
	return command
}
