package run

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// brokerLink is a run's own view of its broker: a virtual host of it.
type brokerLink struct {
	service     *service // whose container it is; of the shared group when shared
	broker      *broker.Broker
	virtualHost string
	user        string
	shared      *sharedBroker // nil: the run's own
}

func (l *brokerLink) depths(ctx context.Context, queues []string) ([]broker.Depth, error) {
	return l.broker.Depths(ctx, l.virtualHost, queues)
}

// shell runs commands in a service's container.
type shell struct{ service *service }

func (s shell) Exec(ctx context.Context, command []string) (string, string, int, error) {
	result, err := s.service.engine.Exec(ctx, s.service.id, engine.ExecSpec{Command: command})
	return result.Stdout, result.Stderr, result.Code, err
}

func (s shell) Stream(ctx context.Context, command []string) (broker.Stream, error) {
	return s.service.engine.ExecStream(ctx, s.service.id, engine.ExecSpec{Command: command})
}

// sharedBrokers are the brokers that runs of one orchestrator share, one for
// each definition of a broker's service.
type sharedBrokers struct {
	orchestrator *Orchestrator
	mu           sync.Mutex
	brokers      map[string]*sharedBroker
}

// sharedBroker is a broker in a group of its own, booted by the first run
// that wants it and removed when the orchestrator is closed.
type sharedBroker struct {
	mu     sync.Mutex
	booted bool
	err    error
	group  *group
	broker *broker.Broker
	main   *service
	dir    string
}

func newSharedBrokers(o *Orchestrator) *sharedBrokers {
	return &sharedBrokers{orchestrator: o, brokers: map[string]*sharedBroker{}}
}

// get gives the shared broker of a system, booting it when nobody has. A
// boot that was cut short by its own run's end is tried again by the next.
func (b *sharedBrokers) get(ctx context.Context, sys *system.System, spec system.Service, recorder *history.Recorder) (*sharedBroker, error) {
	key, err := brokerKey(sys, spec)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	one := b.brokers[key]
	if one == nil {
		one = &sharedBroker{}
		b.brokers[key] = one
	}
	b.mu.Unlock()

	defer recorder.Span(history.SpanBroker, "shared")()
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.booted {
		return one, one.err
	}
	err = one.boot(ctx, b.orchestrator, sys, spec, recorder)
	if err != nil {
		one.remove(ctx)
		if ctx.Err() != nil {
			return nil, err
		}
	}
	one.booted, one.err = true, err
	return one, err
}

// brokerKey is the same for brokers that are alike in everything.
func brokerKey(sys *system.System, spec system.Service) (string, error) {
	text, err := json.Marshal([]any{sys.Dir, spec})
	if err != nil {
		return "", fmt.Errorf("describe broker %s: %w", spec.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func (s *sharedBroker) boot(ctx context.Context, o *Orchestrator, sys *system.System, spec system.Service, recorder *history.Recorder) (err error) {
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}()
	if s.dir, err = os.MkdirTemp("", "killpoint-broker-"); err != nil {
		return fmt.Errorf("create folder for the shared broker: %w", err)
	}
	// A shared broker outlives this run: its events are kept apart.
	s.group = o.newGroup("broker-"+newRunID(), "", sys, history.NewRecorder(history.Meta{}, s.dir))
	s.group.abort = abort
	spec.DependsOn = nil
	image, err := o.images.ensure(ctx, sys.Name, spec, recorder)
	if err != nil {
		return err
	}
	// Once it is up nobody asks for its health any more, and a check every
	// second takes a part of the machine that runs can use.
	check := healthcheck(spec, image)
	spec.Healthcheck = &system.Healthcheck{Test: []string{"NONE"}}
	s.main = newService(s.group, spec)
	if err := s.group.create(ctx, []*service{s.main}); err != nil {
		return err
	}
	if err := s.group.watch(ctx); err != nil {
		return err
	}
	recorder.Add(history.Event{Kind: history.Phase, Text: "booting the broker that runs share"})
	if err := s.main.Start(ctx); err != nil {
		return err
	}
	if err := s.main.becomeHealthy(ctx, check); err != nil {
		return err
	}
	s.broker = broker.Open(shell{s.main})
	return nil
}

func (s *sharedBroker) remove(ctx context.Context) error {
	if s.broker != nil {
		s.broker.Close()
	}
	if s.group != nil {
		s.group.remove(ctx)
		for _, event := range s.group.recorder.History().Events {
			if event.Kind == history.Unremoved {
				return errors.New(event.Text)
			}
		}
	}
	return os.RemoveAll(s.dir)
}

func (b *sharedBrokers) close(ctx context.Context) error {
	ctx, cancel := removalContext(ctx)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed error
	for key, one := range b.brokers {
		if one.booted && one.err == nil && !b.orchestrator.options.Keep {
			failed = errors.Join(failed, one.remove(ctx))
		}
		delete(b.brokers, key)
	}
	return failed
}

// awaitHealthy waits until the service's health check passes; a service
// without one only has to run.
func (s *service) awaitHealthy(ctx context.Context) error {
	checked := s.hasHealthcheck
	err := s.await(ctx, func(state serviceState) (bool, error) {
		if state.incarnation > 0 && !state.running {
			return false, fmt.Errorf("%s exited with %d before it was healthy", s.spec.Name, state.exitCode)
		}
		if state.unhealthy {
			return false, fmt.Errorf("%s is unhealthy", s.spec.Name)
		}
		return state.healthy || state.running && !checked, nil
	})
	if err != nil && ctx.Err() == nil {
		return s.withTail(ctx, err)
	}
	return err
}

// becomeHealthy makes a health check of a service as the engine would, but only
// until it passes; nil for none, with which the service only has to run.
func (s *service) becomeHealthy(ctx context.Context, check *system.Healthcheck) error {
	if check == nil {
		return s.awaitHealthy(ctx)
	}
	command := check.Test[1:]
	if check.Test[0] == "CMD-SHELL" {
		command = append([]string{"/bin/sh", "-c"}, command...)
	}
	interval := cmp.Or(check.Interval, engineInterval)
	patience := check.StartPeriod + time.Duration(cmp.Or(check.Retries, engineRetries))*interval
	for began := time.Now(); ; {
		asking, cancel := context.WithTimeout(ctx, cmp.Or(check.Timeout, engineInterval))
		result, err := s.engine.Exec(asking, s.id, engine.ExecSpec{Command: command})
		cancel()
		state := s.now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !state.running:
			return s.withTail(ctx, fmt.Errorf("%s exited with %d before it was healthy", s.spec.Name, state.exitCode))
		case err == nil && result.Code == 0:
			return nil
		case time.Since(began) > patience:
			return s.withTail(ctx, fmt.Errorf("%s is unhealthy", s.spec.Name))
		}
		select {
		case <-time.After(min(interval, healthPause)):
		case <-ctx.Done():
		}
	}
}

const (
	// What an engine takes where a health check says nothing: its interval,
	// which is its timeout too, and how many failures in a row are too many.
	engineInterval = 30 * time.Second
	engineRetries  = 3

	healthPause = 500 * time.Millisecond
)

// mayShare says whether this run can use a broker that others use too: the
// system allows it, and nothing in the scenario is about the broker itself.
func (r *run) mayShare() bool {
	facts := r.facts.Broker
	if facts == nil || !facts.Share || facts.URLEnv == "" {
		return false
	}
	for _, planned := range r.scenario.Faults {
		if planned.Service == facts.Service || planned.When.Service == facts.Service {
			return false
		}
	}
	expect := r.scenario.Expect
	for _, log := range expect.Logs {
		if log.Service == facts.Service {
			return false
		}
	}
	for _, command := range expect.Run {
		if command.Service == facts.Service {
			return false
		}
	}
	for _, stable := range expect.Stable {
		if stable.Service == facts.Service {
			return false
		}
	}
	_, exits := expect.Exits[facts.Service]
	return !exits
}

// address is what the services are told of the broker: the user and the
// virtual host in the first URL found.
func (r *run) address() (broker.Address, error) {
	variable := r.facts.Broker.URLEnv
	for _, spec := range r.system.Services {
		if text := spec.Environment[variable]; text != "" {
			address, err := broker.ParseURL(text)
			if err != nil {
				return address, fmt.Errorf("%s of %s: %w", variable, spec.Name, err)
			}
			return address, nil
		}
	}
	return broker.Address{User: "guest", VirtualHost: "/"}, nil
}

// withVirtualHost gives a service's environment with the broker's URL
// pointing at another virtual host.
func (r *run) withVirtualHost(spec system.Service, virtualHost string) (map[string]string, error) {
	variable := r.facts.Broker.URLEnv
	text := spec.Environment[variable]
	if text == "" {
		return spec.Environment, nil
	}
	changed, err := broker.WithVirtualHost(text, virtualHost)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", variable, spec.Name, err)
	}
	environment := map[string]string{}
	for name, value := range spec.Environment {
		environment[name] = value
	}
	environment[variable] = changed
	return environment, nil
}
