package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// machine is an engine on which a scripted worker runs: for each chunk it
// writes a row, syncs, publishes and acknowledges. It loses a row when it is
// crashed between its publish and its ack, and one of its syncs does not come
// again where it was recorded.
type machine struct {
	chunks int
	// before is called before each trial with its crash points.
	before func(ctx context.Context, points string)
	// trouble says what is wrong with the engine; nil: nothing, ever.
	trouble func() error
	images  map[string]string

	mu     sync.Mutex
	tried  map[string]int // trials by crash points
	opened []explore.Lane
	closed int
}

func (m *machine) Open(_ context.Context, lane explore.Lane) (explore.Runner, error) {
	if m.trouble != nil && m.trouble() != nil {
		return nil, m.trouble()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, lane)
	return fakeRunner{m}, nil
}

func (m *machine) Fingerprint(_ context.Context, image string) (string, error) {
	return m.images[image], nil
}

// trials gives how often the points of all trials were run, except recordings.
func (m *machine) trials() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.tried)
}

type fakeRunner struct{ *machine }

func (r fakeRunner) Close(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
	return nil
}

func (r fakeRunner) Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	var texts []string
	for _, fault := range sc.Faults {
		texts = append(texts, fault.Point().String())
	}
	points := strings.Join(texts, scenario.Then)
	if r.before != nil {
		r.before(ctx, points)
	}
	r.mu.Lock()
	if r.tried == nil {
		r.tried = map[string]int{}
	}
	if !record || len(texts) > 0 {
		r.tried[points]++
	}
	r.mu.Unlock()
	if ctx.Err() != nil {
		return &history.History{Events: []history.Event{{Kind: history.Interrupted}}}
	}
	if r.trouble != nil && r.trouble() != nil {
		return &history.History{Events: []history.Event{{Kind: history.Trouble, Text: r.trouble().Error()}}}
	}
	return r.play(sc, points, record)
}

func (m *machine) play(sc *scenario.Scenario, points string, record bool) *history.History {
	h := &history.History{}
	add := func(event history.Event) {
		event.Service, event.At = "worker-2", time.Duration(len(h.Events))*time.Millisecond
		h.Events = append(h.Events, event)
	}
	operations := m.operations()
	for life := 1; ; life++ {
		add(history.Event{Kind: history.Started, Incarnation: life})
		crashed := false
		for _, at := range operations {
			if record {
				add(history.Event{Kind: history.Operation, Incarnation: life, Point: &at})
			}
			if len(sc.Faults) < life || !comes(sc.Faults[life-1].When, at) {
				continue
			}
			fault := sc.Faults[life-1]
			at.Action, at.Timing = "hold", fault.When.Timing
			if at.Timing == "" {
				at.Timing = "before"
			}
			if fault.When.Keep != "" {
				at.Timing = "during"
				at.Kept, _ = strconv.ParseInt(fault.When.Keep, 10, 64)
			}
			if at.Operation == "fsync" && at.Occurrence == 2 {
				at.Offset = 7
			}
			killed := 137
			add(history.Event{Kind: history.FaultArmed, Fault: life, Text: fault.String()})
			add(history.Event{Kind: history.PointReached, Incarnation: life, Fault: life, Point: &at, Text: at.String()})
			add(history.Event{Kind: history.FaultFired, Incarnation: life, Fault: life, Text: at.String()})
			add(history.Event{Kind: history.FaultDone, Incarnation: life, Fault: life, Text: "killed"})
			add(history.Event{Kind: history.Exited, Incarnation: life, Code: &killed})
			add(history.Event{Kind: history.FaultHealed, Incarnation: life + 1, Fault: life, Text: "started again"})
			crashed = true
			break
		}
		if !crashed {
			break
		}
	}
	add(history.Event{Kind: history.AllDone})
	code := 0
	if strings.Contains(points, ":amqp-publish:") && strings.HasSuffix(points, ":after") {
		code = 1
	}
	add(history.Event{Kind: history.CommandRan, Text: "verify", Code: &code})
	return h
}

func (m *machine) operations() []history.Point {
	var all []history.Point
	for chunk := range m.chunks {
		all = append(all,
			history.Point{Operation: "write", Call: "write", Path: "/data/rows.csv", Offset: int64(40 * chunk), Size: 40, Sum: fmt.Sprint(chunk), Occurrence: chunk + 1},
			history.Point{Operation: "fsync", Call: "fsync", Path: "/data/rows.csv", Offset: -1, Occurrence: chunk + 1},
			history.Point{Operation: "publish", Call: "write", Queue: "queue-2-3", Size: 90, Offset: -1, Occurrence: chunk + 1},
			history.Point{Operation: "ack", Call: "write", Queue: "queue-1-2", Size: 21, Offset: -1, Occurrence: chunk + 1},
		)
	}
	return all
}

// comes says whether a trigger is about an operation.
func comes(when scenario.When, at history.Point) bool {
	return (at.Operation == string(when.Kind) || when.Kind == scenario.AMQP && at.Operation == when.Method) && at.Occurrence == max(when.Occurrence, 1)
}

// scenarioOf is a scenario that a command of the worker's judges.
func scenarioOf() *scenario.Scenario {
	sc := &scenario.Scenario{
		Name: "normal", File: "scenarios/normal.yaml", Timeout: scenario.Duration(time.Minute),
		Expect: scenario.Expect{Run: []scenario.RunExpect{{Service: "worker-2", Command: []string{"verify"}}}},
	}
	return explore.Settings{Target: "worker-2"}.Undisturbed(sc)
}

// watched notes what a campaign tells.
type watched struct {
	outcome func(explore.Outcome, explore.Progress)
}

func (w *watched) Phase(string)            {}
func (w *watched) Note(string)             {}
func (w *watched) Planned(explore.Summary) {}
func (w *watched) Outcome(o explore.Outcome, p explore.Progress) {
	if w.outcome != nil {
		w.outcome(o, p)
	}
}

// bench is a campaign of the worker, on its way.
type bench struct {
	machine *machine // of the coordinator
	options explore.Options
	watched *watched
	// fleet is the coordinator; what is set here stays.
	fleet Coordinator
}

func newBench(folder string, settings explore.Settings) *bench {
	b := &bench{machine: &machine{chunks: 6, images: map[string]string{"worker": "w1"}}, watched: &watched{}}
	settings.Scenario, settings.File, settings.Target = "normal", "scenarios/normal.yaml", "worker-2"
	settings.Model, settings.Depth, settings.Seed = explore.ProcessCrash, max(settings.Depth, 1), 1
	b.options = explore.Options{Settings: settings, Scenario: scenarioOf(), Folder: folder, Watcher: b.watched, Confirm: 1}
	b.fleet = Coordinator{
		Version: "v1", System: &system.System{Services: []system.Service{{Name: "worker-2", Image: "worker"}}},
		Way: func() explore.Way { return explore.KillProcess }, Fingerprint: b.machine.Fingerprint, Note: func(string) {},
	}
	return b
}

// run runs the campaign: on a fleet, or, without a broker, on this machine
// alone. It gives what outcomes.txt says.
func (b *bench) run(ctx context.Context, url string) (string, error) {
	c, err := explore.Open(b.options)
	if err != nil {
		return "", err
	}
	lanes := &explore.Lanes{Runners: []explore.Runner{fakeRunner{b.machine}}, Trials: c.Trials()}
	c.Worker = lanes
	b.fleet.URL, b.fleet.Campaign, b.fleet.Recorder = url, c, lanes
	if url != "" {
		c.Worker = &b.fleet
	}
	if err := c.Run(ctx); err != nil {
		return "", errors.Join(err, c.Close())
	}
	document, err := c.Document(explore.Facts{})
	if err == nil {
		err = c.Save(document)
	}
	if err == nil && url != "" {
		err = b.fleet.Close(ctx)
	}
	if err = errors.Join(err, c.Close()); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(b.options.Folder, "outcomes.txt"))
	return string(text), err
}

// alone is what the same campaign comes to on one machine.
func alone(t *testing.T, settings explore.Settings) string {
	t.Helper()
	text, err := newBench(t.TempDir(), settings).run(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// agentOf is an agent on a machine.
func agentOf(url string, m *machine) *Agent {
	m.chunks, m.images = 6, cmpOr(m.images, map[string]string{"worker": "w1"})
	return &Agent{URL: url, Name: "tester", Version: "v1", Engine: m, Lanes: 2, Judge: check.Judge, Note: func(string) {}}
}

func cmpOr(one, other map[string]string) map[string]string {
	if one == nil {
		return other
	}
	return one
}

// works has an agent work until the test is over, or the function is called.
func works(t testing.TB, a *Agent) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("the agent ended with %v", err)
			}
		})
	}
	t.Cleanup(end)
	return end
}

// gate is what trials wait at from a certain one on.
type gate struct {
	at     int
	come   chan struct{} // closed when a trial waits
	opened chan struct{}

	mu    sync.Mutex
	count int
}

func newGate(at int) *gate {
	return &gate{at: at, come: make(chan struct{}), opened: make(chan struct{})}
}

func (g *gate) pass(ctx context.Context, _ string) {
	g.mu.Lock()
	if g.count++; g.count == g.at {
		close(g.come)
	}
	closed := g.count >= g.at
	g.mu.Unlock()
	if closed {
		select {
		case <-g.opened:
		case <-ctx.Done():
		}
	}
}

// waitTime is the longest that anything takes.
func waitTime() time.Duration {
	if *brokerKilled {
		return 4 * time.Minute
	}
	return time.Minute
}

// wait waits for something, and fails when it does not come.
func wait(t *testing.T, for_ string, come <-chan struct{}) {
	t.Helper()
	select {
	case <-come:
	case <-time.After(waitTime()):
		t.Fatalf("waited for %s in vain", for_)
	}
}

// The variables by which a test tells a process of this binary what to be.
const (
	envAgent       = "FLEET_TEST_AGENT"       // a broker's URL
	envCoordinator = "FLEET_TEST_COORDINATOR" // a broker's URL
	envFolder      = "FLEET_TEST_FOLDER"      // of the campaign
	envHold        = "FLEET_TEST_HOLD"        // the trial that waits for ever
	envDie         = "FLEET_TEST_DIE"         // the point at which the agent dies
)

// codeOfDeath is how an agent ends at its point.
const codeOfDeath = 7

// child is what this process does when a test started it.
func child() (code int, isChild bool) {
	switch ctx := context.Background(); {
	case os.Getenv(envAgent) != "":
		m := &machine{}
		trials := 0
		var mu sync.Mutex
		m.before = func(_ context.Context, points string) {
			mu.Lock()
			trials++
			number := strconv.Itoa(trials)
			mu.Unlock()
			fmt.Println("trial", number)
			if points == os.Getenv(envDie) {
				os.Exit(codeOfDeath)
			}
			if number == os.Getenv(envHold) {
				fmt.Println("holds")
				select {}
			}
		}
		a := agentOf(os.Getenv(envAgent), m)
		a.Lanes = 1
		fmt.Println(a.Run(ctx))
		return 1, true
	case os.Getenv(envCoordinator) != "":
		b := newBench(os.Getenv(envFolder), explore.Settings{})
		b.watched.outcome = func(_ explore.Outcome, p explore.Progress) { fmt.Println("done", p.Done) }
		_, err := b.run(ctx, os.Getenv(envCoordinator))
		fmt.Println(err)
		return 1, true
	}
	return 0, false
}

// process is a process of this binary.
type process struct {
	*exec.Cmd
	ended chan struct{}

	mu     sync.Mutex
	lines  []string
	waited map[string]chan struct{}
}

func start(t *testing.T, environment ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), waited: map[string]chan struct{}{}, ended: make(chan struct{})}
	p.Env = append(os.Environ(), environment...)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			if come := p.waited[lines.Text()]; come != nil {
				close(come)
				delete(p.waited, lines.Text())
			}
			p.mu.Unlock()
		}
		_ = p.Wait() // killed, mostly
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// says is closed when the process has printed a line.
func (p *process) says(line string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	come := make(chan struct{})
	if slices.Contains(p.lines, line) {
		close(come)
	} else {
		p.waited[line] = come
	}
	return come
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.Process.Kill() // it may have ended
	<-p.ended
}
