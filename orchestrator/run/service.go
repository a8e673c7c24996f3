package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/fault"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// service is one service of a run, with its container and what is known of
// it from the engine's events. It is the target of faults.
type service struct {
	*group
	spec        system.Service
	home        home
	id          string // container
	environment map[string]string
	// shared is set for the broker that runs share: it has no container here.
	shared bool
	// hasHealthcheck says whether the engine checks its health.
	hasHealthcheck bool
	// interposer is set where crash points are planned for the service.
	interposer *interposer
	// restartLater has it started again whenever it exits by itself.
	restartLater func(after time.Duration)
	// faulted is set once a planned fault was done to it: that it is down is
	// then no reason to give up on it.
	faulted atomic.Bool

	lives     chan int // incarnations whose logs are to be followed
	following sync.WaitGroup
	stop      context.CancelFunc

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever state changes
	state   serviceState
}

type serviceState struct {
	incarnation int  // of the newest start; 0: never started
	starting    bool // the engine was told to start it and has not said yet that it runs
	running     bool
	healthy     bool
	unhealthy   bool // its health check has failed as often as it may
	exitCode    int
	followed    int // the newest incarnation whose log was read to its end
	oom         bool
	restarts    bool // it is started again when it exits
	exits       int  // how many lives have ended
}

func newService(g *group, spec system.Service) *service {
	s := &service{group: g, spec: spec, environment: spec.Environment, changed: make(chan struct{}), stop: func() {}}
	s.home = container{s}
	return s
}

// maxLives bounds how many lives of a service wait to have their logs read: a
// service that dies at once and is restarted by its policy makes many.
const maxLives = 10_000

// see takes an event of the engine into the state and the history.
func (s *service) see(event engine.Event) {
	s.update(func(now *serviceState) {
		switch {
		case event.Action == engine.ActionStart:
			now.incarnation++
			now.starting, now.running, now.healthy, now.unhealthy, now.oom = false, true, false, false, false
			s.recorder.Add(history.Event{Kind: history.Started, Service: s.spec.Name, Incarnation: now.incarnation})
			s.followLater(now.incarnation)
		case event.Action == engine.ActionOOM:
			now.oom = true
		case event.Action == engine.ActionDie:
			now.running, now.healthy, now.exitCode = false, false, event.ExitCode
			now.exits++
			code := event.ExitCode
			s.recorder.Add(history.Event{Kind: history.Exited, Service: s.spec.Name, Incarnation: now.incarnation, Code: &code, Text: exitWords(code, now.oom)})
		case event.Action == engine.ActionHealthy:
			now.healthy, now.unhealthy = true, false
			s.recorder.Add(history.Event{Kind: history.Healthy, Service: s.spec.Name, Incarnation: now.incarnation})
		case event.Action == engine.ActionUnhealthy:
			now.healthy, now.unhealthy = false, true
		}
	})
}

// followLater has the log of a life read, where it is read from the engine.
func (s *service) followLater(life int) {
	if s.lives == nil {
		return
	}
	select {
	case s.lives <- life:
	default:
		s.warn("%s was started more than %d times: the logs of its later lives are not followed", s.spec.Name, maxLives)
	}
}

// exitWords says why a process ended where its exit code tells.
func exitWords(code int, oom bool) string {
	switch {
	case oom:
		return "killed by the kernel: out of memory"
	case code == killedCode:
		return "SIGKILL"
	case code == 143:
		return "SIGTERM"
	case code > 128 && code < 160:
		return fmt.Sprintf("signal %d", code-128)
	}
	return ""
}

func (s *service) update(change func(*serviceState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *service) now() serviceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// await waits until the state is as wanted. An error of the condition ends
// the wait.
func (s *service) await(ctx context.Context, wanted func(serviceState) (bool, error)) error {
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		if ok, err := wanted(state); ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow reads the log of each life to its end, one after the other.
func (s *service) follow(ctx context.Context) {
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = cancel
	s.lives = make(chan int, maxLives)
	s.following.Go(func() {
		defer s.guard("follow the log of " + s.spec.Name)
		var cursor engine.Cursor
		for {
			select {
			case life := <-s.lives:
				s.followLife(following, life, &cursor)
			case <-following.Done():
				return
			}
		}
	})
}

func (s *service) followLife(ctx context.Context, life int, cursor *engine.Cursor) {
	err := s.engine.Logs(ctx, s.id, cursor, func(line engine.Line) {
		s.recorder.Add(history.Event{Kind: history.Log, Service: s.spec.Name, Incarnation: life, Stream: line.Stream, Text: line.Text})
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, engine.ErrNoContainer) {
		s.warn("the log of %s could not be followed: %v", s.spec.Name, err)
	}
	s.update(func(now *serviceState) { now.followed = life })
	s.onRead()
}

func (s *service) stopFollowing() {
	s.stop()
	s.following.Wait()
}

// create makes the container, with its log follower waiting for the start.
func (s *service) create(ctx context.Context) error {
	image, err := s.images.ensure(ctx, s.system.Name, s.spec, s.recorder)
	if err != nil {
		return err
	}
	s.recorder.Meta(func(meta *history.Meta) { meta.SetImage(s.spec.Name, image.ID) })
	s.hasHealthcheck = hasHealthcheck(s.spec, image)
	defer s.recorder.Span(history.SpanContainers, "create "+s.spec.Name)()
	spec := s.spec
	spec.Environment = s.environment
	var entrypoint, command, capabilities []string
	if s.interposer != nil {
		if entrypoint, err = s.interposer.command(image); err != nil {
			return err
		}
		command, capabilities = []string{}, s.interposer.capabilities()
		spec.Init = nil // the interposer is the first process, and acts as an init where one was asked for
		if spec.Limits.PIDs > 0 {
			spec.Limits.PIDs += interpose.Tasks
		}
		spec.Ulimits = withRoom(spec.Ulimits)
		if spec.ReadOnly {
			spec.Mounts = append(slices.Clip(spec.Mounts), system.Mount{Kind: system.MountVolume, Target: interpose.Directory})
		}
	}
	if err := s.copyBinds(ctx, image.ID); err != nil {
		return err
	}
	name := s.name(s.spec.Name)
	making, err := s.making(ctx, &s.made.Containers, name)
	if err != nil {
		return err
	}
	s.id, err = s.engine.Create(making, engine.ContainerSpec{
		Name: name, Labels: s.labelsFor(s.spec.Name), Service: spec, Image: image.ID,
		Networks: s.attachments(), Volumes: s.volumeNames(), Copies: s.copiedBinds(),
		Publish: s.options.Publish, BindRW: s.options.BindRW, Entrypoint: entrypoint, Command: command, CapAdd: capabilities,
	})
	if err != nil {
		return fmt.Errorf("create container of %s: %w", s.spec.Name, err)
	}
	if s.interposer != nil {
		if err := s.interposer.install(ctx); err != nil {
			return err
		}
	}
	s.recorder.Add(history.Event{Kind: history.Created, Service: s.spec.Name})
	s.follow(ctx)
	return nil
}

// awaitDependencies waits as depends_on says.
func (s *service) awaitDependencies(ctx context.Context) error {
	for _, dependency := range s.spec.DependsOn {
		other := s.services[dependency.Service]
		if other == nil {
			continue // not required, and its profile is off
		}
		if err := other.await(ctx, dependencyMet(other, dependency)); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err = other.withTail(ctx, err)
			if !dependency.Required {
				s.warn("%s is started all the same: %v", s.spec.Name, err)
				continue
			}
			return fmt.Errorf("start %s: %w", s.spec.Name, err)
		}
	}
	return nil
}

func dependencyMet(other *service, dependency system.Dependency) func(serviceState) (bool, error) {
	name := dependency.Service
	return func(state serviceState) (bool, error) {
		ended := state.incarnation > 0 && !state.running
		switch dependency.Condition {
		case system.Completed:
			if ended && state.exitCode != 0 {
				return false, fmt.Errorf("%s, which must complete before it, exited with %d", name, state.exitCode)
			}
			return ended, nil
		case system.Healthy:
			down := ended && !other.spec.Restart.Active()
			switch {
			case state.healthy:
				return true, nil
			case !other.shared && !other.hasHealthcheck:
				return false, fmt.Errorf("%s, which must be healthy before it, has no health check: give it one, or depend on service_started", name)
			case other.faulted.Load():
			case down:
				return false, fmt.Errorf("%s, which must be healthy before it, exited with %d", name, state.exitCode)
			case state.unhealthy:
				return false, fmt.Errorf("%s, which must be healthy before it, is unhealthy", name)
			}
			return false, nil
		}
		return state.incarnation > 0, nil
	}
}

// withTail adds a container's last log lines to an error about it. Where they
// are what an interposer leaves that had no room, that is the error.
func (s *service) withTail(ctx context.Context, err error) error {
	lines, tailErr := s.home.tail(ctx, traceLines)
	if errors.Is(err, errNoRoom) || s.interposer != nil && slices.ContainsFunc(lines, interpose.NoRoom) {
		return fmt.Errorf("start %s: %w", s.spec.Name, errNoRoom)
	}
	if tailErr != nil || len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\nlast lines of %s:\n  %s", err, s.spec.Name, strings.Join(lines[max(0, len(lines)-tailLines):], "\n  "))
}

const (
	tailLines  = 10
	traceLines = 1000 // more than Go's runtime says when it gives up
)

// Start starts the container and waits until the engine says that it runs.
// The life before must have ended, and its log must have been read: its last
// lines would be taken for the new life's otherwise.
func (s *service) Start(ctx context.Context) error {
	before := s.now().incarnation
	if err := s.await(ctx, func(state serviceState) (bool, error) {
		return !state.running && state.followed == state.incarnation, nil
	}); err != nil {
		return err
	}
	defer s.recorder.Span(history.SpanContainers, "start "+s.spec.Name)()
	s.update(func(now *serviceState) { now.starting = true })
	if err := s.home.start(ctx, before+1); err != nil {
		s.update(func(now *serviceState) { now.starting = false })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.withTail(ctx, fmt.Errorf("start %s: %w", s.spec.Name, err))
	}
	return s.await(ctx, func(state serviceState) (bool, error) { return state.incarnation > before, nil })
}

// RestartIfExited: see fault.Target.
func (s *service) RestartIfExited(after time.Duration) { s.restartLater(after) }

// life is the incarnation that a fault would hit.
func (s serviceState) life() int {
	if s.starting {
		return s.incarnation + 1
	}
	return s.incarnation
}

// mustRun refuses a fault for a service that is down. It waits for a start
// that is under way: the process may run, and others may have seen it, before
// the engine says so.
func (s *service) mustRun(ctx context.Context) error {
	return s.await(ctx, func(state serviceState) (bool, error) {
		if !state.running && !state.starting {
			return false, fault.ErrNotRunning
		}
		return state.running, nil
	})
}

// Kill sends a signal. After SIGKILL it waits for the death; another signal
// may be handled, so that only a later Start waits for it.
func (s *service) Kill(ctx context.Context, signal string) error {
	if err := s.mustRun(ctx); err != nil {
		return err
	}
	if err := s.home.signal(ctx, signal); err != nil {
		return s.faultError(err)
	}
	if signal != "SIGKILL" {
		return nil
	}
	return s.awaitDeath(ctx)
}

// Stop stops the container and waits for its death.
func (s *service) Stop(ctx context.Context, grace *time.Duration) error {
	if err := s.mustRun(ctx); err != nil {
		return err
	}
	killed, err := s.home.stop(ctx, grace)
	if err != nil {
		return s.faultError(err)
	}
	if killed {
		s.warn("%s did not stop within its grace time and was killed", s.spec.Name)
	}
	return s.awaitDeath(ctx)
}

func (s *service) awaitDeath(ctx context.Context) error {
	life := s.now().incarnation
	return s.await(ctx, func(state serviceState) (bool, error) {
		return !state.running || state.incarnation > life, nil
	})
}

// Pause freezes the container.
func (s *service) Pause(ctx context.Context) error {
	if err := s.mustRun(ctx); err != nil {
		return err
	}
	return s.faultError(s.home.pause(ctx))
}

// Unpause lets it go on.
func (s *service) Unpause(ctx context.Context) error { return s.home.unpause(ctx) }

// Disconnect takes the container off all its networks.
func (s *service) Disconnect(ctx context.Context) error {
	if err := s.mustRun(ctx); err != nil {
		return err
	}
	for _, attachment := range s.attachments() {
		if err := s.home.disconnect(ctx, attachment.Network); err != nil {
			return s.faultError(err)
		}
	}
	return nil
}

// Reconnect connects it again under the names that it had.
func (s *service) Reconnect(ctx context.Context) error {
	for _, attachment := range s.attachments() {
		if err := s.engine.Connect(ctx, s.id, attachment); err != nil {
			return err
		}
	}
	return nil
}

// faultError tells a fault that came for a dead container from trouble.
func (s *service) faultError(err error) error {
	if errors.Is(err, engine.ErrNotRunning) {
		return fault.ErrNotRunning
	}
	return err
}
