package fleet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// timed bounds a test.
func timed(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// equal compares what a campaign came to with what it comes to on one machine.
func equal(t *testing.T, want, got string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("on one machine (-), on a fleet (+):\n%s", difference)
	}
	for _, status := range []explore.Status{explore.Survived, explore.Failed, explore.Inconclusive} {
		if !strings.Contains(want, string(status)) {
			t.Errorf("no point is %s: the comparison says little", status)
		}
	}
}

// once says that every point was run in one batch, and no more: three times
// where it fails or does not come as planned.
func once(t *testing.T, machines ...*machine) {
	t.Helper()
	all := map[string]int{}
	for _, m := range machines {
		for points, trials := range m.trials() {
			all[points] += trials
		}
	}
	for points, trials := range all {
		if trials != 1 && trials != explore.DefaultRepeat {
			t.Errorf("%s was tried %d times", points, trials)
		}
	}
}

func TestAFleetGivesWhatOneMachineGives(t *testing.T) {
	url := virtualHost(t)
	for _, settings := range []explore.Settings{{}, {Depth: 2, Pairs: 12}, {Most: 27}} {
		one, two := &machine{}, &machine{}
		endOne, endTwo := works(t, agentOf(url, one)), works(t, agentOf(url, two))
		b := newBench(t.TempDir(), settings)
		got, err := b.run(timed(t), url)
		equal(t, alone(t, settings), got, err)
		once(t, one, two)
		for points := range b.machine.trials() {
			if settings.Depth < 2 {
				t.Errorf("the coordinator ran %s itself", points)
			}
		}
		endOne()
		endTwo()
		if one.closed != len(one.opened) || two.closed != len(two.opened) {
			t.Errorf("lanes closed: %d of %d, %d of %d", one.closed, len(one.opened), two.closed, len(two.opened))
		}
	}
}

func TestAnAgentKilledInTheMiddleOfABatch(t *testing.T) {
	url := virtualHost(t)
	killed := start(t, envAgent+"="+url, envHold+"=15")
	b := newBench(t.TempDir(), explore.Settings{})
	other := &machine{}
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(timed(t), url)
	}()
	wait(t, "the agent's second batch", killed.says("holds"))
	killed.kill()
	works(t, agentOf(url, other))
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
	once(t, other)
	// The batch that was finished is not run again.
	if points := strings.Count(got, "\n"); len(other.trials()) != points-DefaultBatch {
		t.Errorf("the other agent ran %d of %d points", len(other.trials()), points)
	}
}

func TestTheBrokerRestarted(t *testing.T) {
	url := virtualHost(t)
	m, err := acrossTheBroker(t, url, func() error { return theRabbit.restart(timed(t)) })
	if err != nil {
		t.Fatal(err)
	}
	// The batch in hand was finished, and its answer handed in over the next
	// connection.
	once(t, m)
	if len(m.opened) != 2 {
		t.Errorf("%d lanes were opened, want those that there were", len(m.opened))
	}
}

var brokerKilled = flag.Bool("broker-killed", false, "kill the broker in the first moments of a campaign, which then answers nothing for a minute")

// A queue that was just declared may not outlive the broker's death.
func TestTheBrokerKilledAtTheBeginning(t *testing.T) {
	if !*brokerKilled {
		t.Skip("takes minutes: -broker-killed")
	}
	url := virtualHost(t)
	if _, err := acrossTheBroker(t, url, func() error { return theRabbit.kill(timed(t)) }); err != nil {
		t.Fatal(err)
	}
}

// acrossTheBroker does something to the broker in the middle of a campaign, and
// compares what comes of it.
func acrossTheBroker(t *testing.T, url string, do func() error) (*machine, error) {
	g := newGate(25)
	m := &machine{before: g.pass}
	works(t, agentOf(url, m))
	b := newBench(t.TempDir(), explore.Settings{})
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(t.Context(), url)
	}()
	wait(t, "the middle of the campaign", g.come)
	if err := do(); err != nil {
		return nil, err
	}
	close(g.opened)
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
	return m, nil
}

func TestQueuesThatGoAway(t *testing.T) {
	url := virtualHost(t)
	g := newGate(25)
	works(t, agentOf(url, &machine{before: g.pass}))
	b := newBench(t.TempDir(), explore.Settings{})
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(timed(t), url)
	}()
	wait(t, "the middle of the campaign", g.come)
	if err := b.fleet.Close(t.Context()); err != nil { // as a broker without its disk would
		t.Fatal(err)
	}
	close(g.opened)
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
}

func TestTheCoordinatorKilledAndResumed(t *testing.T) {
	url := virtualHost(t)
	folder := t.TempDir()
	killed := start(t, envCoordinator+"="+url, envFolder+"="+folder)
	g := newGate(35)
	m := &machine{before: g.pass}
	works(t, agentOf(url, m))
	wait(t, "the middle of the campaign", g.come)
	wait(t, "two batches", killed.says("done 20"))
	killed.kill()
	close(g.opened)
	// The agent goes on without a coordinator, with what the broker has.
	awaitTrials(t, m)
	b := newBench(folder, explore.Settings{})
	b.options.Resume = true
	got, err := b.run(timed(t), url)
	equal(t, alone(t, explore.Settings{}), got, err)
	once(t, m)
}

// awaitTrials waits until an agent has run three batches, and has no more.
func awaitTrials(t *testing.T, m *machine) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for len(m.trials()) < 3*DefaultBatch {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%d points were run", len(m.trials()))
		}
	}
}

func TestAPoisonousPoint(t *testing.T) {
	url := virtualHost(t)
	const poison = "worker-2:write:/data/rows.csv:3:+1"
	ctx, cancel := context.WithCancel(t.Context())
	deaths := make(chan int)
	go func() { // as a service manager would
		count := 0
		defer func() { deaths <- count }()
		for ctx.Err() == nil {
			agent := start(t, envAgent+"="+url, envDie+"="+poison)
			select {
			case <-agent.ended:
				if agent.ProcessState.ExitCode() == codeOfDeath {
					count++
				}
			case <-ctx.Done():
				agent.kill()
			}
		}
	}()
	b := newBench(t.TempDir(), explore.Settings{})
	var notes notes
	b.fleet.Note = notes.add
	got, err := b.run(timed(t), url)
	cancel()
	want := strings.Replace(alone(t, explore.Settings{}), poison+"\tsurvived", poison+"\tbroken", 1)
	equal(t, want, got, err)
	if count := <-deaths; count != 2*(deliveryLimit+1) {
		t.Errorf("%d agents died, want %d: in its batch, and alone", count, 2*(deliveryLimit+1))
	}
	if !notes.have("tried one by one") {
		t.Errorf("notes: %q", notes.all())
	}
}

// notes keeps what is noted.
type notes struct {
	mu   sync.Mutex
	told []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, text)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

func (n *notes) have(part string) bool {
	return slices.ContainsFunc(n.all(), func(text string) bool { return strings.Contains(text, part) })
}

func TestCampaignsOneAfterTheOther(t *testing.T) {
	url := virtualHost(t)
	t.Setenv("TMPDIR", t.TempDir())
	m := &machine{}
	end := works(t, agentOf(url, m))
	for _, settings := range []explore.Settings{{}, {Most: 30}} {
		got, err := newBench(t.TempDir(), settings).run(timed(t), url)
		equal(t, alone(t, settings), got, err)
		awaitClosed(t, m)
	}
	end()
	if len(m.opened) != 4 || m.closed != 4 {
		t.Errorf("%d lanes opened, %d closed, want two for each campaign", len(m.opened), m.closed)
	}
	if entries, err := filepath.Glob(filepath.Join(os.TempDir(), "killpoint-fleet-*")); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// awaitClosed waits until an agent that goes on has no lanes any more.
func awaitClosed(t *testing.T, m *machine) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for {
		m.mu.Lock()
		opened, closed := len(m.opened), m.closed
		m.mu.Unlock()
		if opened > 0 && closed == opened {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%d of %d lanes are closed when the campaign is over", closed, opened)
		}
	}
}

// What is told twice counts once, and what nobody waits for does not count.
func TestOutcomesThatComeTwice(t *testing.T) {
	url := virtualHost(t)
	g := newGate(25)
	works(t, agentOf(url, &machine{before: g.pass}))
	b := newBench(t.TempDir(), explore.Settings{})
	told := make(chan explore.Outcome, 1000)
	b.watched.outcome = func(o explore.Outcome, _ explore.Progress) { told <- o }
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(timed(t), url)
	}()
	wait(t, "the middle of the campaign", g.come)
	first := <-told
	count := 1
	l, wrong := dial(t.Context(), url, "test")
	if wrong != nil {
		t.Fatal(wrong)
	}
	defer l.close()
	first.Status = explore.Broken
	for _, outcome := range []explore.Outcome{first, {Point: "worker-2:write:/elsewhere:1:before", Status: explore.Failed}} {
		if routed, err := l.publish(t.Context(), "", queuesOf(b.fleet.id, 0).answers, Answer{Agent: "late", Outcomes: []explore.Outcome{outcome}}); err != nil || !routed {
			t.Fatal(routed, err)
		}
	}
	close(g.opened)
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
	close(told)
	for range told {
		count++
	}
	if points := strings.Count(got, "\n"); count != points {
		t.Errorf("%d outcomes were told of %d points", count, points)
	}
}

// An engine in trouble makes no outcomes: another one does the work.
func TestAnEngineInTrouble(t *testing.T) {
	url := virtualHost(t)
	var mu sync.Mutex
	var trouble error
	g := newGate(5)
	bad := &machine{before: g.pass, trouble: func() error {
		mu.Lock()
		defer mu.Unlock()
		return trouble
	}}
	ended := make(chan error, 1)
	go func() { ended <- agentOf(url, bad).Run(t.Context()) }()
	b := newBench(t.TempDir(), explore.Settings{})
	var notes notes
	b.fleet.Note = notes.add
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(timed(t), url)
	}()
	wait(t, "the agent", g.come)
	mu.Lock()
	trouble = errors.New("the disk is full")
	mu.Unlock()
	close(g.opened)
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("the agent ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the agent went on")
	}
	works(t, agentOf(url, &machine{}))
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
	if !notes.have("agent tester: the disk is full") && !notes.have("one trial after the other is broken") {
		t.Errorf("notes: %q", notes.all())
	}
}

// What is told where nobody, or the wrong one, is there to work.
func TestAgentsThatCannotTakePart(t *testing.T) {
	url := virtualHost(t)
	b := newBench(t.TempDir(), explore.Settings{})
	var told notes
	b.fleet.Note = told.add
	done := make(chan struct{})
	var got string
	var err error
	go func() {
		defer close(done)
		got, err = b.run(timed(t), url)
	}()
	eventually(t, &told, "no agent is there")
	older := agentOf(url, &machine{})
	older.Version = "v0"
	lacking := agentOf(url, &machine{images: map[string]string{"worker": "another"}})
	endOlder, endLacking := works(t, older), works(t, lacking)
	eventually(t, &told, "it is run by killpoint v1, this one is v0")
	eventually(t, &told, "image worker of this engine is not the one that was recorded with")
	endOlder()
	endLacking()
	works(t, agentOf(url, &machine{}))
	wait(t, "the campaign", done)
	equal(t, alone(t, explore.Settings{}), got, err)
}

func eventually(t *testing.T, n *notes, part string) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !n.have(part) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%q was not said, but %q", part, n.all())
		}
	}
}

// What the compose file refers to travels, and nothing of the agent's machine
// stands in for it.
func TestWhatTravels(t *testing.T) {
	url := virtualHost(t)
	files := t.TempDir()
	for name, content := range map[string]string{"conf/a.conf": "a", "one.conf": "one", "context/Dockerfile": "FROM scratch\n", "context/app": "binary", "context/secret": "s", "context/.dockerignore": "secret\n"} {
		file := filepath.Join(files, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t.TempDir(), explore.Settings{})
	b.machine.images["built"] = "b1"
	b.fleet.System = &system.System{Dir: files, Services: []system.Service{
		{Name: "other", Image: "built", Build: &system.Build{Context: filepath.Join(files, "context"), Target: "final"}},
		{Name: "worker-2", Image: "worker", Mounts: []system.Mount{
			{Kind: system.MountBind, Source: filepath.Join(files, "conf"), Target: "/conf"},
			{Kind: system.MountBind, Source: filepath.Join(files, "one.conf"), Target: "/one.conf", File: true},
			{Kind: system.MountVolume, Source: "data", Target: "/data"},
		}},
	}}
	m := &machine{}
	checked := make(chan error, 1)
	m.before = func(context.Context, string) {
		select {
		case checked <- checkTravelled(m.opened[0].System, files):
		default:
		}
	}
	works(t, agentOf(url, m))
	got, err := b.run(timed(t), url)
	equal(t, alone(t, explore.Settings{}), got, err)
	if err := <-checked; err != nil {
		t.Error(err)
	}
}

func checkTravelled(sys *system.System, from string) error {
	other, worker := sys.Services[0], sys.Services[1]
	for file, want := range map[string]string{
		filepath.Join(worker.Mounts[0].Source, "a.conf"): "a", worker.Mounts[1].Source: "one", filepath.Join(other.Build.Context, "app"): "binary",
	} {
		text, err := os.ReadFile(file)
		if err != nil || string(text) != want || strings.HasPrefix(file, from) {
			return fmt.Errorf("%s: %q, %v", file, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(other.Build.Context, "secret")); err == nil {
		return errors.New("what .dockerignore names was sent")
	}
	if other.PullPolicy != "build" || other.Build.Target != "final" || other.Build.Dockerfile != "Dockerfile" || worker.Mounts[2].Source != "data" {
		return fmt.Errorf("%+v, %+v, %+v", other, other.Build, worker.Mounts)
	}
	return nil
}

// A password is never printed, whatever is wrong.
func TestBrokersThatCannotBeReached(t *testing.T) {
	for _, url := range []string{"amqp://app:secret@127.0.0.1:1/", "http://app:secret@host/", "amqp://app:secret@ho st:x/", "amqp://app:secret@127.0.0.1:99999999/"} {
		err := Check(timed(t), url)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	right := virtualHost(t)
	wrong := strings.Replace(right, ":secret@", ":sesame@", 1)
	a := agentOf(wrong, &machine{})
	if err := a.Run(timed(t)); err == nil || strings.Contains(err.Error(), "sesame") || !isRefused(err) {
		t.Errorf("with another password: %v", err)
	}
}
