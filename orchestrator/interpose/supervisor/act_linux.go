package supervisor

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// act does what the plan says at a point that a call has reached. It is called with the lock held.
func (e *engine) act(n *notification, t *thread, op *operation, point *armed) {
	event := e.describe(n, t, op)
	event.Kind, event.Point, event.Action, event.Timing = interpose.Reached, point.ID, point.Action, point.Timing
	event.Occurrence = point.count
	if point.Sum {
		if sum, is := e.sum(t, op); is {
			event.Sum = formatSum(sum)
		}
	}
	switch point.Action {
	case interpose.Hold:
		if e.plan.NoQuiesce {
			e.holdLoosely(n, t, op, point, event)
			return
		}
		cut := func(q *quiescer) (int64, error) { return e.cut(q, n, t, op, point) }
		id := n.id
		e.hold(n, t, point, event, cut, func() { proceed(e.listener, id) })
	case interpose.Fail:
		respond(e.listener, &response{id: n.id, errno: -interpose.Errnos[point.Errno]})
		e.events.add(event)
	case interpose.Short:
		moved, err := e.short(n, t, op, point.Bytes)
		if err != nil {
			e.trouble(fmt.Errorf("make %s of %s short: %w", op.call.name, op.place.path, err))
			proceed(e.listener, n.id)
		}
		event.Kept = moved
		e.events.add(event)
	case interpose.Delay:
		e.events.add(event)
		if e.power != nil {
			e.observeAll(t, everything)
		}
		id := n.id
		e.delay(n, t, point.Wait, func() { proceed(e.listener, id) })
	case interpose.Pass:
		e.events.add(event)
		e.execute(n, t, everything)
	}
}

// delay lets the call go on by finish after a while, in which the other threads go on.
func (e *engine) delay(n *notification, t *thread, wait time.Duration, finish func()) {
	id := n.id
	e.waiting[id] = waiter{t.tid, finish}
	time.AfterFunc(wait, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, waits := e.waiting[id]; !waits || e.frozen {
			return // a held point stops this thread too; it stays in its call
		}
		delete(e.waiting, id)
		finish()
	})
}

// hold stops the program at the point and keeps it so until it is killed or released. What the timing asks to be executed of the call is executed by cut, when everything else is stopped; a call that is not answered then is answered by finish on release.
func (e *engine) hold(n *notification, t *thread, point *armed, event interpose.Event, cut func(*quiescer) (int64, error), finish func()) {
	event.Held = true
	e.frozen = true
	e.waiting[n.id] = waiter{t.tid, finish}
	begin := time.Now()
	q := e.quiescer()
	// The point is reached whatever comes of stopping: a kill that may be off is told apart by Inexact.
	err := q.stop(e.program)
	event.Quiesce = time.Since(begin)
	if err == nil {
		event.Kept, err = cut(q)
	}
	if err != nil {
		event.Inexact = err.Error()
	}
	if e.power != nil {
		e.power.adopt()
		event.Unsynced = e.power.list()
		if point.Lose != nil {
			if event.Lost, err = e.lose(*point.Lose); err != nil {
				event.Inexact = err.Error()
			}
		}
	}
	e.events.add(event)
	e.awaitRelease()
}

// program lists the processes of the program.
func (e *engine) program() ([]int, error) { return descendants(unix.Getpid()) }

// quiescer makes one that knows which threads wait for an answer.
func (e *engine) quiescer() *quiescer {
	timeout := e.plan.QuiesceTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	q := newQuiescer(unix.Getpid(), timeout)
	for _, w := range e.waiting {
		q.waiting[w.thread] = true
	}
	q.received = func(thread int) bool { return e.inHand.Load() == int64(thread) }
	return q
}

// cut executes as much of the held call as the timing says, everything else being stopped, and returns the bytes that took effect.
func (e *engine) cut(q *quiescer, n *notification, t *thread, op *operation, point *armed) (int64, error) {
	switch point.Timing {
	case interpose.During:
		return e.tear(q, n, t, op, point.Keep)
	case interpose.After:
		return e.complete(q, n, t, op)
	}
	return 0, nil
}

// complete executes the whole call. A stop signal waits for the thread, so that it stops when the call is done and before it sees the result; a file operation is not interrupted by it.
func (e *engine) complete(q *quiescer, n *notification, t *thread, op *operation) (int64, error) {
	if op.source >= 0 && op.kind == kindWrite {
		// The kernel looks for signals on the way through such a call, and would put it off. The interposer makes the transfer; on release the program makes it once more, to the same place.
		return e.writeFor(t, op, e.available(t, op))
	}
	if op.kind == kindRead && op.call.kinds&kindWrite != 0 {
		return 0, fmt.Errorf("complete %s: a transfer between descriptors can be held by what it reads only before it", op.call.name)
	}
	if err := e.awaitRoom(t, op); err != nil {
		return 0, err
	}
	e.execute(n, t, everything)
	return e.available(t, op), e.settle(q, n, t)
}

// settle waits until the thread has come out of the call that was let through.
func (e *engine) settle(q *quiescer, n *notification, t *thread) error {
	delete(e.waiting, n.id)
	return q.awaitStop(t.process, t.tid)
}

// awaitRelease blocks until the program is killed or released. No notification is received meanwhile: a thread that makes a trapped call waits in it, before it is executed.
func (e *engine) awaitRelease() {
	e.mu.Unlock()
	killed := false
	select {
	case <-e.abort:
		killed = true
	case <-e.release:
	}
	e.mu.Lock()
	if killed {
		return
	}
	e.frozen = false
	e.thawed.Broadcast()
	waiting := e.waiting
	e.waiting = make(map[uint64]waiter)
	for _, w := range waiting {
		w.finish()
	}
	if processes, err := e.program(); err == nil {
		resume(processes)
	}
}

// holdLoosely holds only the calling thread, which Plan.NoQuiesce asks for.
func (e *engine) holdLoosely(n *notification, t *thread, op *operation, point *armed, event interpose.Event) {
	event.Held = true
	switch point.Timing {
	case interpose.During:
		kept, err := e.writeFor(t, op, point.Keep.Of(e.available(t, op)))
		if err != nil {
			event.Inexact = err.Error()
		}
		event.Kept = kept
	case interpose.After:
		proceed(e.listener, n.id)
		e.events.add(event)
		return
	}
	id := n.id
	e.waiting[id] = waiter{t.tid, func() { proceed(e.listener, id) }}
	e.events.add(event)
}

// lose takes un-synced changes away. Everything is stopped.
func (e *engine) lose(choice interpose.Lose) ([]int64, error) {
	if unix.Gettid() == e.osThread {
		e.threads.becomeSelf() // no other thread of the interposer takes on an identity
	}
	return e.power.lose(choice)
}

// loseHeld is lose by command, between a point and the kill.
func (e *engine) loseHeld(choice *interpose.Lose) ([]int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.frozen || e.power == nil || choice == nil {
		return nil, errors.New("lose: it needs a choice, a held point, and a plan with power_loss")
	}
	return e.lose(*choice)
}

// freeze stops the whole program wherever it is, for a kill that comes from outside a point.
func (e *engine) freeze() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frozen = true
	return e.quiescer().stop(e.program)
}

// releaseHeld lets a held program go on.
func (e *engine) releaseHeld() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.frozen {
		return errors.New("release: no point is held")
	}
	select {
	case e.release <- struct{}{}:
	default:
	}
	return nil
}
