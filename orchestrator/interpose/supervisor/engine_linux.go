package supervisor

import (
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// engine answers the notifications of one incarnation: it counts, and acts where a point is reached. One goroutine, bound to one thread of the system, runs it.
type engine struct {
	plan     interpose.Plan
	listener int
	table    *callTable
	events   *eventLog
	places   *places
	threads  *threads
	memory   memory
	frames   *frameWatch // AMQP, nil when no point asks for it
	power    *powerModel // nil when the plan does not ask for it
	recorded kind
	features interpose.Features

	// mu guards the points and what is held against commands and delayed calls.
	mu       sync.Mutex
	sequence *sequence
	waiting  map[uint64]waiter // by notification
	frozen   bool              // a point is held, or a kill is under way: nothing is answered any more
	thawed   *sync.Cond        // on mu, when frozen ends
	// inHand is the thread of the notification that was received and waits for mu, or zero.
	inHand atomic.Int64

	release  chan struct{} // one send releases a held point
	abort    chan struct{} // closed when the program is killed
	done     chan struct{} // closed when the goroutine has ended
	osThread int

	// Of the call that is handled.
	call           *call
	operations     [4]operation
	operationCount int
	refusal        unix.Errno
	linkBuffer     [unix.PathMax + 64]byte
	pathBuffer     [unix.PathMax]byte
	dataBuffer     [64 << 10]byte

	// covered and troubled keep a sentence from being reported more than once.
	covered map[string]bool
}

// waiter is a thread whose call is not answered yet, and what will answer it.
type waiter struct {
	thread int
	finish func()
}

// wantedKinds is everything that has to be trapped for the plan.
func wantedKinds(plan interpose.Plan, features interpose.Features) kind {
	wanted := newSequence(plan.Points, plan.Incarnation).kinds()
	if plan.Record != nil {
		wanted |= kindsOf(plan.Record.Operations)
	}
	if plan.PowerLoss != nil {
		wanted |= powerKinds
	}
	if plan.Originals != nil {
		wanted |= changingKinds
	}
	if wanted&(kindPublish|kindAck) != 0 {
		wanted |= kindSocket
	}
	if wanted&^kindSockets != 0 {
		wanted |= kindCoverage
	}
	if !features.ProcessRead && readsWrites(plan) {
		wanted |= kindExec
	}
	return wanted
}

// readsWrites says whether the bytes of each write are read: then it pays to keep the program's memory open.
func readsWrites(plan interpose.Plan) bool {
	return plan.PowerLoss != nil || plan.Record != nil && plan.Record.Sums
}

func kindsOf(operations []interpose.Operation) kind {
	var kinds kind
	for _, operation := range operations {
		kinds |= kindOf[operation]
	}
	return kinds
}

func newEngine(plan interpose.Plan, listener int, events *eventLog, features interpose.Features) *engine {
	wanted := wantedKinds(plan, features)
	_, table := selectCalls(wanted)
	e := &engine{
		plan: plan, listener: listener, table: table, events: events, features: features,
		places: newPlaces(plan), threads: newThreads(), sequence: newSequence(plan.Points, plan.Incarnation),
		waiting: make(map[uint64]waiter), covered: make(map[string]bool),
		release: make(chan struct{}, 1), abort: make(chan struct{}), done: make(chan struct{}),
	}
	e.thawed = sync.NewCond(&e.mu)
	e.memory.throughProc = !features.ProcessRead
	e.memory.threads, e.memory.kept = e.threads, wanted&kindExec != 0
	if plan.Record != nil {
		e.recorded = kindsOf(plan.Record.Operations)
	}
	if plan.PowerLoss != nil {
		e.power = newPowerModel(*plan.PowerLoss)
	}
	if wanted&kindSocket != 0 {
		e.frames = newFrameWatch()
	}
	return e
}

// serve answers notifications until the program has ended or is killed.
func (e *engine) serve() {
	// The thread ends with the goroutine, because it may have taken on another identity: it is not unlocked.
	runtime.LockOSThread()
	giveSlack()
	defer close(e.done)
	e.mu.Lock()
	e.osThread = unix.Gettid()
	e.mu.Unlock()
	n := new(notification)
	for {
		errno := receive(e.listener, n)
		if e.killed() {
			return
		}
		switch errno {
		case 0:
			e.handle(n)
		case unix.EINTR:
		case unix.ENOENT:
			// Either the thread died between its call and now, or no thread with the filter is left.
			if hungUp(e.listener) {
				return
			}
		default:
			e.trouble(fmt.Errorf("receive notification: %w", errno))
			return
		}
	}
}

// killed reports whether the program is being killed.
func (e *engine) killed() bool {
	select {
	case <-e.abort:
		return true
	default:
		return false
	}
}

func hungUp(listener int) bool {
	poll := []unix.PollFd{{Fd: int32(listener)}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1 && poll[0].Revents&unix.POLLHUP != 0
}

// handle decides about one call.
func (e *engine) handle(n *notification) {
	e.inHand.Store(int64(n.tid))
	e.mu.Lock()
	defer e.mu.Unlock()
	// A point that came first is held: this call is not executed before it is released.
	for e.frozen {
		if e.killed() {
			return
		}
		e.thawed.Wait()
	}
	defer e.inHand.Store(0)
	if n.arch != auditArchitecture {
		e.cover("coverage incomplete, because a program for " + foreignName + " runs: its calls cannot be seen")
		proceed(e.listener, n.id)
		return
	}
	e.call = e.table[n.nr]
	t := e.threadOf(n)
	if t == nil {
		proceed(e.listener, n.id)
		return
	}
	e.operationCount, e.refusal = 0, 0
	e.call.decode(e, n, t)
	if e.refusal != 0 {
		respond(e.listener, &response{id: n.id, errno: -int32(e.refusal)})
		return
	}
	if e.operationCount == 0 {
		proceed(e.listener, n.id)
		return
	}
	// What was read belongs to this call only if its thread still waits in it.
	if !stillWaiting(e.listener, &n.id) {
		return
	}
	e.decide(n, t)
}

// threadOf finds the calling thread, or returns nil when nothing can be found out about it.
func (e *engine) threadOf(n *notification) *thread {
	t := e.threads.known[n.tid]
	if t == nil {
		var err error
		if t, err = e.threads.get(n.tid); err != nil {
			if stillWaiting(e.listener, &n.id) {
				e.trouble(accessDenied(&thread{tid: int(n.tid)}, err))
			}
			return nil
		}
	} else {
		t.seen = false
	}
	e.threads.become(t)
	return t
}

// decide counts what the call does, and acts on the point that it reaches, if it does.
func (e *engine) decide(n *notification, t *thread) {
	var reached *armed
	var at *operation
	if original := e.places.original; original != nil {
		for i := range e.operationCount {
			if err := original.keep(&e.operations[i]); err != nil {
				e.trouble(err)
			}
		}
	}
	for i := range e.operationCount {
		op := &e.operations[i]
		if op.kind == kindSocket {
			if e.socket(n, t, op) {
				return
			}
			continue
		}
		e.record(t, op)
		matching := op.place.points
		if op.other != nil {
			matching |= op.other.points
		}
		if point := e.sequence.count(op.kind, matching); point != nil && reached == nil {
			reached, at = point, op
		}
	}
	if reached != nil {
		reached.fired++
		e.act(n, t, at, reached)
		return
	}
	e.execute(n, t, everything)
}

// execute lets the call be executed, of which at most limit bytes will take effect.
func (e *engine) execute(n *notification, t *thread, limit int64) {
	if e.power != nil {
		e.observeAll(t, limit)
	}
	proceed(e.listener, n.id)
}

// observeAll tells the power-loss model what the call does.
func (e *engine) observeAll(t *thread, limit int64) {
	for i := range e.operationCount {
		e.observe(t, &e.operations[i], limit)
	}
}

// record reports an operation that the plan asks for.
func (e *engine) record(t *thread, op *operation) {
	if e.recorded&op.kind == 0 || !op.place.recorded && (op.other == nil || !op.other.recorded) {
		return
	}
	if op.place.occurrences == nil {
		op.place.occurrences = make(map[kind]int)
	}
	occurrence := op.place.occurrences[op.kind] + 1
	op.place.occurrences[op.kind] = occurrence
	made := recorded{
		kind: op.kind, call: op.call, place: op.place, other: op.other,
		process: t.process, thread: t.tid, incarnation: e.plan.Incarnation, occurrence: occurrence,
		size: e.available(t, op), offset: e.offset(t, op), pending: e.pending(),
	}
	if e.plan.Record.Sums {
		made.sum, made.summed = e.sum(t, op)
	}
	e.events.record(&made)
}

// pending is how many changes are not synced.
func (e *engine) pending() int {
	if e.power == nil {
		return 0
	}
	return len(e.power.changes)
}

// sum is a checksum of the bytes that a write carries; other calls have none.
func (e *engine) sum(t *thread, op *operation) (sum uint32, is bool) {
	if op.kind != kindWrite {
		return 0, false
	}
	sum, err := e.checksum(t, op)
	return sum, err == nil
}

// checksum reads the bytes that a write carries, piece by piece.
func (e *engine) checksum(t *thread, op *operation) (uint32, error) {
	if op.source >= 0 {
		data, err := e.sourceBytes(t, op, op.size)
		return crc32.Checksum(data, castagnoli), err
	}
	whole := [1]vector{{op.buffer, uint64(op.size)}}
	vectors := whole[:]
	if op.vectored {
		var err error
		if vectors, err = e.memory.readVectors(t, op.buffer, op.vectors); err != nil {
			return 0, err
		}
	}
	sum := uint32(0)
	for _, v := range vectors {
		for v.length > 0 {
			piece := e.dataBuffer[:min(v.length, uint64(len(e.dataBuffer)))]
			if err := e.memory.read(t, v.base, piece); err != nil {
				return 0, err
			}
			sum = crc32.Update(sum, castagnoli, piece)
			v.base, v.length = v.base+uint64(len(piece)), v.length-uint64(len(piece))
		}
	}
	return sum, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// describe makes an event of an operation.
func (e *engine) describe(n *notification, t *thread, op *operation) interpose.Event {
	event := interpose.Event{
		Incarnation: e.plan.Incarnation, PID: t.process, Thread: t.tid,
		Operation: op.kind.operation(), Call: op.call.name, Path: op.place.path, Size: e.available(t, op), Offset: e.offset(t, op),
	}
	if op.other != nil {
		event.Other = op.other.path
	}
	return event
}

// offset is where in the file the operation begins, as far as is known, or -1.
func (e *engine) offset(t *thread, op *operation) int64 {
	switch {
	case op.descriptor >= 0 && op.kind&(kindWrite|kindRead) != 0:
		if at, err := e.start(t, op); err == nil {
			return at
		}
	case op.placed:
		return op.offset
	}
	return -1
}

// cover reports, once, what cannot be seen.
func (e *engine) cover(sentence string) { e.report(interpose.Coverage, sentence) }

// trouble reports, once, what keeps the interposer from doing its work: the run is broken.
func (e *engine) trouble(err error) { e.report(interpose.Failed, err.Error()) }

func (e *engine) report(kind interpose.Kind, sentence string) {
	if e.covered[sentence] {
		return
	}
	e.covered[sentence] = true
	e.events.add(interpose.Event{Kind: kind, Incarnation: e.plan.Incarnation, Message: sentence})
}

// troubleIfDenied passes over what makes the call itself fail, such as a wrong pointer or a path that leads nowhere.
func (e *engine) troubleIfDenied(err error) {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		e.trouble(err)
	}
}

// arm lets points fire that are there for later, and says how many calls have matched each point so far.
func (e *engine) arm(ids []string) (map[string]int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.sequence.arm(ids); err != nil {
		return nil, err
	}
	return e.sequence.counts(), nil
}

// counts says how many calls matched each point.
func (e *engine) counts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sequence.counts()
}

// stop ends the goroutine once the program is dead. A kernel that neither tells that nobody is left nor lets a signal interrupt the wait keeps the thread; it costs nothing but itself.
func (e *engine) stop() {
	close(e.abort)
	e.mu.Lock()
	e.thawed.Broadcast()
	e.mu.Unlock()
	deadline := time.After(time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-e.done:
			e.threads.forgetAll()
			unix.Close(e.listener)
			return
		case <-deadline:
			return
		case <-tick.C:
			e.mu.Lock()
			thread := e.osThread
			e.mu.Unlock()
			_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
		}
	}
}
