package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

const (
	// drainTimeout bounds how long the end of the container is put off so that the last events get out of it.
	drainTimeout = 2 * time.Second
	// killTimeout bounds the wait for killed processes to be gone.
	killTimeout = 10 * time.Second
)

// supervisor is the container's first process: it starts the program, passes signals on to it, reaps, and ends as the program ends.
type supervisor struct {
	plan     interpose.Plan
	command  []string
	events   *eventLog
	control  *control
	features interpose.Features
	signals  chan os.Signal
	terminal bool

	// engine and child belong to the program that runs; child is 0 when none does.
	engine *engine
	child  int
	// output is set where the program's lines are reported, and original where what it changes is kept.
	output   *output
	original *originals
}

// supervise runs the command until it ends and returns the exit code that the container is to have.
func supervise(plan interpose.Plan, command []string) (int, error) {
	s := &supervisor{plan: plan, command: command, events: newEventLog(), signals: make(chan os.Signal, 64)}
	makeThreads(ownThreads)
	signal.Notify(s.signals)
	// The engine keeps one for itself even while it waits.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 4))
	s.features = probe()
	var err error
	if s.control, err = listenControl(plan.ID, s.events); err != nil {
		return 0, err
	}
	if err := probeFilter(&s.features); err != nil {
		return s.giveUp(err), nil
	}
	s.events.add(interpose.Event{Kind: interpose.Hello, Incarnation: plan.Incarnation, Features: &s.features})
	if !s.features.FirstProcess {
		// Orphans of the program stay its own only this way.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return s.giveUp(fmt.Errorf("become subreaper: %w", err)), nil
		}
	}
	s.leaveTerminal()
	if plan.AwaitClient {
		s.awaitClient()
	}
	if plan.Idle {
		return s.watch(), nil
	}
	if err := s.start(plan); err != nil {
		return s.giveUp(err), nil
	}
	return s.watch(), nil
}

// makeThreads has so many threads at once, all of which stay, and none of which has the slack of patience. For the first process it is as many as the interposer will ever need: a limit on processes and threads that is too low for them stops it here, when nothing has been started, by an error of Go's runtime that interpose.NoRoom knows.
func makeThreads(count int) {
	var made, ended sync.WaitGroup
	made.Add(count)
	for range count {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			giveSlack()
			made.Done()
			made.Wait()
		})
	}
	ended.Wait()
}

// ownThreads leaves, of interpose.Tasks, some for those that run before and for the command that reaches the interposer.
const ownThreads = interpose.Tasks - 16

// giveUp reports why there is no program, to the orchestrator and to the container's log.
func (s *supervisor) giveUp(err error) int {
	complain(err)
	s.events.add(interpose.Event{Kind: interpose.Failed, Incarnation: s.plan.Incarnation, Message: err.Error()})
	s.drain()
	var failure *startFailure
	if errors.As(err, &failure) {
		return failure.Code
	}
	return exitTrouble
}

// awaitClient waits for the orchestrator, or for whoever stops the container instead.
func (s *supervisor) awaitClient() {
	for {
		select {
		case <-s.control.attached:
			return
		case received := <-s.signals:
			s.pass(received.(syscall.Signal))
		}
	}
}

func (s *supervisor) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	s.events.drain(ctx)
}

// leaveTerminal gives the container's terminal, where it has one, up to the program, which becomes its session leader as it would have been.
func (s *supervisor) leaveTerminal() {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil || !s.features.FirstProcess {
		return
	}
	// Giving it up sends SIGHUP to this process, which takes no harm from it.
	s.terminal = unix.IoctlSetInt(0, unix.TIOCNOTTY, 0) == nil
}

// start starts the program with a plan.
func (s *supervisor) start(plan interpose.Plan) error {
	wanted := wantedKinds(plan, s.features)
	if wanted&kindSocket != 0 && !s.features.DescriptorCopy {
		return errors.New("watch AMQP frames: pidfd_getfd is not allowed: give the container the capability SYS_PTRACE (cap_add: [SYS_PTRACE])")
	}
	channel, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	defer unix.Close(channel[0])
	if s.output = nil; plan.Lines {
		if s.output, err = openOutput(); err != nil {
			return err
		}
	}
	child, err := s.fork(channel[1])
	unix.Close(channel[1])
	if err != nil {
		return err
	}
	if s.output != nil {
		s.output.follow(plan.Incarnation, s.events)
	}
	trapped, _ := selectCalls(wanted)
	if err := sendFilter(channel[0], buildFilter(trapped, wanted)); err != nil {
		return err
	}
	listener, err := receiveListener(channel[0])
	if err != nil {
		return err
	}
	setSyncWakeUp(listener)
	s.plan, s.child = plan, child
	s.engine = newEngine(plan, listener, s.events, s.features)
	if s.output != nil {
		s.engine.places.standard = s.output.names
	}
	if plan.Originals != nil {
		if s.original == nil {
			s.original = newOriginals()
		}
		s.original.except = newPatterns(plan.Originals.Except)
		s.engine.places.original = s.original
	}
	if _, err := unix.Write(channel[0], []byte{1}); err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	if wanted&kindExec != 0 {
		admitExec(listener)
	}
	if err := awaitExec(channel[0]); err != nil {
		close(s.engine.done) // it has nothing to serve
		return err
	}
	// The program's first trapped call waits until here, so that no event comes before this one.
	s.events.add(interpose.Event{Kind: interpose.Started, Incarnation: plan.Incarnation, PID: child})
	go s.engine.serve()
	return nil
}

// admitExec lets the child become the program, or fail to.
func admitExec(listener int) {
	n := new(notification)
	for {
		switch receive(listener, n) {
		case 0:
			proceed(listener, n.id)
			return
		case unix.EINTR:
		default:
			return // it has ended
		}
	}
}

// fork starts the child that becomes the program. It is the leader of its own session, as the first process of a container is.
func (s *supervisor) fork(channel int) (int, error) {
	attributes := &syscall.SysProcAttr{Setsid: true, Setctty: s.terminal, Ctty: 0}
	if !s.features.FirstProcess {
		attributes.Pdeathsig = syscall.SIGKILL
	}
	arguments := append([]string{interpose.Name, "child", "--"}, s.command...)
	files := []uintptr{0, 1, 2, uintptr(channel)}
	if s.output != nil {
		files[1], files[2] = uintptr(s.output.program[0]), uintptr(s.output.program[1])
	}
	child, err := syscall.ForkExec("/proc/self/exe", arguments, &syscall.ProcAttr{
		Env: os.Environ(), Files: files, Sys: attributes,
	})
	if err != nil {
		return 0, fmt.Errorf("start program: %w", err)
	}
	return child, nil
}

// watch goes on until the program has ended for good, and returns its exit code.
func (s *supervisor) watch() int {
	for {
		// A child may have ended before the loop was there to hear of it.
		if code, ended := s.reap(); ended && !s.plan.Stay {
			s.drain()
			return code
		}
		select {
		case received := <-s.signals:
			s.pass(received.(syscall.Signal))
		case request := <-s.control.requests:
			s.obey(request)
		}
	}
}

// reap collects every process that has ended and returns the program's exit code if the program is among them.
func (s *supervisor) reap() (code int, ended bool) {
	for {
		var status unix.WaitStatus
		process, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || process <= 0 {
			return code, ended
		}
		if process != s.child || s.child == 0 {
			continue
		}
		code, ended = status.ExitStatus(), true
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
		s.ended(code)
	}
}

// ended reports the end of the program. What it leaves behind dies with the container, or here when that goes on.
func (s *supervisor) ended(code int) {
	s.child = 0
	counts := s.engine.counts()
	if s.plan.Stay || !s.features.FirstProcess {
		if err := s.killAll(); err != nil {
			s.events.add(interpose.Event{Kind: interpose.Failed, Incarnation: s.plan.Incarnation, Message: err.Error()})
		}
	}
	s.events.add(interpose.Event{Kind: interpose.Exited, Incarnation: s.plan.Incarnation, Code: code, Counts: counts})
}

// pass gives a signal on to the program.
func (s *supervisor) pass(received syscall.Signal) {
	switch received {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
		return // the first is for reaping; Go's runtime sends itself the second; the third is about a broken client
	}
	if s.child == 0 {
		if received == unix.SIGTERM || received == unix.SIGINT {
			os.Exit(128 + int(received)) // nothing runs, and whoever stops the container is not to wait
		}
		return
	}
	if s.features.FirstProcess && !s.plan.Init && !handles(s.child, received) {
		return // a first process without a handler never gets the signal, and this program was to be one
	}
	_ = unix.Kill(s.child, received)
}

// handles reports whether the process has a handler for the signal.
func handles(process int, received syscall.Signal) bool {
	caught, err := caughtSignals(process)
	return err == nil && caught&(1<<(uint(received)-1)) != 0
}

// obey carries out a command.
func (s *supervisor) obey(r request) {
	var err error
	var answer interpose.Event
	switch r.Name {
	case interpose.CommandArm:
		err = s.running(func() (err error) {
			answer.Counts, err = s.engine.arm(r.Points)
			return err
		})
	case interpose.CommandRelease:
		err = s.running(s.engine.releaseHeld)
	case interpose.CommandLose:
		err = s.running(func() (err error) {
			answer.Lost, err = s.engine.loseHeld(r.Lose)
			return err
		})
	case interpose.CommandKill:
		err = s.kill()
	case interpose.CommandFreeze:
		err = s.running(s.freeze)
	case interpose.CommandSignal:
		err = s.running(func() error {
			s.pass(syscall.Signal(r.Signal))
			return nil
		})
	case interpose.CommandPutBack:
		err = s.putBack()
	case interpose.CommandStart:
		err = s.startAgain(r.Plan)
	default:
		err = fmt.Errorf("unknown command %q", r.Name)
	}
	if err != nil {
		answer.Message = err.Error()
	}
	r.reply(answer)
}

func (s *supervisor) running(do func() error) error {
	if s.child == 0 {
		return interpose.ErrNoProgram
	}
	return do()
}

// kill ends the program as the death of its container would: everything stops first, so that no process does anything when another is dead already.
func (s *supervisor) kill() error {
	if s.child == 0 {
		return interpose.ErrNoProgram
	}
	if err := s.engine.freeze(); err != nil {
		return err
	}
	counts := s.engine.counts()
	if err := s.killAll(); err != nil {
		return err
	}
	s.events.add(interpose.Event{Kind: interpose.Killed, Incarnation: s.plan.Incarnation, Counts: counts})
	return nil
}

// freeze stops the program as kill does, and leaves the rest to whoever kills the container.
func (s *supervisor) freeze() error {
	if err := s.engine.freeze(); err != nil {
		return err
	}
	if s.output != nil {
		if err := s.output.settle(); err != nil {
			return err
		}
	}
	s.events.add(interpose.Event{
		Kind: interpose.Frozen, Incarnation: s.plan.Incarnation, Counts: s.engine.counts(), Changed: s.original != nil && s.original.lasting(),
	})
	return nil
}

// killAll kills every process of the program, reaps them, and ends the engine.
func (s *supervisor) killAll() error {
	s.child = 0
	deadline := time.Now().Add(killTimeout)
	for {
		processes, err := descendants(os.Getpid())
		if err != nil {
			return err
		}
		if len(processes) == 0 {
			break
		}
		for _, process := range processes {
			_ = unix.Kill(process, unix.SIGKILL)
		}
		s.reap()
		if time.Now().After(deadline) {
			return fmt.Errorf("kill program: %d processes did not end within %v", len(processes), killTimeout)
		}
		pause()
	}
	s.engine.stop()
	if s.output != nil {
		s.output.finish()
		s.output = nil
	}
	return nil
}

func (s *supervisor) startAgain(plan *interpose.Plan) error {
	if s.child != 0 {
		return errors.New("start: the program still runs")
	}
	if plan == nil {
		return errors.New("start: no plan given")
	}
	if err := plan.Validate(); err != nil {
		return err
	}
	if plan.ID != s.plan.ID {
		return fmt.Errorf("start: plan %q is not for this container (%q)", plan.ID, s.plan.ID)
	}
	s.events.letGo()
	if plan.Fresh {
		var volumes []pattern
		if plan.Originals != nil {
			volumes = newPatterns(plan.Originals.Except)
		}
		if err := freshen(volumes); err != nil {
			return err
		}
	}
	return s.start(*plan)
}

// putBack makes what the program has changed what it was.
func (s *supervisor) putBack() error {
	if s.child != 0 {
		return errors.New("put files back: the program still runs")
	}
	if s.original == nil {
		return nil
	}
	return s.original.putBack()
}
