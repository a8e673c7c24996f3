package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/killpoint/killpoint/workers/cli"
)

// commandVariable makes the test's own binary act as the worker command, so
// that workers run as processes, which can be killed.
const commandVariable = "KPW_COMMAND"

func runWorker(args []string) int {
	return cli.Run(context.Background(), args, os.LookupEnv, os.Stdout, os.Stderr)
}

// short says whether the person asked for no broker. testing.Short cannot be
// called before flags are read.
func short() bool {
	if !flag.Parsed() {
		flag.Parse()
	}
	return testing.Short()
}

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// pipeline is the settings of one run: queues and a directory of its own.
type pipeline struct {
	*testing.T
	broker *broker
	dir    string
	env    map[string]string
}

// newPipeline also skips the test where no broker was wanted.
func newPipeline(t *testing.T, b *broker, env map[string]string) *pipeline {
	t.Helper()
	if short() {
		t.Skip("-short: no broker")
	}
	dir := t.TempDir()
	p := &pipeline{T: t, broker: b, dir: dir, env: map[string]string{
		"RABBITMQ_URL": b.url(), "DATA_DIR": dir, "SENT_FILE": filepath.Join(dir, "sent.jsonl"), "SEED": "1",
		"WINDOW":    "1000", // so that a sender without a consumer comes to its end
		"QUEUE_0_1": t.Name() + "-0-1", "QUEUE_1_2": t.Name() + "-1-2", "QUEUE_2_3": t.Name() + "-2-3",
		"QUEUE_3_DONE": t.Name() + "-3-done",
	}}
	for name, value := range env {
		p.env[name] = value
	}
	t.Cleanup(p.deleteQueues)
	return p
}

func (p *pipeline) deleteQueues() {
	channel := p.broker.channel(p.T)
	for _, queue := range []string{"QUEUE_0_1", "QUEUE_1_2", "QUEUE_2_3", "QUEUE_3_DONE"} {
		for _, suffix := range []string{"", ".rejected"} {
			if _, err := channel.QueueDelete(p.env[queue]+suffix, false, false, false); err != nil {
				p.Errorf("delete queue: %v", err)
			}
		}
	}
}

// process is a worker that runs.
type process struct {
	*testing.T
	name    string
	command *exec.Cmd
	exited  chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when a line was added
}

// start runs a worker with more settings.
func (p *pipeline) start(command string, env ...string) *process {
	p.Helper()
	w := &process{T: p.T, name: command, command: exec.Command(os.Args[0]), exited: make(chan struct{}), more: make(chan struct{})}
	w.command.Env = append(os.Environ(), commandVariable+"="+command)
	for name, value := range p.env {
		w.command.Env = append(w.command.Env, name+"="+value)
	}
	w.command.Env = append(w.command.Env, env...)
	output, err := w.command.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	w.command.Stderr = w.command.Stdout
	if err := w.command.Start(); err != nil {
		p.Fatal(err)
	}
	go w.follow(bufio.NewScanner(output))
	p.Cleanup(func() {
		_ = w.command.Process.Kill()
		<-w.exited
		if p.Failed() {
			p.Logf("--- %s\n%s", command, strings.Join(w.all(), "\n"))
		}
	})
	return w
}

func (w *process) follow(output *bufio.Scanner) {
	for output.Scan() {
		w.mu.Lock()
		w.lines = append(w.lines, output.Text())
		close(w.more)
		w.more = make(chan struct{})
		w.mu.Unlock()
	}
	_ = w.command.Wait() // the exit code is looked at by those who expect one
	close(w.exited)
}

func (w *process) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

// count says how many lines contain the text.
func (w *process) count(text string) int {
	n := 0
	for _, line := range w.all() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// wait waits until n lines contain the text.
func (w *process) wait(n int, text string) {
	w.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		more := w.more
		w.mu.Unlock()
		if w.count(text) >= n {
			return
		}
		select {
		case <-more:
		case <-w.exited:
			if w.count(text) >= n {
				return
			}
			w.Fatalf("%s ended before it said %q %d times", w.name, text, n)
		case <-deadline:
			w.Fatalf("%s said %q %d times, not %d, in %v", w.name, text, w.count(text), n, patience)
		}
	}
}

func (w *process) signal(s os.Signal) {
	w.Helper()
	if err := w.command.Process.Signal(s); err != nil {
		w.Fatalf("signal %s: %v", w.name, err)
	}
}

// exit expects the process to end with the code.
func (w *process) exit(code int) {
	w.Helper()
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.Fatalf("%s did not end in %v", w.name, patience)
	}
	if got := w.command.ProcessState.ExitCode(); got != code {
		w.Errorf("%s ended with %d, want %d", w.name, got, code)
	}
}

// kill ends the process as a crash does.
func (w *process) kill() {
	w.Helper()
	w.signal(syscall.SIGKILL)
	w.exit(-1)
}

// stop ends the process as an operator does.
func (w *process) stop() {
	w.Helper()
	w.signal(syscall.SIGTERM)
	w.exit(0)
}

func (p *pipeline) file(partition int) string {
	return filepath.Join(p.dir, "partitions", fmt.Sprintf("TEST-users-partition-%03d.csv", partition))
}
