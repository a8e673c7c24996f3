// Package run does one run of a scenario: it starts the system's containers,
// does the planned faults at their moments, waits for the end, collects what
// is needed to judge, and removes everything. What it yields is a history;
// whether anything was lost is said by package check, from that history alone.
//
// Runs of one Orchestrator can go side by side. They share nothing but
// images and, where a system allows it, a broker with a virtual host for each.
package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Options say how runs are done.
type Options struct {
	Engine  *engine.Engine
	Version string // of killpoint, kept in histories

	Keep          bool // leave the containers when a run has ended
	Publish       bool // publish the ports that the compose file publishes
	BindRW        bool // bind mounts are the real files, not copies
	AllowExternal bool // external networks and volumes may be used
	Build         bool // build images even where they are there
	Record        bool // keep every operation of services that crash points are planned for

	// Dir is where histories are written, one folder a run.
	Dir string
	// OnEvent is called for each event of each run, by name of the scenario.
	// Runs that go side by side call it concurrently.
	OnEvent func(name string, event history.Event)
}

// Orchestrator runs scenarios on one engine.
type Orchestrator struct {
	options Options
	engine  *engine.Engine
	owner   *owner
	images  *images
	brokers *sharedBrokers
	swept   []string
	unswept error // why leftovers could not be removed

	startLimit time.Duration
}

// New prepares to run scenarios, and removes what orchestrators of this
// machine that are no longer alive have left behind.
func New(ctx context.Context, options Options) (*Orchestrator, error) {
	// What cannot be removed is in nobody's way: a run has names of its own.
	swept, unswept := sweepCrashed(ctx, options.Engine)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("remove leftovers of earlier runs: %w", ctx.Err())
	}
	held, err := newOwner()
	if err != nil {
		return nil, err
	}
	o := &Orchestrator{options: options, engine: options.Engine, owner: held, swept: swept, unswept: unswept, startLimit: startLimit}
	o.images = newImages(options.Engine, options.Build)
	o.brokers = newSharedBrokers(o)
	return o, nil
}

// Swept names what New removed.
func (o *Orchestrator) Swept() []string { return o.swept }

// Close removes what runs shared. Runs must have ended.
func (o *Orchestrator) Close(ctx context.Context) error {
	return errors.Join(o.brokers.close(ctx), o.owner.close())
}

// Run runs one scenario that was bound to its system. It never gives nil:
// trouble is an event of the history. Everything that the run made is gone
// when it returns, or named in an event.
func (o *Orchestrator) Run(ctx context.Context, sc *scenario.Scenario, sys *system.System) *history.History {
	return o.Record(ctx, sc, sys, nil)
}

// Record is Run with every operation of one service in the history; of none
// when the recording is nil.
func (o *Orchestrator) Record(ctx context.Context, sc *scenario.Scenario, sys *system.System, record *Recording) *history.History {
	id := newRunID()
	dir := filepath.Join(o.options.Dir, fileName(sc.Name)+"-"+id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return unstarted(o.meta(id, sc), fmt.Errorf("create folder for the history: %w", err))
	}
	recorder := history.NewRecorder(o.meta(id, sc), dir)
	g := o.newGroup(id, sc.Name, sys, recorder)
	r := &run{group: g, scenario: sc, facts: factsOf(sc), record: record, up: make(chan struct{}), chain: newChain(sc, nil)}
	g.onRead = r.nudge
	aborting, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	g.abort = abort
	if o.options.OnEvent != nil {
		defer recorder.Watch(func(event history.Event) {
			defer g.guard("tell of an event")
			o.options.OnEvent(sc.Name, event)
		})()
	}
	r.do(ctx, aborting)
	return recorder.History()
}

// run is one run of one scenario.
type run struct {
	*group
	scenario *scenario.Scenario
	facts    scenario.Facts
	broker   *brokerLink
	planned  []*plannedFault
	record   *Recording
	doneAt   time.Duration // of a recording: since when nothing is missing
	bed      *Bed          // where it takes place; nil: in containers of its own
	chain    *chain        // nil: it is none
	progress *progress
	up       chan struct{} // closed when every service has been started
	sent     []string      // ids of the chunks that were confirmed; nil until read
	depths   map[string]broker.Depth
}

// startLimit is the longest that starting the containers may take: what others
// depend on may never come.
const startLimit = 5 * time.Minute

// do runs the phases in order and removes everything whatever happens. The
// phases end with aborting, which ends with ctx or when something beside them
// goes wrong; removal ends with neither.
func (r *run) do(ctx, aborting context.Context) {
	running, over := context.WithCancel(aborting)
	defer over()
	err := safely("run the scenario", func() error { return r.phases(running) })()
	over()
	cause := context.Cause(aborting)
	switch {
	case ctx.Err() != nil:
		if err != nil {
			r.recorder.Add(history.Event{Kind: history.Interrupted})
		}
	case cause != nil:
		r.trouble(cause)
	case err != nil:
		r.trouble(err)
	}
	r.removeAfter(ctx)
	if later := context.Cause(aborting); cause == nil && later != nil && ctx.Err() == nil {
		r.trouble(later) // it went wrong in the removal itself
	}
}

func (r *run) phases(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	// Faults are armed before anything starts: the moment of one may come
	// while other services are still being started.
	injecting, err := r.armFaults(ctx)
	if err != nil {
		return err
	}
	err = r.startAll(ctx)
	if err == nil {
		err = r.workload(ctx, injecting)
	}
	if err = errors.Join(err, injecting.finish()); err != nil || r.chain != nil && r.chain.isLed() {
		return err
	}
	r.addWorkloadSpan()
	r.phase("collecting")
	return r.collect(ctx)
}

// workload waits for the end of the run. A run that times out is over: that
// is for the checks, not trouble.
func (r *run) workload(ctx context.Context, injecting *injection) error {
	r.phase("running")
	close(r.up)
	if r.chain != nil {
		if goOn, err := r.chained(ctx, injecting); err != nil || !goOn {
			return err
		}
	}
	timed, cancel := context.WithTimeout(ctx, time.Duration(r.scenario.Timeout))
	defer cancel()
	return r.awaitEnd(timed, injecting)
}

func (r *run) phase(name string) { r.recorder.Add(history.Event{Kind: history.Phase, Text: name}) }

func (g *group) trouble(err error) {
	g.recorder.Add(history.Event{Kind: history.Trouble, Text: err.Error()})
}

func (g *group) warn(format string, arguments ...any) {
	g.recorder.Add(history.Event{Kind: history.Warning, Text: fmt.Sprintf(format, arguments...)})
}

// The failure models, as histories name them.
const (
	modelProcessCrash = "process-crash"
	modelPowerLoss    = "power-loss"
)

func (o *Orchestrator) meta(id string, sc *scenario.Scenario) history.Meta {
	info := o.engine.Info()
	model := modelProcessCrash
	for _, planned := range sc.Faults {
		if planned.LoseUnsynced != "" {
			model = modelPowerLoss
		}
	}
	return history.Meta{
		RunID: id, Scenario: sc.Name, File: sc.File, Model: model, Killpoint: o.options.Version,
		Replay:      "killpoint run " + sc.File,
		Seed:        sc.Env["SEED"],
		Engine:      fmt.Sprintf("Docker Engine %s, API %s, %s", info.Engine, info.API, info.StorageDriver),
		Environment: sc.Env,
	}
}

// unstarted is the history of a run that could not even begin.
func unstarted(meta history.Meta, err error) *history.History {
	meta.Started = time.Now()
	return &history.History{Meta: meta, Events: []history.Event{{Kind: history.Trouble, Text: err.Error()}}}
}

func factsOf(sc *scenario.Scenario) scenario.Facts {
	if sc.Facts == nil {
		return scenario.Facts{}
	}
	return *sc.Facts
}

// newRunID is short enough to read in a container's name, and long enough
// that two of one machine will not meet.
func newRunID() string {
	raw := make([]byte, 4)
	rand.Read(raw) // never fails since Go 1.24
	return hex.EncodeToString(raw)
}

// fileName keeps what is safe in the name of a file and a container.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
}
