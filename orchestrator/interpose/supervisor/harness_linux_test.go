package supervisor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// The programs under test, built once: the target and an interposer that are static, as they go into containers, and an interposer that looks for races when the tests do.
var target, staticInterposer, interposer string

// raceFlags build with the race detector where the tests are built so.
var raceFlags []string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	directory, err := os.MkdirTemp("", "interpose-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	// Programs that switch users have to reach them.
	if err := os.Chmod(directory, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	target, staticInterposer = filepath.Join(directory, "target"), filepath.Join(directory, interpose.Name)
	for output, source := range map[string]string{staticInterposer: "../cmd/interposer", target: "./testdata/target"} {
		if err := build(output, source, "0"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	interposer = staticInterposer
	if raceFlags != nil {
		interposer = filepath.Join(directory, "race", interpose.Name)
		if err := build(interposer, "../cmd/interposer", "1", raceFlags...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err := os.Setenv(interpose.BinaryVariable, staticInterposer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer removeImage()
	return m.Run()
}

func build(output, source, cgo string, flags ...string) error {
	command := exec.Command("go", append(append([]string{"build", "-o", output}, flags...), source)...)
	command.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", source, err, text)
	}
	return nil
}

var planNumber atomic.Int64

// newPlan makes a plan with an ID of its own that waits for its client.
func newPlan(points ...interpose.Point) interpose.Plan {
	id := fmt.Sprintf("test-%d-%d", os.Getpid(), planNumber.Add(1))
	return interpose.Plan{ID: id, Incarnation: 1, Points: points, AwaitClient: true}
}

// hold makes a point at which the program is held.
func hold(operation interpose.Operation, path string, occurrence int, timing interpose.Timing) interpose.Point {
	return interpose.Point{ID: "point", Operation: operation, Path: path, Occurrence: occurrence, Timing: timing, Action: interpose.Hold}
}

// tear makes a point that tears a write.
func tear(path string, occurrence int, keep interpose.Keep) interpose.Point {
	point := hold(interpose.Write, path, occurrence, interpose.During)
	point.Keep = keep
	return point
}

// program is a program under the interposer, in a process namespace of its own as in a container.
type program struct {
	t       *testing.T
	plan    interpose.Plan
	client  *interpose.Client
	process *exec.Cmd
	seen    []interpose.Event

	mu             sync.Mutex
	stdout, stderr bytes.Buffer
}

// start runs a command under the interposer and attaches to it.
func start(t *testing.T, plan interpose.Plan, command ...string) *program {
	t.Helper()
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, plan: plan}
	// The shell becomes the interposer, so that it is the first process.
	script := `mount -t proc proc /proc && exec "$@"`
	p.process = exec.Command("sh", append([]string{"-c", script, "sh", interposer, "supervise", file, "--"}, command...)...)
	p.process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		p.process.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		p.process.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		p.process.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	p.process.Stdout, p.process.Stderr = &locked{&p.mu, &p.stdout}, &locked{&p.mu, &p.stderr}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.attach()
	return p
}

// locked is a buffer that the test may read while the program writes.
type locked struct {
	mu     *sync.Mutex
	buffer *bytes.Buffer
}

func (l *locked) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(data)
}

// stream is the stdin and stdout of a process.
type stream struct {
	io.Reader
	io.WriteCloser
}

func (p *program) attach() {
	p.t.Helper()
	p.client = attach(p.t, exec.Command(interposer, "control", p.plan.ID))
}

// attach starts a command that reaches an interposer and returns a client on it.
func attach(t *testing.T, command *exec.Cmd) *interpose.Client {
	t.Helper()
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	client, err := interpose.NewClient(stream{stdout, stdin}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		for range client.Events() { // until the command's stdout is closed
		}
		_ = command.Wait() // its end is that of the interposer
	})
	return client
}

// await returns the next event of a kind. A Failed event that is not asked for fails the test.
func (p *program) await(kind interpose.Kind) interpose.Event {
	p.t.Helper()
	event, err := awaitEvent(p.client, &p.seen, kind)
	if err != nil {
		p.t.Fatalf("wait for %s: %v\nstderr: %s", kind, err, p.errors())
	}
	return event
}

func (p *program) control() *interpose.Client { return p.client }

func awaitEvent(client *interpose.Client, seen *[]interpose.Event, kind interpose.Kind) (interpose.Event, error) {
	return awaitEventFor(patience, client, seen, kind)
}

func awaitEventFor(most time.Duration, client *interpose.Client, seen *[]interpose.Event, kind interpose.Kind) (interpose.Event, error) {
	deadline := time.After(most)
	for {
		select {
		case event, open := <-client.Events():
			if !open {
				return event, client.Err()
			}
			*seen = append(*seen, event)
			if event.Kind == kind {
				return event, nil
			}
			if event.Kind == interpose.Failed || event.Kind == interpose.Exited {
				return event, fmt.Errorf("%s instead: %+v", event.Kind, event)
			}
		case <-deadline:
			return interpose.Event{}, errors.New("it did not come")
		}
	}
}

// kill kills the first process, and with it everything, as the death of a container does.
func (p *program) kill() {
	_ = p.process.Process.Kill()
	_ = p.process.Wait() // reports the kill
}

// exitCode waits for the end and returns its code.
func (p *program) exitCode() int {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.process.Process.Kill() })
	defer timer.Stop()
	go func() {
		for range p.client.Events() {
		}
	}()
	_ = p.process.Wait() // the code is what is asked for
	return p.process.ProcessState.ExitCode()
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

func (p *program) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// operations are the recorded operations so far, as "write data 3": operation, path, and the number on that path.
func (p *program) operations(directory string) []string {
	var lines []string
	for _, event := range p.seen {
		if event.Kind != interpose.Op {
			continue
		}
		line := fmt.Sprintf("%s %s", event.Operation, strings.TrimPrefix(event.Path, directory+"/"))
		if event.Other != "" {
			line += " " + strings.TrimPrefix(event.Other, directory+"/")
		}
		lines = append(lines, fmt.Sprintf("%s %d", line, event.Occurrence))
	}
	return lines
}

func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
