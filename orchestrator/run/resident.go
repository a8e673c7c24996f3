package run

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// resident is a place on a bed: a container that stays, in which the
// interposer starts and kills the program of one service, again and again. It
// is the home of that service in the trial that is under way.
type resident struct {
	bed   *Bed
	spec  system.Service
	made  *service // the container, in the bed's own group
	image engine.Image
	// volumes are the directories whose contents the bed puts back, those of
	// which restores are done by this resident first.
	volumes  []string
	restores []string

	tenant atomic.Pointer[service] // of the trial under way
	gone   chan struct{}           // closed when the interposer is
	frozen chan interpose.Event    // what the interposer says when it has stopped the program
	// dies says that a SIGKILL is one of the container; see killedTarget.
	dies bool

	mu      sync.Mutex
	client  *interpose.Client
	dying   bool // the end of the interposer is no surprise
	spent   bool // the container serves no other trial
	running bool
	changed chan struct{} // closed and replaced when running changes
	leaving bool          // it was asked to stop: its end is no reason to start it again
	again   int           // how often its restart policy has started it in this trial
}

func newResident(b *Bed, made *service) *resident {
	return &resident{bed: b, spec: made.spec, made: made, changed: make(chan struct{}), frozen: make(chan interpose.Event, 1)}
}

// link is the connection to the interposer.
func (r *resident) link() *interpose.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

// open connects to the interposer of the container, which has just started.
func (r *resident) open(ctx context.Context) error {
	stream, err := r.bed.engine.ExecStream(context.WithoutCancel(ctx), r.made.id, engine.ExecSpec{Command: interpose.ControlCommand(r.made.interposer.planID())})
	if err != nil {
		return fmt.Errorf("reach the interposer in %s: %w", r.spec.Name, err)
	}
	client, err := interpose.NewClient(stream, 0)
	if err != nil {
		return fmt.Errorf("reach the interposer in %s: %w", r.spec.Name, err)
	}
	gone := make(chan struct{})
	r.mu.Lock()
	r.client, r.gone, r.dying, r.running = client, gone, false, false
	r.mu.Unlock()
	hello := make(chan error, 1)
	go func() {
		defer close(gone)
		defer r.bed.group.guard("hear the interposer of " + r.spec.Name)
		r.hear(client, hello)
	}()
	select {
	case err := <-hello:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hear takes the interposer's events in, for as long as the container lasts.
func (r *resident) hear(client *interpose.Client, hello chan<- error) {
	for event := range client.Events() {
		switch event.Kind {
		case interpose.Hello:
			hello <- nil
		case interpose.Started:
			r.set(true)
		case interpose.Frozen:
			r.frozen <- event
			continue
		}
		if event.Kind == interpose.Failed {
			err := fmt.Errorf("the interposer of %s cannot go on: %s", r.spec.Name, event.Message)
			select {
			case hello <- err:
			default:
			}
			r.bed.fail(err)
		}
		if s := r.tenant.Load(); s != nil {
			r.tell(s, event)
		}
		if event.Kind == interpose.Exited || event.Kind == interpose.Killed {
			r.set(false)
		}
	}
	err := fmt.Errorf("the interposer of %s is gone: %w", r.spec.Name, client.Err())
	select {
	case hello <- err:
	default:
	}
	r.mu.Lock()
	expected := r.dying
	r.mu.Unlock()
	if !expected {
		r.bed.fail(err)
	}
}

// tell takes an event into the trial under way.
func (r *resident) tell(s *service, event interpose.Event) {
	switch event.Kind {
	case interpose.Started:
		s.see(engine.Event{Action: engine.ActionStart})
		r.checkHealth(s, event.Incarnation)
	case interpose.Line:
		s.recorder.Add(history.Event{Kind: history.Log, Service: s.spec.Name, Incarnation: event.Incarnation, Stream: event.Stream, Text: event.Message})
	case interpose.Exited, interpose.Killed:
		if event.Kind == interpose.Killed {
			event.Code = killedCode
		}
		if s.interposer != nil {
			s.interposer.count(event)
			s.interposer.unlinked()
		}
		s.see(engine.Event{Action: engine.ActionDie, ExitCode: event.Code})
		// Every line came before this.
		s.update(func(now *serviceState) { now.followed = event.Incarnation })
		s.onRead()
		r.obeyPolicy(s, event)
	case interpose.Coverage:
		s.cover(event)
	default:
		if s.interposer != nil {
			s.interposer.take(event)
		}
	}
}

func (r *resident) set(running bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = running
	close(r.changed)
	r.changed = make(chan struct{})
}

// awaitEnd waits until no program runs here, and says false when it does not
// come to that in time.
func (r *resident) awaitEnd(ctx context.Context, most time.Duration) (bool, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		r.mu.Lock()
		running, changed := r.running, r.changed
		r.mu.Unlock()
		if !running {
			return true, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// obeyPolicy starts a program again that has ended by itself, as the engine
// would: it knows nothing of programs inside a container that goes on.
func (r *resident) obeyPolicy(s *service, event interpose.Event) {
	policy := r.spec.Restart
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case event.Kind == interpose.Killed || r.leaving || !policy.Active():
		return
	case policy.Name == "on-failure" && (event.Code == 0 || policy.MaxRetries > 0 && r.again >= policy.MaxRetries):
		return
	}
	pause := min(firstRestartPause<<r.again, lastRestartPause)
	r.again++
	time.AfterFunc(pause, func() {
		if r.tenant.Load() == s && !s.now().running {
			_ = s.Start(context.Background()) // a program that cannot be started ends with an event of its own
		}
	})
}

// How long the engine waits before it starts an exited container again.
const (
	firstRestartPause = 100 * time.Millisecond
	lastRestartPause  = time.Minute
)

// checkHealth does the service's health check beside its program until it
// passes, more often than the engine would: a trial is shorter than the
// interval of most checks.
func (r *resident) checkHealth(s *service, life int) {
	check := r.spec.Healthcheck
	if check == nil || len(check.Test) == 0 {
		check = r.image.Healthcheck
	}
	if !s.hasHealthcheck || check == nil {
		return
	}
	command := slices.Clone(check.Test[1:])
	if check.Test[0] == "CMD-SHELL" {
		command = []string{"/bin/sh", "-c", strings.Join(check.Test[1:], " ")}
	}
	limit := cmp.Or(check.Timeout, defaultHealthTimeout)
	patience := healthPatience(check)
	client := r.link()
	go func() {
		defer s.guard("check the health of " + s.spec.Name)
		ctx, over := context.WithTimeout(context.Background(), patience)
		defer over()
		go func() {
			defer over()
			s.await(ctx, func(now serviceState) (bool, error) { return !now.running || now.incarnation != life, nil })
		}()
		for pause := firstHealthPause; ; pause = min(2*pause, longHealthPause) {
			trying, cancel := context.WithTimeout(ctx, limit)
			result, err := client.Exec(trying, command)
			cancel()
			switch {
			case r.tenant.Load() != s, errors.Is(ctx.Err(), context.Canceled):
				return // the trial or the life is over
			case ctx.Err() != nil:
				s.see(engine.Event{Action: engine.ActionUnhealthy})
				return
			case err == nil && result.Code == 0:
				s.see(engine.Event{Action: engine.ActionHealthy})
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
}

// healthPatience is how long a program may take to become healthy: as long as
// the engine would wait, and no less than what a machine that is busy with
// other trials may need. The engine gives a check that comes late more time,
// because it counts the checks that failed.
func healthPatience(check *system.Healthcheck) time.Duration {
	retries, interval := max(check.Retries, 3), max(cmp.Or(check.Interval, defaultHealthInterval), time.Second)
	return max(check.StartPeriod+time.Duration(retries)*interval, residentPatience)
}

// How often a health check is tried, and what Docker takes for what a check
// does not say.
const (
	firstHealthPause      = 5 * time.Millisecond
	longHealthPause       = 200 * time.Millisecond
	defaultHealthTimeout  = 30 * time.Second
	defaultHealthInterval = 30 * time.Second
)

// plan is what a life on the bed is started with, on top of the points that a
// trial plans for it.
func (r *resident) plan(plan interpose.Plan) interpose.Plan {
	plan.ID, plan.AwaitClient, plan.Stay, plan.Lines, plan.Fresh = r.made.interposer.planID(), true, true, true, true
	plan.Init = r.spec.Init != nil && *r.spec.Init
	plan.Originals = &interpose.Originals{}
	for _, volume := range r.volumes {
		plan.Originals.Except = append(plan.Originals.Except, path.Join(scenario.LiteralPattern(volume), "**"))
	}
	return plan
}

// reset ends what runs here and forgets the trial.
func (r *resident) reset(ctx context.Context) error {
	r.tenant.Store(nil)
	r.mu.Lock()
	running := r.running
	r.leaving, r.again = false, 0
	r.mu.Unlock()
	if !running {
		return nil
	}
	if err := r.kill(ctx); err != nil {
		return err
	}
	if ended, err := r.awaitEnd(ctx, residentPatience); err != nil || !ended {
		return errors.Join(err, fmt.Errorf("end %s: it did not end within %s", r.spec.Name, residentPatience))
	}
	return nil
}

// residentPatience bounds what the interposer does at once.
const residentPatience = 15 * time.Second

// kill kills the program. That it had just ended by itself is no error.
func (r *resident) kill(ctx context.Context) error {
	err := r.link().Kill(ctx)
	if errors.Is(err, interpose.ErrNoProgram) {
		return nil
	}
	return err
}

// end ends the program as a fault asks for.
func (r *resident) end(ctx context.Context) error {
	if r.dies {
		return r.dieWithContainer(ctx)
	}
	return r.kill(ctx)
}

// putBack makes the files what they were when the bed was made.
func (r *resident) putBack(ctx context.Context) error {
	if err := r.link().PutBack(ctx); err != nil {
		return fmt.Errorf("put files of %s back: %w", r.spec.Name, err)
	}
	if len(r.restores) == 0 {
		return nil
	}
	if err := r.link().Restore(ctx, startKey, r.restores...); err != nil {
		return fmt.Errorf("put volumes of %s back: %w", r.spec.Name, err)
	}
	return nil
}

// remember keeps what is in the volumes, while no program runs.
func (r *resident) remember(ctx context.Context, key string) error {
	if err := r.link().Snapshot(ctx, key, r.volumes...); err != nil {
		return fmt.Errorf("keep what is in the volumes of %s: %w", r.spec.Name, err)
	}
	return nil
}

// recall puts it back, while no program runs.
func (r *resident) recall(ctx context.Context, key string) error {
	if err := r.link().Restore(ctx, key, r.volumes...); err != nil {
		return fmt.Errorf("put volumes of %s back: %w", r.spec.Name, err)
	}
	return nil
}

// The rest is home.

func (r *resident) start(ctx context.Context, life int) error {
	s := r.tenant.Load()
	if s == nil {
		return errors.New("its trial is over")
	}
	plan := interpose.Plan{Incarnation: life}
	if s.interposer != nil {
		plan = s.interposer.plan(life)
	}
	r.mu.Lock()
	r.leaving = false
	r.mu.Unlock()
	if r.dies {
		if err := r.wake(ctx); err != nil {
			return err
		}
	}
	client := r.link()
	if err := client.Start(ctx, r.plan(plan)); err != nil {
		return err
	}
	if s.interposer != nil {
		return s.interposer.linkedTo(ctx, client)
	}
	return nil
}

func (r *resident) signal(ctx context.Context, name string) error {
	if name == "SIGKILL" {
		return r.end(ctx)
	}
	return r.link().Signal(ctx, int(unix.SignalNum(name)))
}

func (r *resident) stop(ctx context.Context, grace *time.Duration) (killed bool, err error) {
	if grace == nil {
		if grace = r.spec.StopGracePeriod; grace == nil {
			usual := defaultGrace
			grace = &usual
		}
	}
	r.mu.Lock()
	r.leaving = true
	r.mu.Unlock()
	name := r.spec.StopSignal
	if name == "" {
		name = r.image.StopSignal
	}
	number := unix.SignalNum(name)
	if number == 0 {
		number = unix.SIGTERM
	}
	if err := r.link().Signal(ctx, int(number)); err != nil && !errors.Is(err, interpose.ErrNoProgram) {
		return false, err
	}
	ended, err := r.awaitEnd(ctx, *grace)
	if err != nil || ended {
		return false, err
	}
	return true, r.end(ctx)
}

// defaultGrace is how long Docker waits between the two signals of a stop.
const defaultGrace = 10 * time.Second

// errNotInPlace says what only a container of a run's own can do.
var errNotInPlace = errors.New("it cannot be done in place, where only the program is a trial's own")

func (r *resident) pause(context.Context) error              { return errNotInPlace }
func (r *resident) unpause(context.Context) error            { return errNotInPlace }
func (r *resident) disconnect(context.Context, string) error { return errNotInPlace }

func (r *resident) exec(ctx context.Context, command []string) (engine.ExecResult, error) {
	if r.down() {
		return engine.ExecResult{}, errDown
	}
	done, err := r.link().Exec(ctx, command)
	return engine.ExecResult{Code: done.Code, Stdout: string(done.Stdout), Stderr: string(done.Stderr)}, err
}

func (r *resident) copyFrom(ctx context.Context, file string, each func(*tar.Header, io.Reader) error) error {
	if r.down() {
		return r.bed.engine.CopyFrom(ctx, r.made.id, file, each)
	}
	files, err := r.link().Read(ctx, scenario.LiteralPattern(file))
	if errors.Is(err, interpose.ErrTooLarge) {
		return r.bed.engine.CopyFrom(ctx, r.made.id, file, each)
	}
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return engine.ErrNoFile
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Base(file), Size: int64(len(files[0].Data)), ModTime: files[0].Modified}
	return each(header, bytes.NewReader(files[0].Data))
}

func (r *resident) files(ctx context.Context, glob string, each func(string, int64, io.Reader) error) error {
	if r.down() {
		return r.bed.engine.Files(ctx, r.made.id, glob, each)
	}
	files, err := r.link().Read(ctx, glob)
	if errors.Is(err, interpose.ErrTooLarge) {
		return r.bed.engine.Files(ctx, r.made.id, glob, each)
	}
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return engine.ErrNoFile
	}
	for _, file := range files {
		if err := each(file.Path, int64(len(file.Data)), bytes.NewReader(file.Data)); err != nil {
			return err
		}
	}
	return nil
}

func (r *resident) sums(ctx context.Context, glob string, each func(string, int64, string)) error {
	files, err := r.link().Sums(ctx, glob)
	for _, file := range files {
		each(file.Path, file.Size, file.Sum)
	}
	return err
}

// tail is the last lines of the trial's own history.
func (r *resident) tail(_ context.Context, lines int) ([]string, error) {
	s := r.tenant.Load()
	if s == nil {
		return nil, nil
	}
	var last []string
	for _, event := range s.recorder.History().Events {
		if event.Kind == history.Log && event.Service == r.spec.Name {
			last = append(last, event.Text)
		}
	}
	return last[max(0, len(last)-lines):], nil
}
