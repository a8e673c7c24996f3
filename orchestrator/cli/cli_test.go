package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file in testdata, which is found from the
// package's folder also after a test went elsewhere.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(packageFolder, "testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("%s differs (-want +got; go test -update renews it):\n%s", name, difference)
	}
}

var packageFolder = func() string {
	folder, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return folder
}()

// terminalUser is a whole command line in memory, with an engine that runs
// whatever a test says.
type terminalUser struct {
	*testing.T
	world      *world
	interrupts chan os.Signal
	out, err   *lockedBuffer

	mu      sync.Mutex
	options run.Options // with which the engine was opened
	opened  int
	closed  int
	active  int
	peak    int                  // how many runs went on at once
	ran     []*scenario.Scenario // in the order of their beginning

	// behave is what a run does besides being recorded; nil: nothing.
	behave   func(ctx context.Context, sc *scenario.Scenario, event func(history.Event))
	outcomes map[string]check.Outcome // by scenario; passed when it is not there
	closeErr error
}

// lockedBuffer may be read while a command that was given up still writes.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

var noon = time.Date(2025, 3, 4, 12, 0, 0, 0, time.UTC)

// newUser begins in an empty folder that holds a compose file and the named
// scenarios, in scenarios/NAME.yaml.
func newUser(t *testing.T, scenarios ...string) *terminalUser {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir()) // where runs that did not pass leave their reports
	u := &terminalUser{T: t, interrupts: make(chan os.Signal, 2), out: &lockedBuffer{}, err: &lockedBuffer{}, outcomes: map[string]check.Outcome{}}
	u.write("compose.yaml", "services: {worker-2: {image: x}}\n")
	for _, name := range scenarios {
		u.write("scenarios/"+name+".yaml", fmt.Sprintf(
			"name: %s\ndescription: What %s does.\nsystem: ../compose.yaml\nfaults:\n  - {kill: worker-2, when: {after: 1s}, restart: 200ms}\nexpect:\n  exits: {worker-2: 0}\n", name, name))
	}
	u.world = &world{
		environ: []string{"LANG=C.UTF-8"}, stdout: u.out, stderr: u.err, interrupts: u.interrupts,
		now: func() time.Time { return noon }, version: "v0.0.0-test", width: func(io.Writer) int { return 0 },
		load: func(context.Context, *scenario.Scenario, []string) (*system.System, scenario.Problems) {
			return &system.System{File: "compose.yaml"}, nil
		},
		open:  u.open,
		sweep: func(context.Context, bool) ([]string, error) { return nil, nil },
		judge: u.judge,
	}
	return u
}

func (u *terminalUser) write(path, text string) {
	u.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		u.Fatal(err)
	}
}

// types runs a command line and gives its exit code.
func (u *terminalUser) types(arguments ...string) int {
	u.world.args = arguments
	return u.world.run(context.Background())
}

// wants runs a command line and checks its exit code.
func (u *terminalUser) wants(code int, arguments ...string) {
	u.Helper()
	if got := u.types(arguments...); got != code {
		u.Fatalf("killpoint %s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(arguments, " "), got, code, u.out, u.err)
	}
}

func (u *terminalUser) open(_ context.Context, options run.Options) (suite.Runner, error) {
	u.options = options
	u.opened++
	return u, nil
}

func (u *terminalUser) Swept() []string { return []string{"container kp-old"} }

func (u *terminalUser) Close(ctx context.Context) error {
	u.closed++
	if ctx.Err() != nil {
		u.Error("what runs shared would not be removed: the context of Close has ended")
	}
	return u.closeErr
}

func (u *terminalUser) Run(ctx context.Context, sc *scenario.Scenario, _ *system.System) *history.History {
	u.mu.Lock()
	u.active++
	u.peak = max(u.peak, u.active)
	u.ran = append(u.ran, sc)
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.active--
		u.mu.Unlock()
	}()
	h := &history.History{Dir: filepath.Join(u.options.Dir, sc.Name+"-0badcafe")}
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		u.Error(err)
	}
	h.Meta = history.Meta{
		RunID: "0badcafe", Scenario: sc.Name, File: sc.File, Replay: "killpoint run " + sc.File,
		Model: "process-crash", Killpoint: u.options.Version, Engine: "fake", Started: noon,
	}
	event := func(e history.Event) {
		h.Events = append(h.Events, e)
		u.options.OnEvent(sc.Name, e)
	}
	event(history.Event{At: 10 * time.Millisecond, Kind: history.Started, Service: "worker-2", Incarnation: 1})
	event(history.Event{At: 20 * time.Millisecond, Kind: history.Log, Service: "worker-2", Incarnation: 1, Stream: "stdout", Text: "hello"})
	if u.behave != nil {
		u.behave(ctx, sc, event)
	}
	event(history.Event{At: 1200 * time.Millisecond, Kind: history.AllDone})
	h.Spans = []history.Span{{Name: history.SpanWorkload, Start: 0, End: 1200 * time.Millisecond}}
	return h
}

// judge gives the outcome that the test planned, and what the history says of
// interruption and trouble.
func (u *terminalUser) judge(sc *scenario.Scenario, h *history.History) check.Verdict {
	for _, event := range h.Events {
		switch event.Kind {
		case history.Interrupted:
			return check.Verdict{Outcome: check.Interrupted, Reasons: []string{"the run was interrupted"}}
		case history.Trouble:
			return check.Verdict{Outcome: check.Broken, Reasons: []string{event.Text}}
		}
	}
	outcome, planned := u.outcomes[sc.Name]
	switch {
	case !planned:
		return check.Verdict{Outcome: check.Passed, Results: []check.Result{
			{Check: check.CheckRows, Status: check.StatusPassed, Detail: "400 rows in 5 files, each exactly once"},
		}}
	case outcome == check.Failed:
		return check.Verdict{Outcome: check.Failed, Reasons: []string{"lost: 1 row"}, Results: []check.Result{{
			Check: check.CheckRows, Status: check.StatusFailed, Findings: []check.Finding{{
				Check: check.CheckRows, Kind: check.Lost, Text: "1 row of an acknowledged chunk is in no file", Count: 1,
				Rows: []check.Row{{Chunk: "c1", Partition: 3, Expected: 3, Text: "13,Ada"}},
			}},
		}}}
	case outcome == check.Inconclusive:
		return check.Verdict{Outcome: check.Inconclusive, Reasons: []string{"fault 1 did not fire"}, Results: []check.Result{
			{Check: check.CheckFaults, Status: check.StatusUncomputed, Reason: "fault 1 did not fire"},
		}}
	default:
		return check.Verdict{Outcome: outcome, Reasons: []string{"planned"}}
	}
}

func TestHelp(t *testing.T) {
	for _, command := range commandNames(t) {
		u := newUser(t)
		u.wants(exitPassed, strings.Fields(command+" --help")...)
		if u.err.String() != "" {
			t.Errorf("help that was asked for is on stderr: %q", u.err)
		}
		name := "killpoint"
		if command != "" {
			name += "-" + command
		}
		golden(t, filepath.Join("help", name+".txt"), u.out.String())
	}
}

func TestBadUsage(t *testing.T) {
	for _, test := range []struct{ arguments, says, hint string }{
		{"", "say what to do", "killpoint run scenarios/restart.yaml"},
		{"rnu", `unknown command "rnu"`, "killpoint run scenarios/restart.yaml"},
		{"run", "say which scenario", "killpoint run scenarios/restart.yaml"},
		{"run --no-such-flag", "unknown flag: --no-such-flag", "killpoint run scenarios/restart.yaml"},
		{"run scenarios/none.yaml", "scenarios/none.yaml: there is no such file", "killpoint run scenarios/restart.yaml"},
		{"run scenarios/*.yml", "no file matches", "killpoint run scenarios/restart.yaml"},
		{"run scenarios/[", "scenarios/[", "killpoint run scenarios/restart.yaml"},
		{"run empty", "folder empty holds no .yaml file", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --parallel 0", "--parallel 0: must be 1 or more", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --parallel many", "--parallel", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --repeat 0", "--repeat 0: must be 1 or more", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --timeout -1s", "must not be negative", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --quiet --verbose", "exclude each other", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --json - --junit -", "only one of --json, --junit and --html can have stdout", "killpoint run scenarios/restart.yaml"},
		{"report", "say what to render", "killpoint report reports"},
		{"report scenarios --html - --json -", "only one of --json, --junit and --html can have stdout", "killpoint report reports"},
		{"report scenarios", "nothing that was saved is in it", "killpoint report reports"},
		{"report nowhere", "no such file or directory", "killpoint report reports"},
		{"run scenarios --env SEED", "--env SEED: want NAME=VALUE", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --json none/result.json", "none/result.json", "killpoint run scenarios/restart.yaml"},
		{"run scenarios --report compose.yaml", "compose.yaml", "killpoint run scenarios/restart.yaml"},
		{"completion", "say which shell: bash, fish, powershell, zsh", "killpoint completion bash > ~/.local/share/bash-completion/completions/killpoint"},
		{"completion tcsh", "say which shell", "killpoint completion bash > ~/.local/share/bash-completion/completions/killpoint"},
		{"completion bash zsh", "say which shell", "killpoint completion bash > ~/.local/share/bash-completion/completions/killpoint"},
		{"clean everything", "unknown command", "killpoint clean"},
		{"version please", "unknown command", "killpoint version"},
		{"schema x", "unknown command", "killpoint schema > scenarios/scenario.schema.json"},
		{"validate none", "none: there is no such file", "killpoint validate scenarios/restart.yaml"},
		{"list none", "none: there is no such file", "killpoint list scenarios"},
	} {
		t.Run(test.arguments, func(t *testing.T) {
			u := newUser(t, "restart")
			if err := os.Mkdir("empty", 0o755); err != nil {
				t.Fatal(err)
			}
			u.wants(exitUsage, strings.Fields(test.arguments)...)
			if u.out.String() != "" {
				t.Errorf("misuse is explained on stdout: %q", u.out)
			}
			if got := u.err.String(); !strings.HasPrefix(got, "killpoint: ") || !strings.Contains(got, test.says) || !strings.Contains(got, "\nTry: "+test.hint+"\n") {
				t.Errorf("stderr is %q, want it to say %q and Try: %s", got, test.says, test.hint)
			}
			if u.opened != 0 {
				t.Error("the engine was asked all the same")
			}
		})
	}
}
