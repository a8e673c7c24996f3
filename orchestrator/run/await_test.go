package run

import (
	"archive/tar"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// slowHome is long in handing out its files; meanwhile things happen.
type slowHome struct {
	home
	meanwhile func()
	content   string
}

func (h *slowHome) copyFrom(_ context.Context, _ string, each func(*tar.Header, io.Reader) error) error {
	h.meanwhile()
	return each(nil, strings.NewReader(h.content))
}

// What is missing is asked in steps, the faults first. A fault that fires
// behind that step, and takes its service down, is under way: the service is
// not down for good, and what its next life will do may not be given up.
func TestAFaultWhileItIsAskedWhatIsMissingDoesNotEndTheRun(t *testing.T) {
	const settle = 100 * time.Millisecond
	sc := &scenario.Scenario{Settle: scenario.Duration(settle)}
	g := &group{Orchestrator: &Orchestrator{engine: testEngine}, id: "none", services: map[string]*service{}}
	r := &run{group: g, scenario: sc, facts: scenario.Facts{
		Done:     &scenario.Done{Exited: []string{"sender"}, Needs: []string{"worker"}},
		Verdicts: &scenario.Verdicts{Service: "worker", Success: `SUCCESS \[(.*)\]`},
		Rows:     &scenario.Rows{Sent: scenario.SentFile{Service: "sender", File: "/sent"}},
	}}
	ctx := with(t)
	var err error
	if r.progress, err = r.newProgress(); err != nil {
		t.Fatal(err)
	}
	g.recorder = history.NewRecorder(history.Meta{}, t.TempDir())
	t.Cleanup(g.recorder.Watch(r.progress.see))
	for _, name := range []string{"sender", "worker"} {
		g.services[name] = newService(g, system.Service{Name: name})
	}
	sender, worker := g.services["sender"], g.services["worker"]
	read := func(s *service) { s.update(func(now *serviceState) { now.followed = now.incarnation }) }
	life := func(code int) engine.Event { return engine.Event{Action: engine.ActionDie, ExitCode: code} }

	p := &plannedFault{number: 1, planned: scenario.Fault{Service: "worker"}, target: worker}
	r.planned = []*plannedFault{p}
	injecting := &injection{run: r}
	sender.home = &slowHome{content: `{"confirmed":"a"}` + "\n", meanwhile: func() {
		p.mu.Lock()
		p.fired = true
		p.mu.Unlock()
		g.recorder.Add(history.Event{Kind: history.FaultFired, Service: "worker", Fault: 1})
		worker.see(life(137))
		read(worker)
		time.Sleep(3 * settle) // the engine answers slowly
		go func() {
			time.Sleep(3 * settle) // and starts slowly
			worker.see(engine.Event{Action: engine.ActionStart})
			injecting.settle(p)
			g.recorder.Add(history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "SUCCESS [a]"})
		}()
	}}
	worker.see(engine.Event{Action: engine.ActionStart})
	sender.see(engine.Event{Action: engine.ActionStart})
	sender.see(life(0))
	read(sender)
	if err := r.awaitEnd(ctx, injecting); err != nil {
		t.Fatal(err)
	}
	s := &seen{T: t, history: g.recorder.History()}
	s.count(history.Event{Kind: history.TimedOut}, 0)
	s.count(history.Event{Kind: history.Settled}, 0)
	s.order(history.Event{Kind: history.Started, Service: "worker", Incarnation: 2}, history.Event{Kind: history.AllDone})
}
