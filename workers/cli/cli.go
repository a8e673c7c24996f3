// Package cli is the worker command: one binary with a subcommand for each
// service of the pipeline. It reads the environment, says what is wrong with
// it, and turns signals and errors into an end; the work is left to the other
// packages.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/testrunner"
	"github.com/killpoint/killpoint/workers/worker1"
	"github.com/killpoint/killpoint/workers/worker2"
	"github.com/killpoint/killpoint/workers/worker3"
)

// Exit codes.
const (
	exitOK      = 0 // done, or stopped when asked to
	exitFailed  = 1 // could not do its work; verify: something is wrong
	exitUsage   = 2 // wrong arguments or settings; nothing was done
	exitAborted = 3 // a second signal came before the work in hand was finished
)

const usage = `usage: worker COMMAND

  test-runner   send chunks into the pipeline and record what was confirmed
  worker-1      forward queue-0-1 to queue-1-2
  worker-2      write chunks from queue-1-2 into partition files, forward them to queue-2-3
  worker-3      check that the chunks from queue-2-3 are in the partition files
  verify        check that partition and state files agree, and exit

Settings are environment variables; RABBITMQ_URL is the one that matters most.
`

// command reads its settings, and gives what is to be run with them.
type command func(r *config.Reader) func(ctx context.Context, log func(string, ...any)) error

var commands = map[string]command{
	"test-runner": func(r *config.Reader) func(context.Context, func(string, ...any)) error {
		c := testrunner.ReadConfig(r)
		return func(ctx context.Context, log func(string, ...any)) error { return testrunner.Run(ctx, c, log) }
	},
	"worker-1": func(r *config.Reader) func(context.Context, func(string, ...any)) error {
		c := worker1.ReadConfig(r)
		return func(ctx context.Context, log func(string, ...any)) error { return worker1.Run(ctx, c, log) }
	},
	"worker-2": func(r *config.Reader) func(context.Context, func(string, ...any)) error {
		c := worker2.ReadConfig(r)
		return func(ctx context.Context, log func(string, ...any)) error { return worker2.Run(ctx, c, log) }
	},
	"worker-3": func(r *config.Reader) func(context.Context, func(string, ...any)) error {
		c := worker3.ReadConfig(r)
		return func(ctx context.Context, log func(string, ...any)) error { return worker3.Run(ctx, c, log) }
	},
	"verify": verify,
}

// Run does what args say and returns the exit code. lookup reads the
// environment.
func Run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "help" || args[0] == "--help" || args[0] == "-h") {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if len(args) != 1 || commands[args[0]] == nil {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	r := config.NewReader(lookup)
	run := commands[args[0]](r)
	err := r.Err()
	if err == nil {
		ctx, stop := untilSignal(ctx, stderr)
		defer stop()
		err = run(ctx, lines(stdout))
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
	if errors.Is(err, config.ErrBad) {
		return exitUsage
	}
	return exitFailed
}

// untilSignal ends the context at the first SIGTERM or SIGINT, so that the work
// in hand is finished, and the process at the second.
func untilSignal(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			cancel()
		}
		fmt.Fprintf(stderr, "%v again: exiting with work in hand\n", <-signals)
		os.Exit(exitAborted)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// lines gives a log that writes a line, or several that are given as one text,
// with one call.
func lines(to io.Writer) func(string, ...any) {
	var mu sync.Mutex
	return func(format string, args ...any) {
		line := append(fmt.Appendf(nil, format, args...), '\n')
		mu.Lock()
		defer mu.Unlock()
		_, _ = to.Write(line) // a log that nobody takes must not stop the work
	}
}
