package run

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// collect fetches what the checks need: files, the output of commands, the
// depths of queues, and the files before and after one more restart.
func (r *run) collect(ctx context.Context) error {
	defer r.recorder.Span(history.SpanCollect, "")()
	if err := r.collectRows(ctx); err != nil {
		return err
	}
	if err := r.collectRecovered(ctx, r.planned); err != nil {
		return err
	}
	for index, expect := range r.scenario.Expect.Run {
		if err := r.runCommand(ctx, index, expect); err != nil {
			return err
		}
	}
	for _, expect := range r.scenario.Expect.Stable {
		if err := r.collectStable(ctx, expect); err != nil {
			return err
		}
	}
	return nil
}

// collectRows fetches the record of what was sent and the output files.
func (r *run) collectRows(ctx context.Context) error {
	if r.facts.Rows == nil || r.scenario.Expect.Rows == "off" && r.scenario.Expect.Verdicts == "off" {
		return nil
	}
	rows := r.facts.Rows
	sender := r.services[rows.Sent.Service]
	err := sender.home.copyFrom(ctx, rows.Sent.File, func(_ *tar.Header, content io.Reader) error {
		_, err := r.recorder.Store(rows.Sent.Service, rows.Sent.File, history.AtEnd, content)
		return err
	})
	if errors.Is(err, engine.ErrNoFile) {
		r.warn("%s has no %s: what it sent is not known", rows.Sent.Service, rows.Sent.File)
	} else if err != nil {
		return fmt.Errorf("collect %s of %s: %w", rows.Sent.File, rows.Sent.Service, err)
	}
	return r.collectFiles(ctx, rows.Output.Service, rows.Output.Files, history.AtEnd)
}

// collectFiles fetches the files of a service that match the glob.
func (r *run) collectFiles(ctx context.Context, service, glob string, stage history.Stage) error {
	err := r.services[service].home.files(ctx, glob, func(path string, _ int64, content io.Reader) error {
		_, err := r.recorder.Store(service, path, stage, content)
		return err
	})
	if err != nil && !errors.Is(err, engine.ErrNoFile) {
		return fmt.Errorf("collect %s of %s: %w", glob, service, err)
	}
	return nil
}

// runCommand runs one command that the scenario expects something of. That
// it could not be run is for the checks to judge.
func (r *run) runCommand(ctx context.Context, index int, expect scenario.RunExpect) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	event := history.Event{Kind: history.CommandRan, Service: expect.Service, Expect: index, Text: strings.Join(expect.Command, " ")}
	result, err := r.services[expect.Service].home.exec(ctx, expect.Command)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case err != nil:
		event.Stderr = err.Error()
	default:
		event.Code, event.Stdout, event.Stderr = &result.Code, result.Stdout, result.Stderr
	}
	r.recorder.Add(event)
	return nil
}

// commandTime is the longest that a command of an expectation may take.
const commandTime = 60 * time.Second

// collectStable fetches files, restarts their service once more, waits until
// it has come up, and fetches them again.
func (r *run) collectStable(ctx context.Context, expect scenario.StableExpect) error {
	s := r.services[expect.Service]
	if !s.now().running {
		r.warn("%s does not run at the end: whether %s are stable cannot be seen", expect.Service, expect.Files)
		return nil
	}
	if err := r.collectFiles(ctx, expect.Service, expect.Files, history.BeforeStable); err != nil {
		return err
	}
	if err := r.restart(ctx, s, r.readyLine(expect), nil); err != nil {
		return err
	}
	return r.collectFiles(ctx, expect.Service, expect.Files, history.AfterStable)
}

// readyLine is the line with which the service of an expectation says that it
// has come up; empty where it says nothing.
func (r *run) readyLine(expect scenario.StableExpect) string {
	return cmp.Or(expect.Ready, r.facts.Ready[expect.Service])
}

// restart stops a service and starts it once more, and waits until it has come
// up. between is called, where it is not nil, while it is down, with the number
// of the life to come.
func (r *run) restart(ctx context.Context, s *service, ready string, between func(life int) error) error {
	if err := s.Stop(ctx, nil); err != nil {
		return fmt.Errorf("restart %s once more: %w", s.spec.Name, err)
	}
	life := s.now().incarnation + 1
	if between != nil {
		if err := between(life); err != nil {
			return err
		}
	}
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("restart %s once more: %w", s.spec.Name, err)
	}
	return r.awaitReady(ctx, s, life, ready)
}

// collectEach fetches the files of some expectations.
func (r *run) collectEach(ctx context.Context, all []scenario.StableExpect, stage history.Stage) error {
	for _, expect := range all {
		if err := r.collectFiles(ctx, expect.Service, expect.Files, stage); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady waits until a restarted service is up: the log line that says
// so, else its health check, else until it has been quiet for the settle time.
func (r *run) awaitReady(ctx context.Context, s *service, life int, ready string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.scenario.Timeout))
	defer cancel()
	seen, stop := r.watchLife(s.spec.Name, life, ready)
	defer stop()
	settle := time.Duration(r.scenario.Settle)
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case matched := <-seen:
			if matched {
				return nil
			}
			timer.Reset(settle)
		case <-timer.C:
			switch state := s.now(); {
			case ready == "" && (!s.hasHealthcheck || state.healthy):
				return nil
			case state.incarnation >= life && !state.running:
				return nil // it died: its exit and its files say so
			}
			timer.Reset(settle)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				r.warn("%s was not ready %s after one more restart", s.spec.Name, r.scenario.Timeout)
				return nil
			}
			return ctx.Err()
		}
	}
}

// watchLife gives true for the line that says ready and false for any other
// line of one life.
func (r *run) watchLife(service string, life int, ready string) (<-chan bool, func()) {
	seen := make(chan bool, 1)
	found := false
	stop := r.recorder.Watch(func(event history.Event) {
		if found || event.Kind != history.Log || event.Service != service || event.Incarnation != life {
			return
		}
		found = ready != "" && strings.Contains(event.Text, ready)
		if found {
			// The match must not be lost behind a line that nobody has taken.
			select {
			case <-seen:
			default:
			}
		}
		select {
		case seen <- found:
		default:
		}
	})
	return seen, stop
}
