package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/killpoint/killpoint/orchestrator/run"
)

// Session runs command lines in this process, several at once if need be.
// Explorations of one session share what campaigns of one command do: the
// connection to the engine, what is known of images, and brokers, which take
// longer to boot than many points take to run. The zero Session is ready.
type Session struct {
	connect func(context.Context, run.Options) (machine, error) // nil: openMachine

	mu      sync.Mutex
	machine machine
	dir     string // where histories grow
}

// Run does one command line, as if killpoint was called with these arguments,
// and gives its exit code. It ends early with ctx.
func (s *Session) Run(ctx context.Context, stdout, stderr io.Writer, arguments ...string) int {
	w := realWorld(arguments, stdout, stderr, nil)
	w.machines = s.open
	return w.run(ctx)
}

// open gives every exploration the one machine.
func (s *Session) open(ctx context.Context, options run.Options) (machine, error) {
	if options.AllowExternal || options.Build {
		return nil, errors.New("--allow-external and --build are for one command alone, not for a session")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine != nil {
		return sharedMachine{s.machine}, nil
	}
	dir, err := os.MkdirTemp("", "killpoint-session-")
	if err != nil {
		return nil, fmt.Errorf("create folder for histories: %w", err)
	}
	options.Dir = dir
	connect := s.connect
	if connect == nil {
		connect = openMachine
	}
	opened, err := connect(ctx, options)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.machine, s.dir = opened, dir
	return sharedMachine{opened}, nil
}

// Close removes what explorations shared. They have ended.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine == nil {
		return nil
	}
	err := errors.Join(s.machine.Close(ctx), os.RemoveAll(s.dir))
	s.machine = nil
	return err
}

// sharedMachine stays when one that used it is done.
type sharedMachine struct{ machine }

// Swept is empty: what was removed belongs to none of those that share.
func (sharedMachine) Swept() []string { return nil }

func (sharedMachine) Close(context.Context) error { return nil }
