package run

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// progress is what the end of a run is decided by, kept up to date from the
// run's own events.
type progress struct {
	nudged chan struct{} // something has changed; holds one

	mu      sync.Mutex
	last    time.Duration // of the newest event that shows activity
	verdict map[string]bool
	success *regexp.Regexp
	failure *regexp.Regexp
	judge   string // whose verdicts
	logs    []logCount
	ready   []readyLine
	lives   map[string]lifeTime // of the newest life of each service
}

type logCount struct {
	expect scenario.LogExpect
	match  func(string) bool
	want   int
	seen   int
}

func (r *run) newProgress() (*progress, error) {
	p := &progress{nudged: make(chan struct{}, 1), verdict: map[string]bool{}, lives: map[string]lifeTime{}}
	if v := r.facts.Verdicts; v != nil && r.scenario.Expect.Verdicts != "off" {
		var err error
		p.judge = v.Service
		if p.success, err = regexp.Compile(v.Success); err != nil {
			return nil, fmt.Errorf("verdicts.success: %w", err)
		}
		if v.Failure != "" {
			if p.failure, err = regexp.Compile(v.Failure); err != nil {
				return nil, fmt.Errorf("verdicts.failure: %w", err)
			}
		}
	}
	for _, expect := range r.scenario.Expect.Logs {
		count := logCount{expect: expect, want: atLeast(expect)}
		if count.want == 0 {
			continue // that a line is not there cannot be waited for
		}
		count.match = func(text string) bool { return strings.Contains(text, expect.Contains) }
		if expect.Matches != "" {
			pattern, err := regexp.Compile(expect.Matches)
			if err != nil {
				return nil, fmt.Errorf("logs: %w", err)
			}
			count.match = pattern.MatchString
		}
		p.logs = append(p.logs, count)
	}
	p.ready = r.readyLines()
	return p, nil
}

// atLeast is how many lines an expectation asks for at the least.
func atLeast(expect scenario.LogExpect) int {
	switch {
	case expect.Times != nil:
		return *expect.Times
	case expect.AtLeast != nil:
		return *expect.AtLeast
	case expect.AtMost != nil:
		return 0
	}
	return 1
}

// see takes one event in. It is called under the recorder's lock.
func (p *progress) see(event history.Event) {
	switch event.Kind {
	case history.Log, history.Started, history.Exited, history.Healthy, history.PointReached, history.FaultFired, history.FaultDone, history.FaultHealed, history.FaultMissed:
	case history.Operation:
		if event.Point.Operation == string(interpose.Read) {
			return // to look at something again and again is no progress
		}
	default:
		return
	}
	p.mu.Lock()
	p.last = event.At
	p.seeLife(event)
	if event.Kind == history.Log {
		p.seeLine(event)
	}
	p.mu.Unlock()
	p.nudge()
}

// lastAt is when anything was last seen to happen.
func (p *progress) lastAt() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *progress) seeLine(event history.Event) {
	p.seeReady(event)
	if p.success != nil && event.Service == p.judge {
		if id, is := p.verdictOn(event.Text); is {
			p.verdict[id] = true
		}
	}
	for index := range p.logs {
		count := &p.logs[index]
		if count.expect.Service != event.Service || count.expect.Incarnation != 0 && count.expect.Incarnation != event.Incarnation {
			continue
		}
		if count.match(event.Text) {
			count.seen++
		}
	}
}

// verdictOn gives the id of the unit that a log line judges.
func (p *progress) verdictOn(line string) (id string, is bool) {
	for _, pattern := range []*regexp.Regexp{p.success, p.failure} {
		if pattern == nil {
			continue
		}
		if groups := pattern.FindStringSubmatch(line); len(groups) > 1 {
			return groups[1], true
		}
	}
	return "", false
}

func (p *progress) isVerdict(line string) bool {
	_, is := p.verdictOn(line)
	return is
}

func (p *progress) nudge() {
	select {
	case p.nudged <- struct{}{}:
	default:
	}
}

func (r *run) nudge() {
	if r.progress != nil {
		r.progress.nudge()
	}
}

// How often the broker is asked while only the queues are awaited: soon after
// the last event, then ever less often.
const (
	firstDepthPause = 10 * time.Millisecond
	longDepthPause  = 200 * time.Millisecond
)

// awaitEnd waits until everything that is expected is there and the queues
// are drained; or until the queues are drained without it and nothing has
// happened for the settle time; or for the timeout.
func (r *run) awaitEnd(ctx context.Context, injecting *injection) error {
	pause := firstDepthPause
	settle := time.Duration(r.scenario.Settle)
	var patience time.Duration // how long it must have been quiet on a machine that is slow to answer
	// Silence counts from here: what starts may take longer than the settle time
	// to do anything that is seen.
	r.progress.mu.Lock()
	r.progress.last = r.recorder.Now()
	r.progress.mu.Unlock()
	for {
		if err := injecting.failed(); err != nil {
			return err
		}
		// To ask what is missing takes time, in which a fault may fire. Only where
		// nothing has happened since may the answer end the run.
		asked := r.progress.lastAt()
		missing, can, err := r.missing(ctx)
		if err != nil {
			return err
		}
		last := r.progress.lastAt()
		if last != asked {
			can = endings{}
		}
		quiet := r.recorder.Now() - last

		next := settle - quiet // when quiet would be long enough
		recorded := r.isRecorded(len(missing) == 0)
		over := len(missing) == 0 && (r.hasEnd() && recorded && !r.mayRecover() || quiet >= settle)
		calm := quiet >= max(settle, patience)
		if over || can.settle && calm {
			undrained := r.undrained(ctx)
			switch {
			case len(undrained) > 0:
				missing = append(missing, undrained...)
				if can.stall && calm && r.isStalled(ctx, &patience, missing, last) {
					return nil
				}
				next = pause
				pause = min(2*pause, longDepthPause)
			case len(missing) == 0:
				// A fault may have fired while the broker was asked.
				if missing, _, err = r.missing(ctx); err != nil {
					return err
				}
				if len(missing) == 0 {
					r.recorder.Add(history.Event{Kind: history.AllDone})
					return nil
				}
			case r.isStarved(ctx, &patience), r.progress.lastAt() != last:
				next = max(settle, patience) - quiet
			default:
				r.recorder.Add(history.Event{Kind: history.Settled, Text: strings.Join(missing, "; ")})
				return nil
			}
		} else {
			pause = firstDepthPause
			if len(missing) > 0 && can.stall && calm && r.isStalled(ctx, &patience, missing, last) {
				return nil
			}
		}
		if !r.wait(ctx, max(next, time.Millisecond)) {
			return r.ended(ctx, missing)
		}
	}
}

// lastCalls is how many times the settle time a service that is recorded is
// given for its last calls.
const lastCalls = 4

// isRecorded says whether there is nothing more to record: the last calls of a
// service may come after what the end is seen by, so a recording goes on until
// it is quiet, or for a while where it never is.
func (r *run) isRecorded(done bool) bool {
	if r.record == nil || !done {
		r.doneAt = 0
		return r.record == nil
	}
	if r.doneAt == 0 {
		r.doneAt = r.recorder.Now()
	}
	return r.recorder.Now()-r.doneAt >= lastCalls*time.Duration(r.scenario.Settle)
}

// isStarved says whether the machine is so busy that silence proves nothing
// yet: an engine that is long in answering a question may be as long in
// handing on what a service has said. It raises the patience to what the
// answer took, many times over, and asks again when that has passed.
func (r *run) isStarved(ctx context.Context, patience *time.Duration) bool {
	asked := time.Now()
	if _, err := r.engine.HasNetwork(ctx, "kp-"+r.id); err != nil {
		return false // trouble of its own, which will be seen
	}
	wanted := starvedFactor * time.Since(asked)
	if wanted <= max(*patience, time.Duration(r.scenario.Settle)) {
		return false
	}
	*patience = min(wanted, starvedLimit)
	return r.recorder.Now()-r.progress.lastAt() < *patience
}

// A machine at rest answers in a few milliseconds.
const (
	starvedFactor = 30
	starvedLimit  = 5 * time.Second
)

// isStalled ends a run that is quiet and not done where it never will be: a
// service that the work needs is down for good, and nothing has happened since
// it was asked what is missing. It is what the timeout would show.
func (r *run) isStalled(ctx context.Context, patience *time.Duration, missing []string, last time.Duration) bool {
	down := r.downForGood()
	if len(down) == 0 || r.isStarved(ctx, patience) || r.progress.lastAt() != last {
		return false
	}
	r.recorder.Add(history.Event{Kind: history.TimedOut, Text: strings.Join(append(down, missing...), "; ")})
	return true
}

// downForGood names the services that the work needs and that have failed,
// with nothing to start them again. One that has ended well may have done its
// part, and one with a restart policy may come back: how often the engine
// tries is not for a run to say.
func (r *run) downForGood() []string {
	if r.facts.Done == nil {
		return nil
	}
	var down []string
	for _, name := range r.facts.Done.Needs {
		s := r.services[name]
		if s == nil || s.shared || s.spec.Restart.Active() {
			continue
		}
		state := s.now()
		ended := state.incarnation > 0 && !state.running && !state.starting && state.followed == state.incarnation
		if ended && state.exitCode != 0 && !state.restarts {
			down = append(down, fmt.Sprintf("%s to be started again, which nothing does (it exited with code %d)", name, state.exitCode))
		}
	}
	return down
}

// wait sleeps until something changes, or for the time; false when the
// context has ended.
func (r *run) wait(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.progress.nudged:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// ended tells the timeout, which is for the checks to judge, from an
// interruption.
func (r *run) ended(ctx context.Context, missing []string) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	if len(missing) == 0 {
		missing = []string{fmt.Sprintf("%s without any event", r.scenario.Settle)}
	}
	r.recorder.Add(history.Event{Kind: history.TimedOut, Text: strings.Join(missing, "; ")})
	return nil
}

// endings are how a run can end that is not done, once it is quiet.
type endings struct {
	// settle: what is missing may never come, because no fault is under way and
	// the services that hand in the work have exited.
	settle bool
	// stall: a service that is down stays so, because no fault is under way, is
	// awaited or comes by itself.
	stall bool
}

// missing says in words what is still awaited, the queues left out, and how
// the run can end without it.
func (r *run) missing(ctx context.Context) (missing []string, can endings, err error) {
	can = endings{settle: true, stall: true}
	endless := !r.hasEnd()
	for _, p := range r.planned {
		timed := p.planned.When.Kind == scenario.After
		switch {
		case p.isSettled():
		case p.isDue():
			missing = append(missing, fmt.Sprintf("fault %d (%s) to be over", p.number, p.planned))
			can = endings{}
		case r.scenario.Idle || endless:
			missing = append(missing, fmt.Sprintf("fault %d (%s) to fire", p.number, p.planned))
			can.settle, can.stall = can.settle && !timed, false
		default:
			can.settle, can.stall = can.settle && !timed, can.stall && !timed
		}
	}
	exited := true
	for _, name := range r.awaitedExits() {
		if state := r.services[name].now(); state.incarnation == 0 || state.running {
			missing = append(missing, name+" to exit")
			exited = false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.scenario.Expect.Exits)) {
		if r.services[name].now().exits == 0 && !slices.Contains(r.awaitedExits(), name) {
			missing = append(missing, name+" to exit")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		if state := r.services[name].now(); state.restarts && !state.running {
			missing = append(missing, name+" to be started again")
			exited = false
		}
	}
	unread := r.unreadLogs()
	missing = append(missing, unread...)
	can.settle = can.settle && exited && len(unread) == 0
	if exited {
		verdicts, err := r.missingVerdicts(ctx)
		if err != nil {
			return nil, can, err
		}
		missing = append(missing, verdicts...)
	}
	missing = append(missing, r.progress.missingLines()...)
	missing = append(missing, r.unready()...)
	return missing, can, nil
}

// unreadLogs names the logs of dead services that were not read to their end
// yet: what is missing may stand there.
func (r *run) unreadLogs() []string {
	var unread []string
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		if state := r.services[name].now(); !r.services[name].shared && !state.running && state.followed < state.incarnation {
			unread = append(unread, "the log of "+name+" to be read to its end")
		}
	}
	return unread
}

// hasEnd says whether the system or the scenario says how one sees the end.
// Without it, a run ends when its faults are over and it has been quiet for
// the settle time.
func (r *run) hasEnd() bool {
	return len(r.awaitedExits()) > 0 || r.progress.success != nil || len(r.queues()) > 0 ||
		len(r.progress.logs) > 0 || len(r.scenario.Expect.Exits) > 0
}

// awaitedExits are the services that hand in the work and must have exited
// before the run can end.
func (r *run) awaitedExits() []string {
	if r.facts.Done == nil {
		return nil
	}
	return r.facts.Done.Exited
}

// missingVerdicts names the chunks that were sent and have no verdict yet.
// What was sent is read once, when the sender has exited.
func (r *run) missingVerdicts(ctx context.Context) ([]string, error) {
	if r.progress.success == nil || r.facts.Rows == nil {
		return nil, nil
	}
	if r.sent == nil {
		if err := r.readSent(ctx); err != nil {
			return nil, err
		}
	}
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	count, example := 0, ""
	for _, id := range r.sent {
		if !r.progress.verdict[id] {
			if count++; count == 1 {
				example = id
			}
		}
	}
	if count == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("a verdict of %s on %d of %d chunks (such as %s)", r.progress.judge, count, len(r.sent), example)}, nil
}

func (r *run) readSent(ctx context.Context) error {
	defer r.recorder.Span(history.SpanCollect, "sent record")()
	sent, confirmed := r.facts.Rows.Sent, map[string]bool{}
	r.sent = []string{}
	err := r.services[sent.Service].home.copyFrom(ctx, sent.File, func(_ *tar.Header, content io.Reader) error {
		return history.ReadSent(content, func(line history.SentLine) error {
			if line.Confirmed != "" && !confirmed[line.Confirmed] {
				confirmed[line.Confirmed] = true
				r.sent = append(r.sent, line.Confirmed)
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, engine.ErrNoFile):
		r.warn("%s has exited and left no %s: what it sent is not known", sent.Service, sent.File)
	case err != nil:
		return fmt.Errorf("read what %s sent: %w", sent.Service, err)
	}
	return nil
}

func (p *progress) missingLines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []string
	for _, count := range p.logs {
		if count.seen < count.want {
			missing = append(missing, fmt.Sprintf("%d of %d lines of %s that say %q", count.want-count.seen, count.want, count.expect.Service, count.expect.Contains+count.expect.Matches))
		}
	}
	return missing
}

// queues are those that must be drained at the end.
func (r *run) queues() []string {
	if r.facts.Done == nil || r.broker == nil || r.scenario.Expect.Drained == "off" {
		return nil
	}
	return r.facts.Done.Drained
}

// undrained asks the broker, and says in words which queues are not empty.
func (r *run) undrained(ctx context.Context) []string {
	queues := r.queues()
	if len(queues) == 0 {
		return nil
	}
	asked := r.recorder.Span(history.SpanCollect, "queue depths")
	depths, err := r.broker.depths(ctx, queues)
	asked()
	if err != nil {
		return []string{fmt.Sprintf("the broker to say how deep its queues are (%v)", err)}
	}
	var words []string
	for _, depth := range depths {
		if depth.Ready > 0 || depth.Unacked > 0 {
			words = append(words, fmt.Sprintf("%s to be drained (%d ready, %d unacknowledged)", depth.Queue, depth.Ready, depth.Unacked))
		}
	}
	r.recordDepths(depths)
	return words
}

// recordDepths records depths that differ from those recorded last.
func (r *run) recordDepths(depths []broker.Depth) {
	for _, depth := range depths {
		if known, ok := r.depths[depth.Queue]; ok && known == depth {
			continue
		}
		r.depths[depth.Queue] = depth
		if !depth.Exists {
			r.warn("the broker knows no queue %s", depth.Queue)
			continue
		}
		r.recorder.Add(history.Event{Kind: history.QueueDepth, Queue: depth.Queue, Ready: depth.Ready, Unacked: depth.Unacked})
	}
}
