// Package suite runs scenarios one after the other or side by side: it finds
// and loads them, has each run and judged, saves what became of it, and tells
// a watcher. Whatever happens in a run, there is a result. The command line,
// campaigns and Go tests share it; what is printed, and with which code a
// command ends, is left to them.
package suite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// closeTimeout bounds the removal of what runs shared, so that an engine that
// hangs cannot hold the command for ever.
const closeTimeout = time.Minute

// Watcher is told what happens, by several goroutines at once. report.Console
// is one. It must not wait for anybody: an event comes from within a run.
type Watcher interface {
	Begin(name string, sc *scenario.Scenario)
	Event(name string, event history.Event)
	End(result report.Result)
	Note(text string)
}

// Options say how a suite is run.
type Options struct {
	// Run says how each run is done. Its Dir and OnEvent are the suite's own.
	Run run.Options
	// Open prepares to run scenarios; nil: OpenEngine.
	Open func(context.Context, run.Options) (Runner, error)
	// Judge says what a history proves; nil: check.Judge.
	Judge func(*scenario.Scenario, *history.History) check.Verdict
	// Now is a clock; nil: time.Now.
	Now func() time.Time

	// Judged is given each history when it was judged, before it is saved or
	// dropped, by several goroutines at once; nil: nobody wants it.
	Judged func(name string, sc *scenario.Scenario, h *history.History)

	Watcher  Watcher
	Folder   *Folder // where runs are saved
	Parallel int     // how many runs go on at once; 0 is 1
	FailFast bool    // begin no further run after one that did not pass
	// ReplayFlags stand behind the command that runs a scenario again, besides
	// what the history itself knows.
	ReplayFlags []string
}

// Suite runs jobs and saves each one.
type Suite struct {
	Options
	runner  Runner
	stopped atomic.Bool

	mu     sync.Mutex
	events map[string]*recorded // by name of the run
}

// Open connects to the engine. An error is trouble, never bad usage.
func Open(ctx context.Context, options Options) (*Suite, error) {
	if options.Open == nil {
		options.Open = OpenEngine
	}
	if options.Judge == nil {
		options.Judge = check.Judge
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &Suite{Options: options, events: map[string]*recorded{}}
	how := options.Run
	how.Dir, how.OnEvent = options.Folder.running, s.onEvent
	runner, err := options.Open(ctx, how)
	if err != nil {
		return nil, err
	}
	s.runner = runner
	return s, nil
}

// Swept names what Open removed of earlier, dead orchestrators.
func (s *Suite) Swept() []string { return s.runner.Swept() }

// Execute runs the jobs, so many at a time. The results are in the order of
// the jobs.
func (s *Suite) Execute(ctx context.Context, jobs []Job) []report.Result {
	notice := sync.OnceFunc(func() {
		s.Watcher.Note("interrupted: removing containers (Ctrl-C again aborts and leaves them)")
	})
	defer context.AfterFunc(ctx, notice)()
	results := make([]report.Result, len(jobs))
	slots := make(chan struct{}, max(s.Parallel, 1))
	var running sync.WaitGroup
	for index, next := range jobs {
		slots <- struct{}{}
		if ctx.Err() != nil || s.stopped.Load() {
			results[index] = report.NotRunResult(next.Scenario)
			<-slots
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			results[index] = s.One(ctx, next)
			if s.FailFast && results[index].Outcome != report.Passed {
				s.stopped.Store(true)
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		notice() // the runs may have ended before it was its turn
	}
	return results
}

// Close removes what runs shared. It works on when the context has ended: it
// is the cleaning up. Its error is trouble that belongs to none of the runs.
func (s *Suite) Close(ctx context.Context) error {
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

// One runs a job, judges it, saves it and tells of it. Whatever happens in any
// of these, there is a result. Jobs that go on at once need different names.
func (s *Suite) One(ctx context.Context, next Job) report.Result {
	s.mu.Lock()
	s.events[next.Name] = &recorded{}
	s.mu.Unlock()
	s.Watcher.Begin(next.Name, next.Scenario)
	h := s.run(ctx, next)
	verdict := s.verdict(next.Scenario, h)
	if s.Judged != nil {
		if panicked := guard(func() { s.Judged(next.Name, next.Scenario, h) }); panicked != nil {
			addTrouble(h, panicked)
			verdict = check.Verdict{Outcome: check.Broken}
		}
	}
	result := report.NewResult(next.Scenario, h, verdict)
	if next.Replay != "" {
		result.Replay = next.Replay
	}
	result.Replay = withFlags(result.Replay, s.ReplayFlags)
	if err := s.Folder.save(next, h, &result); err != nil {
		result.Outcome = report.Broken
		result.Trouble = append(result.Trouble, err.Error())
	}
	s.Watcher.End(result)
	s.mu.Lock()
	delete(s.events, next.Name) // the history is saved, and its copy no longer needed
	s.mu.Unlock()
	return result
}

// run runs a job. A panic becomes trouble in a history of what was seen
// until then.
func (s *Suite) run(ctx context.Context, next Job) *history.History {
	var h *history.History
	panicked := guard(func() { h = s.runner.Run(ctx, next.Scenario, next.System) })
	if panicked == nil {
		return h
	}
	h = &history.History{Meta: history.Meta{
		Scenario: next.Name, File: next.Scenario.File, Replay: "killpoint run " + Quoted(next.Scenario.File),
	}}
	if seen := s.recorded(next.Name); seen != nil {
		seen.mu.Lock()
		h.Events = append(h.Events, seen.events...)
		seen.mu.Unlock()
	}
	addTrouble(h, panicked)
	return h
}

// verdict judges a history. How long that took is a part of the run's time.
func (s *Suite) verdict(sc *scenario.Scenario, h *history.History) check.Verdict {
	var verdict check.Verdict
	began := s.Now()
	panicked := guard(func() { verdict = s.Judge(sc, h) })
	report.AddChecking(h, s.Now().Sub(began))
	if panicked != nil {
		addTrouble(h, panicked)
		return check.Verdict{Outcome: check.Broken}
	}
	return verdict
}
